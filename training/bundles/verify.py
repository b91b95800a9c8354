"""Does each exported file do what the network does? Asked through the runtimes that will serve it."""

import io
import warnings
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from service.bundle.manifest import ONNX, TORCHSCRIPT, Bundle, Contents, Feature, load_bundle
from service.bundle.signature import NUMPY_DTYPES, Arrays, Signature, TensorSpec
from service.errors import StartError
from service.inference.repository import Model
from service.settings import Settings
from training.errors import VerificationFailed
from training.networks.network import Network, build
from training.recipes.recipe import Recipe

BATCHES = (1, 2, 17, 256)
TOLERANCE = 1e-5  # on probabilities, and on values as a share of their range in training
ROUNDING = 1e-6  # of the value itself: FP32 has no more than seven digits


class Finding(msgspec.Struct, frozen=True):
    """One batch through one runtime: the difference from the network that is nearest to what is allowed, or over."""

    runtime: str
    batch: int
    outputs: str
    difference: float
    allowed: float


def verify(folder: Path, network: Network | None = None) -> list[Finding]:
    """Compare both files with the network: each weight; then names, data types, shapes and values of what they give.

    Without a network, the recipe's is built again and given the weights of `model.pt`: a file that was changed
    differs from the other one then. Raises `VerificationFailed` for the first thing that is not as it should be.
    """
    try:
        bundle, contents = load_bundle(folder)
        onnx.checker.check_model(contents[ONNX], full_check=True)
        network = network or rebuild(bundle, contents)
        _compare_weights(contents, network)
        settings = [Settings(runtime=runtime, device="cpu", intra_op_threads=1) for runtime in ("onnx", "torchscript")]
        return [
            finding for setting in settings for finding in _compare(Model.open(folder, setting), network.cpu().eval())
        ]
    except StartError as error:
        raise VerificationFailed(str(error)) from error
    except (VerificationFailed, onnx.checker.ValidationError, msgspec.ValidationError) as error:
        raise VerificationFailed(f"{folder}: {error}") from error


def rebuild(bundle: Bundle, contents: Contents) -> Network:
    """The network that the manifest's recipe describes, with the weights of `model.pt`."""
    network = build(msgspec.convert(bundle.recipe, Recipe))
    try:
        network.load_state_dict(_torchscript_weights(contents))
    except RuntimeError as error:
        raise VerificationFailed(f"{TORCHSCRIPT}: not the network of its recipe: {error}") from error
    return network


def _compare_weights(contents: Contents, network: Network) -> None:
    """The exporter keeps names: every weight of the network stands in both files, to the bit."""
    tensors = onnx.load_from_string(contents[ONNX]).graph.initializer
    in_onnx = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in tensors}
    in_torchscript = {name: tensor.numpy() for name, tensor in _torchscript_weights(contents).items()}
    for name, tensor in network.state_dict().items():
        expected = tensor.cpu().numpy()
        same = [name in weights and np.array_equal(weights[name], expected) for weights in (in_onnx, in_torchscript)]
        if not all(same):
            # Without a network of its own, verification took it from model.pt: then either file may be the changed one.
            raise VerificationFailed(
                f"{ONNX} and {TORCHSCRIPT} differ in {name}" if any(same) else f"neither file has the network's {name}"
            )


def _torchscript_weights(contents: Contents) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        weights: dict[str, torch.Tensor] = torch.jit.load(
            io.BytesIO(contents[TORCHSCRIPT]), map_location="cpu"
        ).state_dict()
    return weights


def random_inputs(
    signature: Signature, features: tuple[Feature, ...], rows: int, seed: int
) -> dict[str, NDArray[np.generic]]:
    """Inputs that fit the signature: pixels of every value, features from twice the range that was seen in training."""
    random = np.random.default_rng(seed)
    low = np.array([feature.minimum for feature in features])
    high = np.array([feature.maximum for feature in features])
    beyond = (high - low) / 2

    def draw(spec: TensorSpec) -> NDArray[np.generic]:
        shape = (rows, *spec.shape[1:])
        if spec.datatype == "UINT8":
            return random.integers(0, 256, shape, np.uint8)
        return random.uniform(low - beyond, high + beyond, shape).astype(NUMPY_DTYPES[spec.datatype])

    return {spec.name: draw(spec) for spec in signature.inputs}


def _compare(model: Model, network: Network) -> list[Finding]:
    findings = []
    signature = model.bundle.signature
    for rows in BATCHES:
        inputs = random_inputs(signature, model.bundle.features, rows, seed=rows)
        with torch.inference_mode():
            outputs = network.outputs(*(torch.from_numpy(array) for array in inputs.values()))
        expected = {spec.name: array.numpy() for spec, array in zip(signature.outputs, outputs, strict=True)}
        findings.append(_difference(model, inputs, expected, rows))
    return findings


def _difference(model: Model, inputs: Arrays, expected: Arrays, rows: int) -> Finding:
    found = model.runtime.run(inputs)
    where = f"{model.runtime.name}, batch {rows}"
    shown = {name: f"{name} {array.dtype} {list(array.shape)}" for name, array in found.items()}
    should = {name: f"{name} {array.dtype} {list(array.shape)}" for name, array in expected.items()}
    if shown != should:
        raise VerificationFailed(f"{where}: gives {list(shown.values())}, the network {list(should.values())}")
    # probabilities and background are alike in scale, values stand alone
    array, answers = (np.concatenate([arrays[name] for name in expected], axis=1) for arrays in (expected, found))
    allowed = TOLERANCE * spreads(model.bundle.targets, array.shape[1]) + ROUNDING * np.abs(array)
    share = np.abs(answers - array) / allowed
    at = np.unravel_index(share.argmax(), share.shape)
    difference = float(np.abs(answers - array)[at])
    if not share.max() <= 1:
        raise VerificationFailed(f"{where}: differs from the network by {difference:.2g}, allowed {allowed[at]:.2g}")
    return Finding(model.runtime.name, rows, ", ".join(shown.values()), difference, float(allowed[at]))


def spreads(targets: tuple[Feature, ...], columns: int) -> NDArray[np.float64]:
    """What a difference in each column is measured by: probabilities by 1, values by their range in training."""
    if not targets:
        return np.ones(columns)
    return np.array([target.maximum - target.minimum for target in targets])
