"""Every bundle, and a server, on each runtime and device: on the CPU in `make test`, on a GPU in `make test-gpu`.

Nothing here imports PyTorch: `make test-gpu` runs ONNX Runtime in an environment that has the extra `cuda` and no more.
"""

import ctypes
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MODELS, SAMPLES, newest
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from running_service import RunningService, failed_start, predict

from service.bundle.golden import read_golden
from service.bundle.loading import load_bundle
from service.bundle.manifest import Bundle
from service.bundle.signature import NUMPY_DTYPES, Arrays
from service.inference.model import Model
from service.inference.placement import PlacedRuntime
from service.inference.version_folders import find_bundles
from service.settings import Settings

FOLDERS = find_bundles(MODELS)
RUNTIMES = {"onnx": "ONNX Runtime", "torchscript": "TorchScript"}
GPU = "cuda:0"
IRIS_FROM_ROWS = 4  # that a server with a GPU runs there
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}  # hides the GPUs of this machine, if it has any, from a process
PLACEMENTS = [
    pytest.param((runtime, device), id=f"{runtime}-{device}", marks=[pytest.mark.gpu] if device == GPU else [])
    for device in ("cpu", GPU)
    for runtime in RUNTIMES
]


@pytest.fixture(scope="session")
def gpu() -> None:
    """Ends the run with a failure if there is no GPU: GPU tests only run if they are selected, and are not skipped."""
    if not gpu_count():
        pytest.exit("GPU tests need an NVIDIA GPU: there is no driver (libcuda.so.1), or it finds no GPU", returncode=1)


def gpu_count() -> int:
    """How many GPUs the NVIDIA driver finds; it is independent of PyTorch and ONNX Runtime, which are tested."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


@pytest.fixture(scope="module", params=PLACEMENTS)
def placement(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A runtime, and the device that it must report."""
    runtime, device = request.param
    if device == GPU:
        request.getfixturevalue("gpu")
    return runtime, device


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_a_bundle_predicts_on_every_device_what_it_predicts_on_the_cpu(
    placement: tuple[str, str], folder: Path
) -> None:
    """In batches of 1 and 256. Opening the bundle has compared the golden examples before."""
    runtime, device = placement
    model = Model.open(folder, Settings(runtime=runtime, device="cuda" if device == GPU else "cpu"))
    assert model.runtime.device == device
    on_cpu = Model.open(folder, Settings(runtime=runtime, device="cpu"))
    for rows in (1, 256):
        inputs = random_inputs(model.bundle, rows)
        outputs, expected = model.predict(inputs), on_cpu.predict(inputs)
        assert list(outputs) == list(expected) == [spec.name for spec in model.bundle.signature.outputs]
        for name, array in expected.items():
            assert outputs[name].dtype == np.float32
            np.testing.assert_allclose(outputs[name], array, rtol=0, atol=1e-4 * max(1.0, float(np.abs(array).max())))


def random_inputs(bundle: Bundle, rows: int) -> Arrays:
    """Inputs that fit the signature: pixels of every value, features of twice the range that was seen in training."""
    random = np.random.default_rng(rows)
    (spec,) = bundle.signature.inputs
    shape = (rows, *spec.shape[1:])
    if spec.datatype == "UINT8":
        return {spec.name: random.integers(0, 256, shape, np.uint8)}
    low, high = (np.array([getattr(column, end) for column in bundle.features]) for end in ("minimum", "maximum"))
    margin = (high - low) / 2
    return {spec.name: random.uniform(low - margin, high + margin, shape).astype(NUMPY_DTYPES[spec.datatype])}


@pytest.fixture(scope="module")
def server(placement: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A server of two models with the device `auto`: a GPU if it finds one, for any digits, and four rows of irises."""
    runtime, device = placement
    folder = tmp_path_factory.mktemp("device")
    for name in ("iris", "mnist"):
        shutil.copytree(MODELS / name, folder / "models" / name)
    with RunningService(
        folder / "log",
        environment={} if device == GPU else NO_GPU,
        runtime=runtime,
        device="auto",
        cuda_from_rows=f"mnist=1,iris={IRIS_FROM_ROWS}",
        models_dir=str(folder / "models"),
    ) as running:
        yield running


def test_the_log_says_once_what_runs_where_or_why_not_on_a_gpu(
    server: RunningService, placement: tuple[str, str]
) -> None:
    runtime, device = placement
    on_gpu = rf"{GPU}, by the rows of a batch: from 1 mnist/\d+; from {IRIS_FROM_ROWS} iris/\d+"
    shown = on_gpu if device == GPU else rf"{RUNTIMES[runtime]} runs on the CPU: .*CUDA"
    assert len(re.findall(shown, server.log())) == 1


def expected_devices(device: str) -> dict[str, tuple[str, int | None]]:
    """By model the device in the status, and the rows from which it is the GPU."""
    if device == GPU:
        return {"iris": (f"cpu,{GPU}", IRIS_FROM_ROWS), "mnist": (GPU, 1)}
    return {"iris": ("cpu", None), "mnist": ("cpu", None)}


def test_the_status_names_the_runtime_and_the_device(server: RunningService, placement: tuple[str, str]) -> None:
    runtime, device = placement
    for name, expected in expected_devices(device).items():
        status = server.client.get(f"/v1/models/{name}").json()
        assert (status["runtime"], status["device"], status["cuda_from_rows"]) == (RUNTIMES[runtime], *expected)


def test_the_metrics_name_the_runtime_and_the_device(server: RunningService, placement: tuple[str, str]) -> None:
    runtime, device = placement
    families = list(text_string_to_metric_families(server.client.get("/metrics").text))
    samples = [one for family in families for one in family.samples if one.name == "digitalis_model_info"]
    found = {one.labels["model"]: (one.labels["runtime"], one.labels["device"]) for one in samples}
    rows = {
        one.labels["model"]: one.value
        for family in families
        for one in family.samples
        if one.name == "digitalis_model_cuda_from_rows"
    }
    expected = expected_devices(device)
    assert found == {name: (RUNTIMES[runtime], shown) for name, (shown, _) in expected.items()}
    assert rows == {name: from_rows for name, (_, from_rows) in expected.items() if from_rows}


def golden(name: str) -> tuple[Bundle, Arrays, Arrays, Arrays]:
    """A bundle with its golden inputs, their outputs, and the tolerances."""
    bundle, contents = load_bundle(newest(name))
    return bundle, *read_golden(bundle.signature, contents)


@pytest.mark.parametrize("name", ["iris", "mnist"])
def test_v1_predicts_the_golden_outputs(server: RunningService, name: str) -> None:
    bundle, inputs, outputs, tolerance = golden(name)
    (array,) = inputs.values()
    response = predict(server, {"instances": array.tolist()}, name)
    assert response.status_code == 200, response.text
    predictions = response.json()["predictions"]
    found = np.array([[one["probabilities"][label] for label in bundle.labels] for one in predictions])
    assert_within(found, outputs["probabilities"], tolerance["probabilities"])
    assert [one["label"] for one in predictions] == [bundle.labels[row.argmax()] for row in outputs["probabilities"]]


@pytest.mark.parametrize("name", ["iris", "mnist"])
def test_v2_predicts_the_golden_outputs(server: RunningService, name: str) -> None:
    bundle, inputs, outputs, tolerance = golden(name)
    (spec,) = bundle.signature.inputs
    array = inputs[spec.name]
    tensor = {"name": spec.name, "shape": list(array.shape), "datatype": spec.datatype, "data": array.tolist()}
    response = server.client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
    assert response.status_code == 200, response.text
    found = {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in response.json()["outputs"]}
    assert list(found) == list(outputs)
    for output, expected in outputs.items():
        assert_within(found[output], expected, tolerance[output])


def test_v2_predicts_the_golden_outputs_as_binary_tensors(server: RunningService) -> None:
    _, inputs, outputs, tolerance = golden("mnist")
    (array,) = inputs.values()
    headers = {"Inference-Header-Content-Length": "0"}
    response = server.client.post("/v2/models/mnist/infer", content=array.tobytes(), headers=headers)
    assert response.status_code == 200, response.text
    length = int(response.headers["Inference-Header-Content-Length"])
    values = np.frombuffer(response.content[length:], "<f4")
    sizes = [expected.size for expected in outputs.values()]
    assert len(values) == sum(sizes)
    for found, (output, expected) in zip(np.split(values, np.cumsum(sizes)[:-1]), outputs.items(), strict=True):
        assert_within(found.reshape(expected.shape), expected, tolerance[output])


def assert_within(found: NDArray[Any], expected: NDArray[Any], tolerance: NDArray[Any]) -> None:
    assert found.shape == expected.shape
    assert (np.abs(found - expected) <= tolerance).all(), np.abs(found - expected).max()


def test_an_image_file_is_classified(server: RunningService) -> None:
    response = server.client.post("/v1/models/mnist:predict", files={"image": (SAMPLES / "3.png").read_bytes()})
    assert response.json()["predictions"][0]["label"] == "3"


def test_concurrent_requests_get_the_predictions_for_their_own_rows(server: RunningService) -> None:
    """From threads that share one session on the device, in batches of several sizes."""
    bundle, inputs, outputs, _ = golden("iris")
    labels = [bundle.labels[row.argmax()] for row in outputs["probabilities"]]
    rows = inputs["features"].tolist()

    def wrong(number: int) -> int:
        chosen = [(number + i) % len(rows) for i in range(1 + number % 7)]
        predictions = predict(server, {"instances": [rows[i] for i in chosen]}).json()["predictions"]
        return [one["label"] for one in predictions] != [labels[i] for i in chosen]

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(wrong, range(100))) == 0


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_several_models_that_run_on_the_gpu_at_once_predict_what_they_predict_on_the_cpu(runtime: str) -> None:
    """Their sessions share one stream and one allocator; sizes vary, so that memory changes its owner all the time."""
    names = ("mnist", "mnist-deep", "iris", "wine")
    on_gpu = {name: Model.open(newest(name), Settings(runtime=runtime, device="cuda")) for name in names}
    on_cpu = {name: Model.open(newest(name), Settings(runtime=runtime, device="cpu")) for name in names}
    batches = [(name, random_inputs(on_cpu[name].bundle, rows)) for rows in (1, 3, 40, 700, 5000) for name in names]
    expected = [on_cpu[name].predict(inputs) for name, inputs in batches]

    def largest_difference(seed: int) -> float:
        order = np.random.default_rng(seed).integers(0, len(batches), 100)
        return max(relative_difference(on_gpu[batches[i][0]].predict(batches[i][1]), expected[i]) for i in order)

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(largest_difference, range(8))) < 1e-4


def relative_difference(outputs: Arrays, expected: Arrays) -> float:
    """The largest one, as a share of the largest value."""
    return max(float(np.abs(outputs[name] - it).max() / np.abs(it).max()) for name, it in expected.items())


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_measured_placement_predicts_the_same_on_both_of_its_devices(runtime: str) -> None:
    """Thousands of rows of a large network are faster on any GPU."""
    model = Model.open(newest("mnist-deep"), Settings(runtime=runtime, device="auto"))
    assert isinstance(model.runtime, PlacedRuntime)
    inputs = random_inputs(model.bundle, 512)
    on_gpu, on_cpu = model.runtime._cuda.run(inputs), model.runtime._cpu.run(inputs)
    assert relative_difference(on_gpu, on_cpu) < 1e-5


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_more_workers_start_than_their_share_of_the_gpu_holds(runtime: str, tmp_path: Path) -> None:
    with RunningService(
        tmp_path / "log", runtime=runtime, device="cuda", workers="4", gpu_memory_share="0.0001"
    ) as running:
        assert re.search(r"has \d+ MiB free, and a worker takes \d+: 1 of 4 workers start", running.log())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_cuda_that_cannot_be_used_stops_the_start_with_the_reason(runtime: str) -> None:
    failed = failed_start(NO_GPU, runtime=runtime, device="cuda:99")
    assert failed.returncode == 2
    _starting, message = failed.stderr.splitlines()
    assert message.startswith("digitalis: ")
    assert "CUDA" in message


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_gpu_that_does_not_exist_stops_the_start_and_is_named(runtime: str) -> None:
    failed = failed_start(runtime=runtime, device="cuda:99")
    assert failed.returncode == 2
    _starting, message = failed.stderr.splitlines()
    assert message.startswith("digitalis: ")
    assert "cuda:99" in message
