"""Verification: each exported file computes what the network computes, through the runtimes of the service."""

import io
import warnings
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from service.bundle.loading import Contents, load_bundle
from service.bundle.manifest import ONNX, TORCHSCRIPT, Bundle, Column
from service.bundle.signature import NUMPY_DTYPES, Arrays, Signature, TensorSpec
from service.errors import StartError
from service.inference.model import Model
from service.settings import Settings
from training.errors import VerificationFailed
from training.networks.network import Network, build
from training.recipes.recipe import Recipe

BATCH_SIZES = (1, 2, 17, 256)
TOLERANCE = 1e-5  # absolute, of probabilities; of values as a fraction of their range in training
RELATIVE_TOLERANCE = 1e-6  # of the number itself, added to that: FP32 has about seven digits


class Finding(msgspec.Struct, frozen=True):
    """The comparison of one batch with the network: the difference that is largest compared to the allowed one."""

    runtime: str
    batch_size: int
    outputs: str
    difference: float
    allowed: float


def verify(folder: Path, network: Network | None = None) -> list[Finding]:
    """Compare both files of a bundle with the network: all weights; names, data types, shapes and values of outputs.

    Without a network, it is rebuilt from the recipe and the weights of `model.pt`, so that a file that was changed
    differs from the other one. Raises `VerificationFailed` for the first difference.
    """
    try:
        bundle, contents = load_bundle(folder)
        onnx.checker.check_model(contents[ONNX], full_check=True)
        network = network or rebuild(bundle, contents)
        _compare_weights(contents, network)
        network.cpu().eval()
        runtimes = [Settings(runtime=runtime, device="cpu", intra_op_threads=1) for runtime in ("onnx", "torchscript")]
        return [finding for settings in runtimes for finding in _compare_outputs(Model.open(folder, settings), network)]
    except StartError as error:
        raise VerificationFailed(str(error)) from error
    except (VerificationFailed, onnx.checker.ValidationError, msgspec.ValidationError) as error:
        raise VerificationFailed(f"{folder}: {error}") from error


def rebuild(bundle: Bundle, contents: Contents) -> Network:
    """The network of the manifest's recipe, with the weights of `model.pt`; raises `VerificationFailed`."""
    network = build(msgspec.convert(bundle.recipe, Recipe))
    try:
        network.load_state_dict(_torchscript_weights(contents))
    except RuntimeError as error:
        raise VerificationFailed(f"{TORCHSCRIPT}: not the network of its recipe: {error}") from error
    return network


def _compare_weights(contents: Contents, network: Network) -> None:
    """Both files contain every weight of the network, bit for bit, under the name that it has in PyTorch."""
    tensors = onnx.load_from_string(contents[ONNX]).graph.initializer
    onnx_weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in tensors}
    torchscript_weights = {name: tensor.numpy() for name, tensor in _torchscript_weights(contents).items()}
    for name, tensor in network.state_dict().items():
        expected = tensor.cpu().numpy()
        equal = [
            name in weights and np.array_equal(weights[name], expected)
            for weights in (onnx_weights, torchscript_weights)
        ]
        if not all(equal):
            # The network may have been rebuilt from model.pt, so that either file may be the one that was changed.
            raise VerificationFailed(
                f"{ONNX} and {TORCHSCRIPT} differ in {name}" if any(equal) else f"neither file has the network's {name}"
            )


def _torchscript_weights(contents: Contents) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        weights: dict[str, torch.Tensor] = torch.jit.load(
            io.BytesIO(contents[TORCHSCRIPT]), map_location="cpu"
        ).state_dict()
    return weights


def random_inputs(
    signature: Signature, features: tuple[Column, ...], rows: int, seed: int
) -> dict[str, NDArray[np.generic]]:
    """Random inputs that fit the signature: pixels 0 to 255, features within twice their range in the training data."""
    random = np.random.default_rng(seed)
    low = np.array([feature.minimum for feature in features])
    high = np.array([feature.maximum for feature in features])
    margin = (high - low) / 2

    def sample(spec: TensorSpec) -> NDArray[np.generic]:
        shape = (rows, *spec.shape[1:])
        if spec.datatype == "UINT8":
            return random.integers(0, 256, shape, np.uint8)
        return random.uniform(low - margin, high + margin, shape).astype(NUMPY_DTYPES[spec.datatype])

    return {spec.name: sample(spec) for spec in signature.inputs}


def _compare_outputs(model: Model, network: Network) -> list[Finding]:
    """One finding for each batch size."""
    findings = []
    signature = model.bundle.signature
    for batch_size in BATCH_SIZES:
        inputs = random_inputs(signature, model.bundle.features, batch_size, seed=batch_size)
        with torch.inference_mode():
            outputs = network.outputs(*(torch.from_numpy(array) for array in inputs.values()))
        expected = {spec.name: array.numpy() for spec, array in zip(signature.outputs, outputs, strict=True)}
        findings.append(_compare_batch(model, inputs, expected, batch_size))
    return findings


def _compare_batch(model: Model, inputs: Arrays, expected: Arrays, batch_size: int) -> Finding:
    found = model.runtime.run(inputs)
    where = f"{model.runtime.name}, batch size {batch_size}"
    found_specs, expected_specs = (
        {name: f"{name} {array.dtype} {list(array.shape)}" for name, array in arrays.items()}
        for arrays in (found, expected)
    )
    if found_specs != expected_specs:
        message = f"the outputs are {list(found_specs.values())}, those of the network {list(expected_specs.values())}"
        raise VerificationFailed(f"{where}: {message}")
    # Side by side: only a classifier has several outputs, and all of them are probabilities.
    actual, correct = (np.concatenate([arrays[name] for name in expected], axis=1) for arrays in (found, expected))
    allowed = TOLERANCE * column_scales(model.bundle.targets, correct.shape[1]) + RELATIVE_TOLERANCE * np.abs(correct)
    difference = np.abs(actual - correct)
    ratio = difference / allowed
    worst = np.unravel_index(ratio.argmax(), ratio.shape)
    if not ratio.max() <= 1:
        message = f"differs from the network by {difference[worst]:.2g}, allowed {allowed[worst]:.2g}"
        raise VerificationFailed(f"{where}: {message}")
    specs = ", ".join(found_specs.values())
    return Finding(model.runtime.name, batch_size, specs, float(difference[worst]), float(allowed[worst]))


def column_scales(targets: tuple[Column, ...], columns: int) -> NDArray[np.float64]:
    """The scale that differences in each output column are measured by: 1 for probabilities, the range of values."""
    if not targets:
        return np.ones(columns)
    return np.array([target.maximum - target.minimum for target in targets])
