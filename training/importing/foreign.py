"""A network as its file is: the inputs and outputs that it has, and how to run it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from service.bundle.loading import is_a_name
from service.bundle.signature import DATATYPES, FLOATS, NUMPY_DTYPES, Arrays, Datatype, TensorSpec
from service.errors import one_line
from training.errors import CannotImport
from training.importing.batch import fixed_batch, make_dynamic
from training.importing.image_input import ImageInput
from training.importing.onnx_file import open_session

TOLERANCE = 1e-4  # of the same rows in the same batch
DEPENDENCE = (
    0.02  # of a row that is run alone, and in a batch: kernels for a batch round differently, layers add to that
)
MAX_REASON = 300  # characters of what a runtime says
TRIALS = ((2, 4), (3, 5))  # rows, and the size of a dimension that may be of any size

Run = Callable[[Arrays], dict[str, NDArray[np.generic]]]


@dataclass(frozen=True)
class ForeignNetwork:
    """The inputs and outputs of a network, the batch first, and a function that runs it as its file is.

    `labels` are those that the file has, if it is of a classifier that names them. `notes` say what was changed.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    run: Run
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def foreign_onnx(model: ModelProto, where: str, image: ImageInput | None = None) -> tuple[ForeignNetwork, ModelProto]:
    """The network in a graph, and the graph with a batch of any size and without maps of probabilities.

    If it takes pictures of any size, it is for those of `image` then. Raises `CannotImport` for inputs and outputs that
    cannot be served.
    """
    labels = _replace_maps(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_spec(value, where) for value in model.graph.input if value.name not in weights)
    if image and len(inputs) == 1:
        inputs = (image.fill(inputs[0]),)
    notes = []
    if size := fixed_batch(model):
        model, original = make_dynamic(model, size), model
        notes.append(f"its batch was fixed to {size}: it may be of any size now, and computes the same")
        _check_same(original, model, inputs, size, where)
    inputs = tuple(TensorSpec(spec.name, spec.datatype, (-1, *spec.shape[1:])) for spec in inputs)
    run = _runner(model, where)
    outputs, left_out = found_outputs(inputs, run, where)
    notes += left_out
    _declare(model, inputs, outputs)
    return ForeignNetwork(inputs, outputs, run, labels, tuple(notes)), model


def found_outputs(inputs: tuple[TensorSpec, ...], run: Run, where: str) -> tuple[tuple[TensorSpec, ...], list[str]]:
    """The outputs with a row for each row of the inputs, as trials find them; and what is said of the others.

    Raises `CannotImport` if it cannot be run, if rows depend on each other, or if no such output is left.
    """
    trials = [_try(run, trial_inputs(inputs, rows, size), where) for rows, size in TRIALS]
    outputs, left_out = [], []
    for name in trials[0]:
        arrays = [np.asarray(trial[name]) if isinstance(trial[name], np.ndarray) else None for trial in trials]
        if any(array is None or not array.ndim for array in arrays) or [len(a) for a in arrays] != [2, 3]:  # type: ignore[arg-type]
            left_out.append(f"output {name!r} is left out: it has no row for each row of the input")
            continue
        shapes = [array.shape[1:] for array in arrays if array is not None]
        shape = tuple(a if a == b else -1 for a, b in zip(*shapes, strict=False))
        outputs.append(TensorSpec(name, _datatype(arrays[0].dtype, f"{where}: output {name!r}"), (-1, *shape)))  # type: ignore[union-attr]
    if not outputs:
        raise CannotImport(f"{where}: none of its outputs ({', '.join(trials[0])}) has a row for each row of the input")
    _check_independence(inputs, run, outputs, where)
    return tuple(outputs), left_out


def trial_inputs(inputs: Sequence[TensorSpec], rows: int, size: int, seed: int = 0) -> Arrays:
    """Seeded inputs: numbers about 0, whole numbers 0 and 1 (which are indices of any table), and short texts.

    `size` is that of a dimension which may be of any size.
    """
    random = np.random.default_rng(seed)

    def sample(spec: TensorSpec) -> NDArray[np.generic]:
        shape = (rows, *(size if one == -1 else one for one in spec.shape[1:]))
        if spec.datatype in FLOATS:
            return random.normal(size=shape).astype(NUMPY_DTYPES[spec.datatype])
        bits = random.integers(0, 2, shape)
        bits[..., :1] = 1  # a mask has something in it
        if spec.datatype == "BYTES":
            return np.array(["a", "b"], np.object_)[bits]
        return bits.astype(NUMPY_DTYPES[spec.datatype])

    return {spec.name: sample(spec) for spec in inputs}


def same(first: NDArray[np.generic], second: NDArray[np.generic], tolerance: float = TOLERANCE) -> bool:
    """Whether two arrays are the same, but for rounding."""
    if first.shape != second.shape:
        return False
    if first.dtype.kind == "f":
        return bool(np.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True))
    return bool((first == second).all())


def _try(run: Run, inputs: Arrays, where: str) -> dict[str, NDArray[np.generic]]:
    try:
        return run(inputs)
    except Exception as error:  # noqa: BLE001 - the libraries' exceptions have no narrower base class
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
        reason = one_line(error)[-MAX_REASON:]
        raise CannotImport(f"{where}: it does not run with {shapes}: {reason}") from None


def _check_independence(inputs: tuple[TensorSpec, ...], run: Run, outputs: Sequence[TensorSpec], where: str) -> None:
    """Raise `CannotImport` if a row has another output alone than among others."""
    rows, size = TRIALS[-1]
    together = trial_inputs(inputs, rows, size)
    expected = run(together)
    for row in range(rows):
        alone = _try(run, {name: array[row : row + 1] for name, array in together.items()}, where)
        for spec in outputs:
            if not same(alone[spec.name], expected[spec.name][row : row + 1], DEPENDENCE):
                raise CannotImport(
                    f"{where}: output {spec.name!r} of a row is another one alone than in a batch, and the service "
                    "runs rows of several requests as one batch. Is it exported in training mode, with batch "
                    "normalisation or dropout that is not switched off? Is the batch not the first dimension?"
                )


def _check_same(
    original: ModelProto, changed: ModelProto, inputs: tuple[TensorSpec, ...], size: int, where: str
) -> None:
    """Raise `CannotImport` unless the graph with a batch of any size computes what the original does."""
    advice = "export it with a batch of any size (`dynamic_shapes` or `dynamic_axes` of torch.onnx.export)"
    message = f"{where}: its batch is fixed to {size}, and cannot be changed: {advice}"
    given = trial_inputs([TensorSpec(one.name, one.datatype, (-1, *one.shape[1:])) for one in inputs], 2 * size, 4)
    run = _runner(original, where)
    halves = [run({name: array[at : at + size] for name, array in given.items()}) for at in (0, size)]
    try:
        found = _runner(changed, where)(given)
    except Exception as error:  # noqa: BLE001 - the libraries' exceptions have no narrower base class
        raise CannotImport(f"{message} ({one_line(error)[:200]})") from None
    for name, array in found.items():
        expected = np.concatenate([half[name] for half in halves])
        if not same(np.asarray(array), expected):
            raise CannotImport(f"{message} (output {name!r} is another one in a batch of {2 * size})")


def _runner(model: ModelProto, where: str) -> Run:
    session = open_session(model, where)
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _spec(value: ValueInfoProto, where: str) -> TensorSpec:
    """An input as the graph declares it; raises `CannotImport` if it is no tensor with a known number of dimensions."""
    what = f"{where}: input {value.name!r}"
    if value.type.WhichOneof("value") != "tensor_type":
        raise CannotImport(f"{what} is no tensor")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise CannotImport(f"{what} has no declared number of dimensions: export it with the shape of its inputs")
    if not tensor.shape.dim:
        raise CannotImport(f"{what} is one number, without a dimension for the batch")
    if not is_a_name(value.name):
        raise CannotImport(f"{what}: its name must have no quotes, backslashes or control characters")
    return TensorSpec(
        value.name, _onnx_datatype(tensor.elem_type, what), tuple(one.dim_value or -1 for one in tensor.shape.dim)
    )


def _onnx_datatype(element: int, what: str) -> Datatype:
    if element == TensorProto.STRING:
        return "BYTES"
    try:
        return _datatype(helper.tensor_dtype_to_np_dtype(element), what)
    except KeyError:
        raise CannotImport(f"{what} has no known data type") from None


def _datatype(dtype: np.dtype[np.generic], what: str) -> Datatype:
    if dtype not in DATATYPES:
        raise CannotImport(f"{what} is {dtype}, which cannot be sent: export it with one of {', '.join(NUMPY_DTYPES)}")
    return DATATYPES[dtype]


def _replace_maps(model: ModelProto) -> tuple[str, ...]:
    """Let outputs that are maps from labels to probabilities be the probabilities; return the labels, if there are any.

    So do converters of scikit-learn and similar libraries write classifiers.
    """
    graph = model.graph
    labels: tuple[str, ...] = ()
    for node in [one for one in graph.node if one.op_type == "ZipMap"]:
        labels = class_labels(node)
        for output in graph.output:
            if output.name == node.output[0]:
                output.CopyFrom(helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, None))
        graph.node.remove(node)
    return labels or next((found for node in graph.node if (found := class_labels(node))), ())


def class_labels(node: NodeProto) -> tuple[str, ...]:
    """The labels of a classifier's node, as texts."""
    for attribute in node.attribute:
        if attribute.name.startswith("classlabels_"):
            return tuple(map(str, attribute.ints)) or tuple(text.decode() for text in attribute.strings)
    return ()


def _declare(model: ModelProto, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Give the graph these inputs and outputs, with their shapes."""
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name in weights]
    for side, specs, others in ((model.graph.input, inputs, kept), (model.graph.output, outputs, [])):
        del side[:]
        side.extend([*map(value_info, specs), *others])


def value_info(spec: TensorSpec) -> ValueInfoProto:
    """A tensor as a graph declares it."""
    if spec.datatype == "BYTES":
        element = TensorProto.STRING
    else:
        element = helper.np_dtype_to_tensor_dtype(NUMPY_DTYPES[spec.datatype])
    names = ["batch", *(f"{spec.name}_{i}" for i in range(1, len(spec.shape)))]
    return helper.make_tensor_value_info(
        spec.name, element, [name if size == -1 else size for name, size in zip(names, spec.shape, strict=True)]
    )
