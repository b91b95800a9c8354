"""One body, two runtimes, and NumPy as the oracle."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import MODELS
from numpy.typing import NDArray
from running_service import ROOT, clean_environment

from service.bundle.loading import load_bundle
from service.bundle.signature import Arrays
from service.errors import BadRequest, DeviceUnavailable, InferenceFailed, ReportNotFound
from service.inference.model import Model
from service.inference.repository import find_bundles
from service.inference.runtimes import open_runtime
from service.settings import Settings
from training.bundles.verify import random_inputs, rebuild

FOLDERS = find_bundles(MODELS)


@pytest.fixture(params=["onnx", "torchscript"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(runtime=request.param, device="cpu", intra_op_threads=1)


ACTIVATIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "none": lambda x: x,
}


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def numpy_oracle(folder: Path, inputs: NDArray[np.generic]) -> tuple[NDArray[np.float64], ...]:
    """The network in two dozen lines of NumPy, in double precision."""
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
    *hidden, x = layered(state, "layers", x, recipe["activation"])
    if recipe["task"] == "regression":
        return (x * state["output.std"] + state["output.mean"] if "output.mean" in state else x,)
    probabilities = softmax(np.hstack([np.zeros_like(x), x]) if recipe["task"] == "binary" else x)
    if "ood_head.0.weight" not in state:
        return (probabilities,)
    logit = layered(state, "ood_head", np.hstack(hidden), "relu")[-1]
    return probabilities, 1 / (1 + np.exp(-logit))


def layered(state: dict[str, Any], part: str, x: NDArray[Any], activation: str) -> list[NDArray[np.float64]]:
    """What comes out of each layer of a part of a network."""
    found = []
    keys = [key.removesuffix(".weight") for key in state if key.startswith(part) and key.endswith(".weight")]
    for key in keys:
        x = x @ state[f"{key}.weight"].T + state[f"{key}.bias"]
        x = x if key == keys[-1] else ACTIVATIONS[activation](x)
        found.append(x)
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
@pytest.mark.parametrize("rows", [1, 17])
def test_a_runtime_computes_what_numpy_does(settings: Settings, folder: Path, rows: int) -> None:
    model = Model.open(folder, settings)
    bundle = model.bundle
    inputs = random_inputs(bundle.signature, bundle.features, rows, seed=rows)
    outputs = model.predict(inputs)
    wanted = numpy_oracle(folder, *inputs.values())
    for spec, expected in zip(bundle.signature.outputs, wanted, strict=True):
        assert outputs[spec.name].dtype == np.float32
        np.testing.assert_allclose(outputs[spec.name], expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_a_model_whose_bundle_holds_no_report_says_so(settings: Settings) -> None:
    bundle, contents = load_bundle(MODELS / "iris/4")
    with pytest.raises(ReportNotFound, match="iris/4 has no report"):
        Model(bundle, open_runtime(bundle, contents, settings)).report()


def test_what_does_not_fit_the_signature_is_the_clients_mistake(settings: Settings) -> None:
    model = Model.open(MODELS / "iris/4", settings)
    with pytest.raises(BadRequest, match="iris: features is float64, expected FP32"):
        model.predict({"features": np.zeros((1, 4))})


class BrokenRuntime:
    """Gives what it is told to, or raises it."""

    name = "broken"
    device = "nowhere"

    def __init__(self, gives: Arrays | Exception) -> None:
        self.gives = gives

    def run(self, inputs: Arrays) -> Arrays:
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives


@pytest.mark.parametrize(
    "gives",
    [
        RuntimeError("out of memory"),
        {"probabilities": np.zeros((1, 2), np.float32)},
        {"logits": np.zeros((1, 3), np.float32)},
    ],
    ids=["an exception", "another shape", "another name"],
)
def test_whatever_a_runtime_does_wrong_is_ours(gives: Arrays | Exception) -> None:
    model = Model(load_bundle(MODELS / "iris/4")[0], BrokenRuntime(gives))
    with pytest.raises(InferenceFailed, match="iris/4 failed on nowhere"):
        model.predict({"features": np.zeros((1, 4), np.float32)})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU: asking for it succeeds")
def test_cuda_that_cannot_be_had_is_refused_by_name_and_passed_over_by_auto() -> None:
    bundle, contents = load_bundle(MODELS / "iris/4")
    for runtime in ("onnx", "torchscript"):
        with pytest.raises(DeviceUnavailable, match="CUDA"):
            open_runtime(bundle, contents, Settings(runtime=runtime, device="cuda"))
        assert open_runtime(bundle, contents, Settings(runtime=runtime, device="auto")).device == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device answers here")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_cuda_computes_what_numpy_does(runtime: str, folder: Path) -> None:
    if runtime == "onnx" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this environment has ONNX Runtime for the CPU alone: install the extra cuda instead")
    model = Model.open(folder, Settings(runtime=runtime, device="cuda"))
    inputs = random_inputs(model.bundle.signature, model.bundle.features, rows=256, seed=0)
    assert model.runtime.device == "cuda:0"
    (found,) = model.predict(inputs).values()
    expected = numpy_oracle(folder, *inputs.values())
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_small_networks_start_no_threads_of_their_own() -> None:
    """Opened with eight threads for an inference: only the networks of images have a use for them."""
    program = (
        "import os; from service.inference.repository import Model, find_bundles\n"
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


def test_the_service_needs_no_torch_to_serve_onnx() -> None:
    """The modules that an ONNX service has imported once it answers."""
    program = (
        "import sys; from service.app import create_app; client = create_app().test_client();"
        "answer = client.post('/v1/models/iris:predict', json={'instances': [[5.1, 3.5, 1.4, 0.2]]});"
        "print(answer.status_code, 'torch' in sys.modules, 'training' in sys.modules, 'onnx' in sys.modules)"
    )
    shown = subprocess.run(
        (sys.executable, "-c", program), cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert shown.stdout == "200 False False False\n"


def test_a_runtime_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "service.inference.runtimes.torchscript", raising=False)
    with pytest.raises(
        DeviceUnavailable, match="torchscript needs torch, which is not installed: install the extra torchscript"
    ):
        open_runtime(*load_bundle(MODELS / "iris/4"), Settings(runtime="torchscript"))
