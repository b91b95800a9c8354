"""The V2 protocol (Open Inference Protocol): valid requests and their responses. The corpus has the invalid ones."""

import contextlib
import gzip
import json
import os
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import IRIS_VERSION, MODELS, newest
from running_service import RunningService

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]
ROW_BYTES = 16  # four FP32 numbers
LABELS = ["setosa", "versicolor", "virginica"]
JSON_LENGTH = "Inference-Header-Content-Length"
MODEL_NAMES = sorted(path.name for path in MODELS.iterdir())
MNIST_VERSION = newest("mnist-deep").name
PLATFORMS = {"ONNX Runtime": "onnx_onnxv1", "TorchScript": "pytorch_torchscript"}


def features(**changes: Any) -> dict[str, Any]:
    """The input tensor `features` with two rows; a field that is changed to None is left out."""
    tensor = {"name": "features", "shape": [2, 4], "datatype": "FP32", "data": ROWS}
    return {key: value for key, value in (tensor | changes).items() if value is not None}


def infer(service: RunningService, body: dict[str, Any], model: str = "iris", **headers: str) -> httpx.Response:
    return service.client.post(f"/v2/models/{model}/infer", json=body, headers=headers)


def infer_binary(
    service: RunningService, header: dict[str, Any], tensors: bytes, model: str = "iris"
) -> httpx.Response:
    """Send a JSON header followed by binary tensors."""
    text = json.dumps(header).encode()
    return service.client.post(
        f"/v2/models/{model}/infer", content=text + tensors, headers={JSON_LENGTH: str(len(text))}
    )  # fmt: skip


def probabilities(service: RunningService, **changes: Any) -> Any:
    """The probabilities that iris predicts for the tensor `features(**changes)`."""
    response = infer(service, {"inputs": [features(**changes)]})
    assert response.status_code == 200, response.text
    (output,) = response.json()["outputs"]
    return output["data"]


def split_binary(response: httpx.Response) -> tuple[Any, bytes]:
    """The JSON header of a binary response, and the tensors after it."""
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/octet-stream"
    length = int(response.headers[JSON_LENGTH])
    return json.loads(response.content[:length]), response.content[length:]


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_metadata_has_the_name_and_the_extensions(service: RunningService, path: str) -> None:
    metadata = service.client.get(path).json()
    assert list(metadata) == ["name", "version", "extensions"]
    assert metadata["name"] == "digitalis"
    assert "binary_tensor_data" in metadata["extensions"]
    assert "classification" in metadata["extensions"]


@pytest.mark.parametrize("path", ["/v2/models/mnist-deep", f"/v2/models/mnist-deep/versions/{MNIST_VERSION}"])
def test_the_model_metadata_is_the_signature(service: RunningService, path: str) -> None:
    runtime = service.client.get("/v1/models/mnist-deep").json()["runtime"]
    assert service.client.get(path).json() == {
        "name": "mnist-deep",
        "versions": [MNIST_VERSION],
        "platform": PLATFORMS[runtime],
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
    }


@pytest.mark.parametrize("path", ["/v2/models/iris/ready", f"/v2/models/iris/versions/{IRIS_VERSION}/ready"])
def test_an_existing_model_is_ready(service: RunningService, path: str) -> None:
    assert service.client.get(path).json() == {"name": "iris", "ready": True}


def test_the_model_list_and_the_repository_index_name_every_model(service: RunningService) -> None:
    assert service.client.get("/v2/models").json() == {"models": MODEL_NAMES}
    for body in (b"", b"{}", b'{"ready": true}'):
        index = service.client.post("/v2/repository/index", content=body).json()
        assert [entry["name"] for entry in index] == MODEL_NAMES
        assert {"name": "iris", "version": IRIS_VERSION, "state": "READY", "reason": ""} in index


def test_the_model_configuration_has_the_fields_of_triton(service: RunningService) -> None:
    config = service.client.get("/v2/models/mnist-deep/config").json()
    assert config["max_batch_size"] == 10_000
    assert config["input"] == [{"name": "image", "data_type": "TYPE_UINT8", "dims": [28, 28]}]
    assert config["output"] == [{"name": "probabilities", "data_type": "TYPE_FP32", "dims": [10]}]
    assert config["dynamic_batching"] is None


def test_a_response_has_the_model_name_the_version_and_the_request_id(service: RunningService) -> None:
    body = {"id": "seven", "inputs": [features()], "parameters": {"priority": 3, "x": "y", "z": 0.5, "on": True}}
    response = infer(service, body).json()
    assert list(response) == ["model_name", "model_version", "outputs", "id"]
    assert (response["model_name"], response["model_version"], response["id"]) == ("iris", IRIS_VERSION, "seven")
    (output,) = response["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [2, 3])
    assert "id" not in infer(service, {"inputs": [features()]}).json()


def test_missing_or_empty_outputs_select_all_and_unknown_fields_are_ignored(service: RunningService) -> None:
    plain = infer(service, {"inputs": [features()]}).json()
    assert infer(service, {"inputs": [features()], "outputs": []}).json() == plain
    assert infer(service, {"inputs": [features()], "model_name": "another", "extra": {"a": [1]}}).json() == plain
    assert infer(service, {"inputs": [features(parameters={})], "parameters": None, "id": None}).json() == plain


def test_an_error_response_is_json_even_if_the_request_selects_binary_outputs(service: RunningService) -> None:
    body = {"inputs": [features(data=None, parameters={"binary_data_size": 32})], "outputs": [{"name": "none"}]}
    response = infer_binary(service, body | {"parameters": {"binary_data_output": True}}, bytes(32))
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/json"
    assert JSON_LENGTH not in response.headers
    assert list(response.json()) == ["error"]


def test_data_may_be_flat_or_nested_and_integers_are_converted_to_fp32(service: RunningService) -> None:
    nested = probabilities(service)
    assert probabilities(service, data=[value for row in ROWS for value in row]) == nested
    integers = [[5, 3, 1, 0], [6, 3, 6, 2]]
    assert probabilities(service, data=integers) == probabilities(service, data=np.array(integers, float).tolist())


def test_v1_and_v2_return_bit_identical_probabilities(service: RunningService) -> None:
    random = np.random.default_rng(0)
    rows = random.uniform(0.1, 7.9, (100, 4)).tolist()
    predictions = service.client.post("/v1/models/iris:predict", json={"instances": rows}).json()["predictions"]
    from_v1 = [value for prediction in predictions for value in prediction["probabilities"].values()]
    assert probabilities(service, shape=[100, 4], data=rows) == from_v1
    fp32 = np.array(rows, np.float64).astype("<f4")
    header = {"inputs": [features(shape=[100, 4], data=None, parameters={"binary_data_size": 100 * ROW_BYTES})]}
    assert infer_binary(service, header, fp32.tobytes()).json()["outputs"][0]["data"] == from_v1

    images = random.integers(0, 256, (3, 28, 28)).tolist()
    predictions = service.client.post("/v1/models/mnist:predict", json={"instances": images}).json()["predictions"]
    body = {"inputs": [{"name": "image", "shape": [3, 28, 28], "datatype": "UINT8", "data": images}]}
    output = infer(service, body, "mnist").json()["outputs"][0]
    assert output["data"] == [value for prediction in predictions for value in prediction["probabilities"].values()]


def test_binary_tensors_are_accepted_and_returned(service: RunningService) -> None:
    tensor = np.array(ROWS, "<f4").tobytes()
    header = {"inputs": [features(data=None, parameters={"binary_data_size": 2 * ROW_BYTES})]}
    from_json = infer_binary(service, header, tensor).json()["outputs"][0]["data"]
    assert from_json == probabilities(service)
    binary = infer_binary(service, header | {"parameters": {"binary_data_output": True}}, tensor)
    response, tensors = split_binary(binary)
    (output,) = response["outputs"]
    assert "data" not in output
    assert output["parameters"] == {"binary_data_size": 24}
    expected = np.array(from_json, np.float32).reshape(2, 3)
    assert np.array_equal(np.frombuffer(tensors, "<f4").reshape(output["shape"]), expected)


def test_outputs_keep_the_requested_order_and_each_may_be_json_or_binary(service: RunningService) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 28, 28), np.uint8)
    tensor = {"name": "image", "shape": [2, 28, 28], "datatype": "UINT8", "parameters": {"binary_data_size": 1568}}
    outputs = [{"name": "background"}, {"name": "probabilities", "parameters": {"binary_data": False}}]
    header = {"inputs": [tensor], "outputs": outputs, "parameters": {"binary_data_output": True}}
    response, tensors = split_binary(infer_binary(service, header, images.tobytes(), "mnist"))
    assert [output["name"] for output in response["outputs"]] == ["background", "probabilities"]
    assert len(tensors) == response["outputs"][0]["parameters"]["binary_data_size"] == 8
    assert len(response["outputs"][1]["data"]) == 20


def test_a_raw_request_is_the_tensor_alone_and_all_outputs_are_binary(service: RunningService) -> None:
    for count in (1, 3):
        images = np.random.default_rng(2).integers(0, 256, (count, 28, 28), np.uint8)
        raw = service.client.post("/v2/models/mnist/infer", content=images.tobytes(), headers={JSON_LENGTH: "0"})
        response, tensors = split_binary(raw)
        shapes = [output["shape"] for output in response["outputs"]]
        assert shapes == [[count, 10], [count, 1]]
        assert len(tensors) == 44 * count


def test_a_classification_returns_the_most_likely_labels(service: RunningService) -> None:
    def top(classes: int, **parameters: Any) -> dict[str, Any]:
        output = {"name": "probabilities", "parameters": {"classification": classes, **parameters}}
        return {"inputs": [features()], "outputs": [output]}

    values = np.array(probabilities(service)).reshape(2, 3)
    (output,) = infer(service, top(2)).json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 2])
    ranked = [(row, label) for row in range(2) for label in np.argsort(-values[row])[:2]]
    assert output["data"] == [f"{values[row, label]:f}:{label}:{LABELS[label]}" for row, label in ranked]
    assert infer(service, top(9)).json()["outputs"][0]["shape"] == [2, 3]

    response, tensors = split_binary(infer(service, top(1, binary_data=True)))
    strings = []
    while tensors:
        length = int.from_bytes(tensors[:4], "little")
        strings.append(tensors[4 : 4 + length].decode())
        tensors = tensors[4 + length :]
    assert strings == output["data"][::2]
    assert response["outputs"][0]["shape"] == [2, 1]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_request_states_the_uncompressed_length_of_its_json(
    service: RunningService, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    text = json.dumps({"inputs": [features(data=None, parameters={"binary_data_size": 2 * ROW_BYTES})]}).encode()
    content = compress(text + np.array(ROWS, "<f4").tobytes())
    headers = {JSON_LENGTH: str(len(text)), "Content-Encoding": encoding}
    response = service.client.post("/v2/models/iris/infer", content=content, headers=headers)
    assert response.json()["outputs"][0]["data"] == probabilities(service)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate, br, zstd", "gzip"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("br", None), ("identity", None), ("gzip;q=0", None), ("", None), ("identity, gzip;q=0.5", None),
    ],
)  # fmt: skip
def test_only_successful_infer_responses_are_compressed_as_accept_encoding_prefers(
    service: RunningService, accepted: str, encoding: str | None
) -> None:
    headers = {"Accept-Encoding": accepted}
    response = infer(service, {"inputs": [features()]}, **headers)
    assert response.headers.get("Content-Encoding") == encoding
    assert response.json()["outputs"][0]["data"] == probabilities(service)
    for uncompressed in (
        infer(service, {"inputs": []}, **headers),
        service.client.get("/v2", headers=headers),
        service.client.get("/v2/models/iris", headers=headers),
    ):
        assert "Content-Encoding" not in uncompressed.headers


def test_the_content_type_of_an_infer_request_is_ignored(service: RunningService) -> None:
    body = json.dumps({"inputs": [features()]}).encode()
    expected = probabilities(service)
    for kind in ("application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data", "text/csv"):
        response = service.client.post("/v2/models/iris/infer", content=body, headers={"Content-Type": kind})
        assert response.status_code == 200
        assert response.json()["outputs"][0]["data"] == expected
    response = service.client.post("/v2/models/iris/infer", content=body)
    assert "Content-Type" not in response.request.headers
    assert response.json()["outputs"][0]["data"] == expected


def test_statistics_add_up_all_workers_and_survive_a_killed_worker(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", workers="2", log_requests="all") as service:
        service.wait_for_workers(2)

        def infer_over_new_connections(count: int) -> None:
            for _ in range(count):
                url = f"{service.url}/v2/models/iris/infer"
                assert httpx.post(url, json={"inputs": [features()]}, timeout=60).is_success

        def iris_statistics() -> Any:
            return service.client.get("/v2/models/iris/stats").json()["model_stats"][0]

        first, second = service.workers()
        for other in (second, first):
            with stopped(other):
                infer_over_new_connections(20)
        assert processes_that_predicted(service) == {first, second}
        httpx.post(f"{service.url}/v1/models/iris:predict", json={"instances": ROWS})
        assert infer(service, {"inputs": []}).status_code == 400
        statistics = iris_statistics()
        assert (statistics["execution_count"], statistics["inference_count"]) == (41, 82)
        success, fail = statistics["inference_stats"]["success"], statistics["inference_stats"]["fail"]
        assert (success["count"], fail["count"]) == (41, 1)
        assert statistics["inference_stats"]["queue"] == {"count": 41, "ns": 0}  # perf_analyzer needs the count
        stages = [statistics["inference_stats"][f"compute_{stage}"]["ns"] for stage in ("input", "infer", "output")]
        assert sum(stages) == success["ns"] > 0
        kill_one_worker(service)
        infer_over_new_connections(10)
        assert iris_statistics()["execution_count"] == 51
        all_statistics = service.client.get("/v2/models/stats").json()["model_stats"]
        assert [model["name"] for model in all_statistics] == MODEL_NAMES
        by_version = service.client.get(f"/v2/models/iris/versions/{IRIS_VERSION}/stats").json()["model_stats"]
        assert by_version == [iris_statistics()]


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A worker process that is stopped for a while, so that the other one handles every request."""
    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 60
        while not all(map(is_stopped, Path(f"/proc/{pid}/task").iterdir())):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_stopped(thread: Path) -> bool:
    """Whether a thread, given as its folder under /proc, is in the state T."""
    return (thread / "stat").read_text().rpartition(") ")[2].startswith("T")


def processes_that_predicted(service: RunningService) -> set[int]:
    """The ids of the worker processes that have handled a request for a model, from the request log."""
    lines = [json.loads(line) for line in service.log().splitlines() if line.startswith("{")]
    return {line["process"] for line in lines if "rows" in line}


def kill_one_worker(service: RunningService) -> None:
    """Kill a worker with SIGKILL, as the kernel does when memory runs out, and wait until it has been replaced."""
    os.kill(service.workers()[0], signal.SIGKILL)
    service.wait_for_workers(3)
    service.client.close()
    service.client = httpx.Client(base_url=service.url, timeout=60)
