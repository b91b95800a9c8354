"""The Open Inference Protocol: what it says, byte by byte; what it refuses is in the corpus."""

import gzip
import json
import os
import signal
import zlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import MODELS
from running_service import RunningService

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]
LABELS = ["setosa", "versicolor", "virginica"]
LENGTH = "Inference-Header-Content-Length"
PLATFORMS = {"ONNX Runtime": "onnx_onnxv1", "TorchScript": "pytorch_torchscript"}


def features(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "features", "shape": [2, 4], "datatype": "FP32", "data": ROWS}
    return {key: value for key, value in (tensor | changes).items() if value is not None}


def infer(service: RunningService, body: dict[str, Any], model: str = "iris", **headers: str) -> httpx.Response:
    return service.client.post(f"/v2/models/{model}/infer", json=body, headers=headers)


def probabilities(service: RunningService, **changes: Any) -> Any:
    answer = infer(service, {"inputs": [features(**changes)]})
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    return output["data"]


def binary(service: RunningService, body: dict[str, Any], tensors: bytes, model: str = "iris") -> httpx.Response:
    text = json.dumps(body).encode()
    return service.client.post(
        f"/v2/models/{model}/infer", content=text + tensors, headers={LENGTH: str(len(text))}
    )  # fmt: skip


def parts(answer: httpx.Response) -> tuple[Any, bytes]:
    """The JSON of a binary answer, and what is behind it."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    return json.loads(answer.content[:length]), answer.content[length:]


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_says_its_name_and_which_extensions_it_speaks(service: RunningService, path: str) -> None:
    found = service.client.get(path).json()
    assert list(found) == ["name", "version", "extensions"]
    assert "binary_tensor_data" in found["extensions"]
    assert "classification" in found["extensions"]


@pytest.mark.parametrize("path", ["/v2/models/mnist-deep", "/v2/models/mnist-deep/versions/4"])
def test_the_metadata_are_the_signature(service: RunningService, path: str) -> None:
    runtime = service.client.get("/v1/models/mnist-deep").json()["runtime"]
    assert service.client.get(path).json() == {
        "name": "mnist-deep",
        "versions": ["4"],
        "platform": PLATFORMS[runtime],
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
    }


@pytest.mark.parametrize("path", ["/v2/models/iris/ready", "/v2/models/iris/versions/3/ready"])
def test_a_model_that_is_there_is_ready(service: RunningService, path: str) -> None:
    assert service.client.get(path).json() == {"name": "iris", "ready": True}


def test_the_models_are_listed_and_indexed_with_their_versions(service: RunningService) -> None:
    names = sorted(path.name for path in MODELS.iterdir())
    assert service.client.get("/v2/models").json() == {"models": names}
    for body in (b"", b"{}", b'{"ready": true}'):
        found = service.client.post("/v2/repository/index", content=body).json()
        assert [entry["name"] for entry in found] == names
        assert {"name": "iris", "version": "3", "state": "READY", "reason": ""} in found


def test_the_configuration_is_tritons(service: RunningService) -> None:
    found = service.client.get("/v2/models/mnist-deep/config").json()
    assert found["max_batch_size"] == 10_000
    assert found["input"] == [{"name": "image", "data_type": "TYPE_UINT8", "dims": [28, 28]}]
    assert found["output"] == [{"name": "probabilities", "data_type": "TYPE_FP32", "dims": [10]}]


def test_an_answer_has_the_models_name_the_version_and_the_id_that_was_given(service: RunningService) -> None:
    body = {"id": "seven", "inputs": [features()], "parameters": {"priority": 3, "x": "y", "z": 0.5, "on": True}}
    found = infer(service, body).json()
    assert list(found) == ["model_name", "model_version", "outputs", "id"]
    assert (found["model_name"], found["model_version"], found["id"]) == ("iris", "3", "seven")
    (output,) = found["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [2, 3])
    assert "id" not in infer(service, {"inputs": [features()]}).json()


def test_no_list_of_outputs_an_empty_one_and_unknown_fields_are_all_the_same(service: RunningService) -> None:
    plain = infer(service, {"inputs": [features()]}).json()
    assert infer(service, {"inputs": [features()], "outputs": []}).json() == plain
    assert infer(service, {"inputs": [features()], "model_name": "another", "extra": {"a": [1]}}).json() == plain
    assert infer(service, {"inputs": [features(parameters={})], "parameters": None, "id": None}).json() == plain


def test_a_refusal_is_plain_json_whatever_was_asked_for(service: RunningService) -> None:
    body = {"inputs": [features(data=None, parameters={"binary_data_size": 32})], "outputs": [{"name": "none"}]}
    answer = binary(service, body | {"parameters": {"binary_data_output": True}}, bytes(32))
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert LENGTH not in answer.headers
    assert list(answer.json()) == ["error"]


def test_data_may_be_flat_or_nested_and_of_whole_numbers(service: RunningService) -> None:
    nested = probabilities(service)
    assert probabilities(service, data=[value for row in ROWS for value in row]) == nested
    assert len(probabilities(service, data=[[5, 3, 1, 0], [6, 3, 6, 2]])) == 6


def test_both_protocols_give_the_same_probabilities_to_the_bit(service: RunningService) -> None:
    random = np.random.default_rng(0)
    rows = random.uniform(0.1, 7.9, (100, 4)).tolist()
    found = service.client.post("/v1/models/iris:predict", json={"instances": rows}).json()["predictions"]
    first = [value for prediction in found for value in prediction["probabilities"].values()]
    assert probabilities(service, shape=[100, 4], data=rows) == first
    exact = np.array(rows, np.float64).astype("<f4")
    body = {"inputs": [features(shape=[100, 4], data=None, parameters={"binary_data_size": 1600})]}
    assert binary(service, body, exact.tobytes()).json()["outputs"][0]["data"] == first

    images = random.integers(0, 256, (3, 28, 28))
    found = service.client.post("/v1/models/mnist:predict", json={"instances": images.tolist()}).json()["predictions"]
    body = {"inputs": [{"name": "image", "shape": [3, 28, 28], "datatype": "UINT8", "data": images.tolist()}]}
    output = infer(service, body, "mnist").json()["outputs"][0]
    assert output["data"] == [value for one in found for value in one["probabilities"].values()]


def test_binary_tensors_go_in_and_come_out(service: RunningService) -> None:
    tensor = np.array(ROWS, "<f4").tobytes()
    body = {"inputs": [features(data=None, parameters={"binary_data_size": 32})]}
    wanted = np.array(binary(service, body, tensor).json()["outputs"][0]["data"], np.float32).reshape(2, 3)
    found, behind = parts(binary(service, body | {"parameters": {"binary_data_output": True}}, tensor))
    (output,) = found["outputs"]
    assert "data" not in output
    assert output["parameters"] == {"binary_data_size": 24}
    assert np.array_equal(np.frombuffer(behind, "<f4").reshape(output["shape"]), wanted)


def test_an_output_may_be_json_where_the_others_are_binary_and_comes_where_it_was_asked_for(
    service: RunningService,
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 28, 28), np.uint8)
    tensor = {"name": "image", "shape": [2, 28, 28], "datatype": "UINT8", "parameters": {"binary_data_size": 1568}}
    outputs = [{"name": "background"}, {"name": "probabilities", "parameters": {"binary_data": False}}]
    body = {"inputs": [tensor], "outputs": outputs, "parameters": {"binary_data_output": True}}
    found, behind = parts(binary(service, body, images.tobytes(), "mnist"))
    assert [output["name"] for output in found["outputs"]] == ["background", "probabilities"]
    assert len(behind) == found["outputs"][0]["parameters"]["binary_data_size"] == 8
    assert len(found["outputs"][1]["data"]) == 20


def test_a_raw_request_is_the_bytes_of_the_rows_and_all_outputs_come_back_binary(service: RunningService) -> None:
    for count in (1, 3):
        images = np.random.default_rng(2).integers(0, 256, (count, 28, 28), np.uint8)
        answer = service.client.post("/v2/models/mnist/infer", content=images.tobytes(), headers={LENGTH: "0"})
        found, behind = parts(answer)
        shapes = [output["shape"] for output in found["outputs"]]
        assert shapes == [[count, 10], [count, 1]]
        assert len(behind) == 44 * count


def test_a_classification_names_the_likeliest_labels(service: RunningService) -> None:
    def asked(classes: int, **more: Any) -> dict[str, Any]:
        return {"name": "probabilities", "parameters": {"classification": classes, **more}}

    values = np.array(probabilities(service)).reshape(2, 3)
    (output,) = infer(service, {"inputs": [features()], "outputs": [asked(2)]}).json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 2])
    wanted = [(row, i) for row in range(2) for i in np.argsort(-values[row])[:2]]
    assert output["data"] == [f"{values[row, i]:f}:{i}:{LABELS[i]}" for row, i in wanted]
    assert infer(service, {"inputs": [features()], "outputs": [asked(9)]}).json()["outputs"][0]["shape"] == [2, 3]

    found, behind = parts(infer(service, {"inputs": [features()], "outputs": [asked(1, binary_data=True)]}))
    texts = []
    while behind:
        length = int.from_bytes(behind[:4], "little")
        texts.append(behind[4 : 4 + length].decode())
        behind = behind[4 + length :]
    assert texts == output["data"][::2]
    assert found["outputs"][0]["shape"] == [2, 1]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_request_has_the_length_of_its_plain_json(
    service: RunningService, encoding: str, compress: Any
) -> None:
    text = json.dumps({"inputs": [features(data=None, parameters={"binary_data_size": 32})]}).encode()
    content = compress(text + np.array(ROWS, "<f4").tobytes())
    headers = {LENGTH: str(len(text)), "Content-Encoding": encoding}
    answer = service.client.post("/v2/models/iris/infer", content=content, headers=headers)
    assert answer.json()["outputs"][0]["data"] == probabilities(service)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate, br, zstd", "gzip"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("br", None), ("identity", None), ("gzip;q=0", None), ("", None), ("identity, gzip;q=0.5", None),
    ],
)  # fmt: skip
def test_only_an_answer_that_succeeds_is_compressed_and_only_where_that_is_asked_for(
    service: RunningService, asked: str, given: str | None
) -> None:
    answer = infer(service, {"inputs": [features()]}, **{"Accept-Encoding": asked})
    assert answer.headers.get("Content-Encoding") == given
    assert answer.json()["outputs"][0]["data"] == probabilities(service)
    headers = {"Accept-Encoding": asked}
    for other in (
        infer(service, {"inputs": []}, **headers),
        service.client.get("/v2", headers=headers),
        service.client.get("/v2/models/iris", headers=headers),
    ):
        assert "Content-Encoding" not in other.headers


def test_nothing_is_read_of_the_content_type(service: RunningService) -> None:
    body = json.dumps({"inputs": [features()]}).encode()
    for kind in ("application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data", "text/csv"):
        answer = service.client.post("/v2/models/iris/infer", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 200


def test_the_statistics_are_of_all_workers_and_outlive_one(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", workers="2") as service:
        service.wait_for_workers(2)

        def ask(times: int) -> None:
            for _ in range(times):  # a connection each, so that both workers have some
                assert httpx.post(f"{service.url}/v2/models/iris/infer", json={"inputs": [features()]}).is_success

        def found() -> Any:
            return service.client.get("/v2/models/iris/stats").json()["model_stats"][0]

        ask(40)
        httpx.post(f"{service.url}/v1/models/iris:predict", json={"instances": ROWS})
        assert infer(service, {"inputs": []}).status_code == 400
        first = found()
        assert (first["execution_count"], first["inference_count"]) == (41, 82)
        success, fail = first["inference_stats"]["success"], first["inference_stats"]["fail"]
        assert (success["count"], fail["count"]) == (41, 1)
        assert first["inference_stats"]["queue"] == {"count": 41, "ns": 0}  # perf_analyzer needs the count
        stages = [first["inference_stats"][f"compute_{stage}"]["ns"] for stage in ("input", "infer", "output")]
        assert sum(stages) == success["ns"] > 0
        kill(service)
        ask(10)
        assert found()["execution_count"] == 51
        everything = service.client.get("/v2/models/stats").json()["model_stats"]
        assert [one["name"] for one in everything] == sorted(path.name for path in MODELS.iterdir())
        assert service.client.get("/v2/models/iris/versions/3/stats").json()["model_stats"] == [found()]


def kill(service: RunningService) -> None:
    """One worker, as the kernel does when memory runs out; until it has been replaced."""
    os.kill(service.workers()[0], signal.SIGKILL)
    service.wait_for_workers(3)
    service.client.close()
    service.client = httpx.Client(base_url=service.url, timeout=60)
