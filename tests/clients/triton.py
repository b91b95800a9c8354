"""Every call of `tritonclient.http`, with its default options.

Arguments: the address of the service, and the version of iris.
"""

import sys
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], np.float32)


def tensor(name: str, array: Any, datatype: str) -> triton.InferInput:
    infer_input = triton.InferInput(name, list(array.shape), datatype)
    infer_input.set_data_from_numpy(array)
    return infer_input


def expect_error(status: int, phrase: str, call: Any, *arguments: Any, **options: Any) -> None:
    """Fail unless the call raises an error with this status, and with this phrase in its message."""
    try:
        call(*arguments, **options)
    except InferenceServerException as error:
        found = error.status(), error.message()
    else:
        raise AssertionError(f"no error: {phrase}")
    assert found[0] == str(status), found
    assert phrase in found[1], found


def check_metadata(client: triton.InferenceServerClient, version: str) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("iris")
    assert client.is_model_ready("iris", version)
    assert not client.is_model_ready("lily")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("iris")["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert client.get_model_metadata("iris", version)["versions"] == [version]
    iris = {"name": "iris", "version": version, "state": "READY", "reason": ""}
    assert iris in client.get_model_repository_index()
    assert client.get_model_config("iris")["input"][0]["data_type"] == "TYPE_FP32"


def check_inference(client: triton.InferenceServerClient, version: str) -> None:
    features = tensor("features", ROWS, "FP32")
    result = client.infer("iris", [features], request_id="seven")
    probabilities = result.as_numpy("probabilities")
    assert probabilities.argmax(axis=1).tolist() == [0, 2]
    assert result.get_response()["id"] == "seven"
    assert result.get_response()["model_version"] == version
    for count in (1, 256):
        images = tensor("image", np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8), "UINT8")
        assert client.infer("mnist", [images]).as_numpy("background").shape == (count, 1)
    for options in (
        {"request_compression_algorithm": "gzip"}, {"request_compression_algorithm": "deflate"},
        {"response_compression_algorithm": "gzip"}, {"response_compression_algorithm": "deflate"},
        {"model_version": version}, {"timeout": 1_000_000}, {"priority": 3}, {"parameters": {"mine": "x"}},
    ):  # fmt: skip
        assert np.array_equal(client.infer("iris", [features], **options).as_numpy("probabilities"), probabilities)
    json_features = triton.InferInput("features", [2, 4], "FP32")
    json_features.set_data_from_numpy(ROWS, binary_data=False)
    for binary in (True, False):
        output = triton.InferRequestedOutput("probabilities", binary_data=binary)
        result = client.infer("iris", [json_features], outputs=[output])
        assert np.array_equal(result.as_numpy("probabilities"), probabilities)
        output = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=3)
        classes = client.infer("iris", [features], outputs=[output]).as_numpy("probabilities")
        assert classes.shape == (2, 3)
        most_likely = classes[0, 0].decode() if binary else classes[0, 0]
        assert str(most_likely).endswith(":0:setosa"), most_likely
    assert client.async_infer("iris", [features]).get_result().as_numpy("probabilities").shape == (2, 3)
    statistics = client.get_inference_statistics("iris")["model_stats"][0]
    assert statistics["execution_count"] >= 12
    assert len(client.get_inference_statistics()["model_stats"]) > 20


def check_errors(client: triton.InferenceServerClient) -> None:
    def expect_infer_error(status: int, phrase: str, *inputs: triton.InferInput, **options: Any) -> None:
        expect_error(status, phrase, client.infer, "iris", list(inputs), **options)

    features = tensor("features", ROWS, "FP32")
    fp64, int32 = tensor("features", ROWS.astype("f8"), "FP64"), tensor("features", ROWS.astype("i4"), "INT32")
    expect_infer_error(400, "features: datatype FP64, expected FP32", fp64)
    expect_infer_error(400, "features: datatype INT32, expected FP32", int32)
    wide = tensor("features", np.zeros((1, 5), np.float32), "FP32")
    expect_infer_error(400, "features: shape [1, 5], expected [n, 4]", wide)
    pixels = tensor("pixels", ROWS, "FP32")
    expect_infer_error(400, "'pixels': unknown; the inputs of iris are features", pixels)
    expect_infer_error(400, "'features': twice", features, features)
    expect_infer_error(400, "NaN or an infinity", tensor("features", ROWS * np.nan, "FP32"))
    expect_infer_error(400, "'logits': unknown", features, outputs=[triton.InferRequestedOutput("logits")])
    expect_infer_error(404, "no version '9' of iris", features, model_version="9")
    too_many = tensor("features", np.zeros((10_001, 4), np.float32), "FP32")
    expect_infer_error(413, "10001 rows in one request: at most 10000", too_many)
    expect_error(404, "no model 'lily'", client.infer, "lily", [features])
    for call in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
        expect_error(404, "no model 'lily'", call, "lily")
    for call in (client.load_model, client.unload_model):
        expect_error(501, "DIGITALIS_REPOSITORY_API=true turns it on", call, "iris")
    for call, arguments in (
        (client.get_trace_settings, []), (client.get_log_settings, []), (client.get_system_shared_memory_status, []),
        (client.get_cuda_shared_memory_status, []), (client.register_system_shared_memory, ["a", "b", 4]),
    ):  # fmt: skip
        expect_error(501, "is not implemented", call, *arguments)


def main() -> None:
    address, version = sys.argv[1:]
    client = triton.InferenceServerClient(address)
    check_metadata(client, version)
    check_inference(client, version)
    check_errors(client)


main()
