"""`tritonclient.http`, with its defaults, against the server at the address that is the argument: every call."""

import sys
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], np.float32)


def tensor(name: str, array: Any, datatype: str, shape: list[int] | None = None) -> triton.InferInput:
    found = triton.InferInput(name, shape or list(array.shape), datatype)
    found.set_data_from_numpy(array)
    return found


def refused(status: int, words: str, call: Any, *arguments: Any, **options: Any) -> None:
    try:
        call(*arguments, **options)
    except InferenceServerException as error:
        found = error.status(), error.message()
    else:
        raise AssertionError(f"not refused: {words}")
    assert found[0] == str(status), found
    assert words in found[1], found


def main() -> None:
    client = triton.InferenceServerClient(sys.argv[1])
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("iris")
    assert client.is_model_ready("iris", "3")
    assert not client.is_model_ready("lily")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("iris")["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert client.get_model_metadata("iris", "3")["versions"] == ["3"]
    assert {"name": "iris", "version": "3", "state": "READY", "reason": ""} in client.get_model_repository_index()
    assert client.get_model_config("iris")["input"][0]["data_type"] == "TYPE_FP32"

    features = tensor("features", ROWS, "FP32")
    found = client.infer("iris", [features], request_id="seven")
    probabilities = found.as_numpy("probabilities")
    assert probabilities.argmax(axis=1).tolist() == [0, 2]
    assert found.get_response()["id"] == "seven"
    assert found.get_response()["model_version"] == "3"
    for count in (1, 256):
        images = tensor("image", np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8), "UINT8")
        assert client.infer("mnist", [images]).as_numpy("background").shape == (count, 1)
    for options in (
        {"request_compression_algorithm": "gzip"}, {"request_compression_algorithm": "deflate"},
        {"response_compression_algorithm": "gzip"}, {"response_compression_algorithm": "deflate"},
        {"model_version": "3"}, {"timeout": 1_000_000}, {"priority": 3}, {"parameters": {"mine": "x"}},
    ):  # fmt: skip
        assert np.array_equal(client.infer("iris", [features], **options).as_numpy("probabilities"), probabilities)
    plain = triton.InferInput("features", [2, 4], "FP32")
    plain.set_data_from_numpy(ROWS, binary_data=False)
    for binary in (True, False):
        wanted = triton.InferRequestedOutput("probabilities", binary_data=binary)
        assert np.array_equal(client.infer("iris", [plain], outputs=[wanted]).as_numpy("probabilities"), probabilities)
        best = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=3)
        texts = client.infer("iris", [features], outputs=[best]).as_numpy("probabilities")
        assert texts.shape == (2, 3)
        first = texts[0, 0].decode() if binary else texts[0, 0]
        assert str(first).endswith(":0:setosa"), first
    assert client.async_infer("iris", [features]).get_result().as_numpy("probabilities").shape == (2, 3)
    counted = client.get_inference_statistics("iris")["model_stats"][0]
    assert counted["execution_count"] >= 12
    assert len(client.get_inference_statistics()["model_stats"]) > 20

    wide = np.zeros((1, 5), np.float32)
    refused(
        400,
        "features: datatype FP64, expected FP32",
        client.infer,
        "iris",
        [tensor("features", ROWS.astype("f8"), "FP64")],
    )
    refused(
        400,
        "features: datatype INT32, expected FP32",
        client.infer,
        "iris",
        [tensor("features", ROWS.astype("i4"), "INT32")],
    )
    refused(400, "features: shape [1, 5], expected [-1, 4]", client.infer, "iris", [tensor("features", wide, "FP32")])
    refused(400, "'pixels': unknown; iris takes features", client.infer, "iris", [tensor("pixels", ROWS, "FP32")])
    refused(400, "'features': twice", client.infer, "iris", [features, features])
    refused(400, "NaN or an infinity", client.infer, "iris", [tensor("features", ROWS * np.nan, "FP32")])
    refused(400, "'logits': unknown", client.infer, "iris", [features], outputs=[triton.InferRequestedOutput("logits")])
    refused(404, "no model 'lily'", client.infer, "lily", [features])
    refused(404, "no version '9' of iris", client.infer, "iris", [features], model_version="9")
    refused(413, "10001 rows in one request: at most 10000", client.infer, "iris",
            [tensor("features", np.zeros((10_001, 4), np.float32), "FP32")])  # fmt: skip
    refused(404, "no model 'lily'", client.get_model_metadata, "lily")
    refused(404, "no model 'lily'", client.get_model_config, "lily")
    refused(404, "no model 'lily'", client.get_inference_statistics, "lily")
    for call, arguments in (
        (client.load_model, ["iris"]), (client.unload_model, ["iris"]), (client.get_trace_settings, []),
        (client.get_log_settings, []), (client.get_system_shared_memory_status, []),
        (client.get_cuda_shared_memory_status, []), (client.register_system_shared_memory, ["a", "b", 4]),
    ):  # fmt: skip
        refused(501, "is not here", call, *arguments)


main()
