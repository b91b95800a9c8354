"""Verification: each exported file computes what the network computes, through the runtimes of the service."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch

from service.bundle.golden import read_golden
from service.bundle.loading import Contents, load_bundle
from service.bundle.manifest import ONNX, TORCHSCRIPT
from service.bundle.signature import Arrays
from service.errors import StartError
from service.inference.model import Model
from service.inference.runtimes import RUNTIMES
from service.settings import Settings
from training.bundles.golden_examples import RELATIVE_TOLERANCE, column_scales, random_inputs
from training.bundles.restore import rebuild, torchscript_weights
from training.errors import VerificationFailed
from training.networks.network import Network

BATCH_SIZES = (1, 2, 17, 256)
TOLERANCE = 1e-5  # absolute, of probabilities; of values as a fraction of their range in training


class BatchComparison(msgspec.Struct, frozen=True):
    """The comparison of one batch with the network: the difference that is largest compared to the allowed one."""

    runtime: str
    batch_size: int
    outputs: str
    difference: float
    allowed: float


def verify(folder: Path, network: Network | None = None) -> list[BatchComparison]:
    """Compare both files of a bundle with the network: all weights; names, data types, shapes and values of outputs.

    Without a network, it is rebuilt from the recipe and the weights of `model.pt`, so that a file that was changed
    differs from the other one. Of a network that was imported, the golden examples are compared. Raises
    `VerificationFailed` for the first difference.
    """
    try:
        bundle, contents = load_bundle(folder)
        if bundle.imported:
            return _verify_golden(folder, bundle.files)
        onnx.checker.check_model(contents[ONNX], full_check=True)
        network = network or rebuild(bundle, contents)
        _compare_weights(contents, network)
        network.cpu().eval()
        runtimes = [Settings(runtime=runtime, device="cpu", intra_op_threads=1) for runtime in ("onnx", "torchscript")]
        return list(itertools.chain(*(_compare_outputs(Model.open(folder, each), network) for each in runtimes)))
    except StartError as error:
        raise VerificationFailed(str(error)) from error
    except (VerificationFailed, onnx.checker.ValidationError, msgspec.ValidationError) as error:
        raise VerificationFailed(f"{folder}: {error}") from error


def _verify_golden(folder: Path, files: Iterable[str]) -> list[BatchComparison]:
    """Of a network that was imported: its golden examples, which its file has answered, on each of its runtimes."""
    comparisons = []
    for runtime, (_, file, _) in RUNTIMES.items():
        if file in files:
            model = Model.open(folder, Settings(runtime=runtime, device="cpu", intra_op_threads=1))
            inputs, expected, tolerance = read_golden(model.bundle.signature, load_bundle(folder)[1])
            found, rows = model.predict(inputs), len(next(iter(inputs.values())))
            numbers = [name for name, array in expected.items() if array.dtype.kind == "f"]
            worst = max((float(np.abs(found[name] - expected[name]).max()) for name in numbers), default=0.0)
            allowed = max((float(tolerance[name].max()) for name in numbers), default=0.0)
            outputs = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in found.items())
            comparisons.append(BatchComparison(model.runtime.name, rows, outputs, worst, allowed))
    return comparisons


def _compare_weights(contents: Contents, network: Network) -> None:
    """Both files contain every weight of the network, bit for bit, under the name that it has in PyTorch.

    Indices of columns are no weights: the exporter stores equal ones once, and leaves out empty tensors. Comparing the
    outputs covers them.
    """
    tensors = onnx.load_from_string(contents[ONNX]).graph.initializer
    onnx_weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in tensors}
    in_torchscript = {name: tensor.numpy() for name, tensor in torchscript_weights(contents).items()}
    for name, tensor in network.state_dict().items():
        if not (tensor.is_floating_point() and tensor.numel()):
            continue
        expected = tensor.cpu().numpy()
        equal = [
            name in weights and np.array_equal(weights[name], expected) for weights in (onnx_weights, in_torchscript)
        ]
        if not all(equal):
            # The network may have been rebuilt from model.pt, so that either file may be the one that was changed.
            raise VerificationFailed(
                f"{ONNX} and {TORCHSCRIPT} differ in {name}" if any(equal) else f"neither file has the network's {name}"
            )


def _compare_outputs(model: Model, network: Network) -> list[BatchComparison]:
    """One comparison for each batch size."""
    comparisons = []
    signature = model.bundle.signature
    for batch_size in BATCH_SIZES:
        inputs = random_inputs(signature, model.bundle.features, batch_size, seed=batch_size)
        with torch.inference_mode():
            outputs = network.all_outputs(*(torch.from_numpy(array) for array in inputs.values()))
        expected = {spec.name: array.numpy() for spec, array in zip(signature.outputs, outputs, strict=True)}
        comparisons.append(_compare_batch(model, inputs, expected, batch_size))
    return comparisons


def _compare_batch(model: Model, inputs: Arrays, expected: Arrays, batch_size: int) -> BatchComparison:
    found = model.runtime.run(inputs)
    where = f"{model.runtime.name}, batch size {batch_size}"
    found_specs, expected_specs = (
        {name: f"{name} {array.dtype} {list(array.shape)}" for name, array in arrays.items()}
        for arrays in (found, expected)
    )
    if found_specs != expected_specs:
        message = f"the outputs are {list(found_specs.values())}, those of the network {list(expected_specs.values())}"
        raise VerificationFailed(f"{where}: {message}")
    actual, correct = (np.concatenate([arrays[name] for name in expected], axis=1) for arrays in (found, expected))
    targets = model.bundle.targets
    scales = np.concatenate([column_scales(name, targets, array.shape[1]) for name, array in expected.items()])
    allowed = TOLERANCE * scales + RELATIVE_TOLERANCE * np.abs(correct)
    difference = np.abs(actual - correct)
    ratio = difference / allowed
    worst = np.unravel_index(ratio.argmax(), ratio.shape)
    if not ratio.max() <= 1:
        message = f"differs from the network by {difference[worst]:.2g}, allowed {allowed[worst]:.2g}"
        raise VerificationFailed(f"{where}: {message}")
    specs = ", ".join(found_specs.values())
    return BatchComparison(model.runtime.name, batch_size, specs, float(difference[worst]), float(allowed[worst]))
