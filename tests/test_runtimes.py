"""Both runtimes on the CPU, compared with NumPy. Other devices are compared with the CPU in `test_devices.py`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import IRIS, IRIS_VERSION, MODELS
from numpy.typing import NDArray
from running_service import ROOT, clean_environment

from service.bundle.loading import load_bundle
from service.bundle.signature import Arrays
from service.errors import BadRequest, DeviceUnavailable, InferenceFailed, ReportNotFound
from service.inference.model import Model
from service.inference.placement import place
from service.inference.runtimes import MAX_ROWS_CPU, open_runtime
from service.inference.version_folders import find_bundles
from service.settings import Settings
from training.bundles.golden_examples import random_inputs
from training.bundles.restore import rebuild

FOLDERS = find_bundles(MODELS)


@pytest.fixture(params=["onnx", "torchscript"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(runtime=request.param, device="cpu", intra_op_threads=1)


ACTIVATIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "none": lambda x: x,
}


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def numpy_oracle(folder: Path, inputs: NDArray[np.generic]) -> tuple[NDArray[np.float64], ...]:
    """What the network computes, written in NumPy with double precision: an array [rows, columns] for each output."""
    bundle, contents = load_bundle(folder)
    recipe = bundle.recipe
    state = {key: value.double().numpy() for key, value in rebuild(bundle, contents).state_dict().items()}
    x = inputs.reshape(len(inputs), -1).astype(np.float64)
    match recipe["scaling"]:
        case "unit":
            x = x / 255
        case "centred":
            x = (x / 255 - 0.5) / 0.5
        case "standardised":
            x = (x - state["scale.mean"]) / state["scale.std"]
    places, x = convolved(state, x) if recipe.get("convolutions") else ([], x)
    *hidden, x = layered(state, "layers", x, recipe["activation"])
    if recipe["task"] == "regression":
        return (x * state["output.std"] + state["output.mean"] if "output.mean" in state else x,)
    if recipe["task"] == "mixture":
        weights, means, deviations = np.split(x, 3, axis=1)
        mean, std = state["output.mean"], state["output.std"]
        return softmax(weights), means * std + mean, (np.log1p(np.exp(deviations)) + 0.01) * std
    probabilities = softmax(np.hstack([np.zeros_like(x), x]) if recipe["task"] == "binary" else x)
    if "ood_head.0.weight" not in state:
        return (probabilities,)
    logit = layered(state, "ood_head", np.hstack([*places, *hidden]), "relu")[-1]
    return probabilities, 1 / (1 + np.exp(-logit))


def convolved(state: dict[str, Any], x: NDArray[Any]) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Two convolutions a stage, halved between the stages: what the OOD head reads of the last, and its mean."""
    x = x.reshape(-1, 1, 28, 28)
    weights = [value for value in state.values() if value.ndim == 4]
    biases = [value for key, value in state.items() if key.removesuffix("bias") + "weight" in state
              and value.ndim == 1 and state[key.removesuffix("bias") + "weight"].ndim == 4]  # fmt: skip
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = halved(x) if number and number % 2 == 0 else x
        around = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(2, 3))
        x = np.maximum(np.einsum("nihwkl,oikl->nohw", windows, weight) + bias[:, None, None], 0)
    return [halved(x).reshape(len(x), -1)], x.mean(axis=(2, 3))


def halved(x: NDArray[Any]) -> NDArray[np.float64]:
    """The largest of 2x2 places; an odd row or column at the end is left out."""
    height, width = x.shape[2] // 2, x.shape[3] // 2
    found: NDArray[np.float64] = (
        x[:, :, : 2 * height, : 2 * width].reshape(*x.shape[:2], height, 2, width, 2).max((3, 5))
    )
    return found


def layered(state: dict[str, Any], part: str, x: NDArray[Any], activation: str) -> list[NDArray[np.float64]]:
    """The output of each layer whose name begins with `part`; all but the last are activated."""
    outputs = []
    keys = [key.removesuffix(".weight") for key in state if key.startswith(part) and state[key].ndim == 2]
    for key in keys:
        x = x @ state[f"{key}.weight"].T + state[f"{key}.bias"]
        x = x if key == keys[-1] else ACTIVATIONS[activation](x)
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
@pytest.mark.parametrize("rows", [1, 17])
def test_a_runtime_computes_what_numpy_does(settings: Settings, folder: Path, rows: int) -> None:
    model = Model.open(folder, settings)
    bundle = model.bundle
    inputs = random_inputs(bundle.signature, bundle.features, rows, seed=rows)
    outputs = model.predict(inputs)
    arrays = numpy_oracle(folder, *inputs.values())
    for spec, expected in zip(bundle.signature.outputs, arrays, strict=True):
        assert outputs[spec.name].dtype == np.float32
        np.testing.assert_allclose(outputs[spec.name], expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_a_large_batch_is_predicted_in_parts_and_in_order(settings: Settings) -> None:
    """What lies between the layers would take hundreds of megabytes for all rows at once."""
    model = Model.open(IRIS, settings)
    rows, original = [], model.runtime._run_once  # type: ignore[attr-defined]  # of either runtime

    def run(inputs: Arrays) -> Arrays:
        rows.append(len(inputs["features"]))
        outputs: Arrays = original(inputs)
        return outputs

    assert model.runtime.device == "cpu"
    model.runtime._run_once = run  # type: ignore[attr-defined]
    batch = {"features": np.random.default_rng(1).uniform(0, 8, (2 * MAX_ROWS_CPU + 1, 4)).astype(np.float32)}
    found = model.predict(batch)
    assert rows == [MAX_ROWS_CPU, MAX_ROWS_CPU, 1]
    for name, whole in original(batch).items():
        np.testing.assert_allclose(found[name], whole, rtol=0, atol=1e-6)


def test_a_bundle_without_a_report_is_named_in_the_error(settings: Settings) -> None:
    bundle, contents = load_bundle(IRIS)
    with pytest.raises(ReportNotFound, match=f"iris/{IRIS_VERSION} has no report"):
        Model(bundle, open_runtime(bundle.signature, contents, settings, None)).report()


def test_inputs_that_do_not_fit_the_signature_are_a_bad_request(settings: Settings) -> None:
    model = Model.open(IRIS, settings)
    with pytest.raises(BadRequest, match="iris: features is FP64, expected FP32"):
        model.predict({"features": np.zeros((1, 4))})


class BrokenRuntime:
    """Returns the given outputs, or raises the given exception."""

    name = "broken"
    device = "nowhere"
    cuda_from_rows: int | None = None

    def __init__(self, result: Arrays | Exception) -> None:
        self._result = result

    def run(self, inputs: Arrays) -> Arrays:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


@pytest.mark.parametrize(
    "result",
    [
        RuntimeError("out of memory"),
        {"probabilities": np.zeros((1, 2), np.float32)},
        {"logits": np.zeros((1, 3), np.float32)},
    ],
    ids=["an exception", "another shape", "another name"],
)
def test_a_failure_of_the_runtime_is_an_internal_error(result: Arrays | Exception) -> None:
    model = Model(load_bundle(IRIS)[0], BrokenRuntime(result))
    with pytest.raises(InferenceFailed, match=f"iris/{IRIS_VERSION} failed on nowhere"):
        model.predict({"features": np.zeros((1, 4), np.float32)})


def test_the_reason_why_cuda_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged, or ends the start; the messages of ONNX Runtime end with a line break or a stack trace."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("Invalid device ID: 99,\nmust be between 0 and 1\n\nStacktrace:\n")

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    monkeypatch.setattr("onnxruntime.InferenceSession", fail)
    monkeypatch.setattr("ctypes.CDLL", lambda _name: None)
    monkeypatch.setattr("service.inference.runtimes.onnx_runtime.shared_stream", lambda _gpu: None)
    with pytest.raises(DeviceUnavailable) as error:
        place(*load_bundle(IRIS), Settings(device="cuda:99"))
    reason = "Invalid device ID: 99, must be between 0 and 1 Stacktrace:"
    assert str(error.value) == f"ONNX Runtime cannot open a session on cuda:99: {reason}"


def test_small_networks_start_no_threads() -> None:
    """With eight threads for each inference, only the networks of images start seven more."""
    program = (
        "import os; from service.inference.model import Model\n"
        "from service.inference.version_folders import find_bundles\n"
        "from service.settings import Settings\n"
        "from pathlib import Path; before = len(os.listdir('/proc/self/task'))\n"
        "models = [Model.open(f, Settings(device='cpu', intra_op_threads=8)) for f in find_bundles(Path('models'))]\n"
        "images = sum(model.bundle.takes_images for model in models)\n"
        "print(len(models), images, len(os.listdir('/proc/self/task')) - before)"
    )
    done = subprocess.run(
        (sys.executable, "-c", program), cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    models, images, threads = map(int, done.stdout.split())
    assert models > 2 * images
    assert threads == 7 * images


def test_serving_onnx_imports_neither_torch_nor_training() -> None:
    """Checked after a first prediction."""
    program = (
        "import sys; from service.app import create_app; client = create_app().test_client();"
        "response = client.post('/v1/models/iris:predict', json={'instances': [[5.1, 3.5, 1.4, 0.2]]});"
        "print(response.status_code, 'torch' in sys.modules, 'training' in sys.modules, 'onnx' in sys.modules)"
    )
    shown = subprocess.run(
        (sys.executable, "-c", program), cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert shown.stdout == "200 False False False\n"


def test_the_error_for_a_runtime_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "service.inference.runtimes.torchscript", raising=False)
    with pytest.raises(
        DeviceUnavailable, match="torchscript needs torch, which is not installed: install the extra torchscript"
    ):
        place(*load_bundle(IRIS), Settings(runtime="torchscript"))
