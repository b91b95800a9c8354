"""`tritonclient.http.aio`, with its default options.

It accepts compressed responses to every request, but decompresses only those to `infer`.
"""

import asyncio
import sys

import numpy as np
import tritonclient.http.aio as triton
from tritonclient.utils import InferenceServerException

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], np.float32)


async def main() -> None:
    async with triton.InferenceServerClient(sys.argv[1]) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("iris")
        assert (await client.get_server_metadata())["name"] == "digitalis"
        assert (await client.get_model_metadata("iris"))["platform"] == "onnx_onnxv1"
        assert len(await client.get_model_repository_index()) > 20
        assert (await client.get_model_config("iris"))["max_batch_size"] == 10_000
        assert len((await client.get_inference_statistics("iris"))["model_stats"]) == 1
        features = triton.InferInput("features", [2, 4], "FP32")
        features.set_data_from_numpy(ROWS)
        for algorithm in (None, "gzip", "deflate"):
            result = await client.infer(
                "iris", [features], request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
            )
            assert result.as_numpy("probabilities").argmax(axis=1).tolist() == [0, 2]
        for count in (1, 256):
            image = triton.InferInput("image", [count, 28, 28], "UINT8")
            image.set_data_from_numpy(np.zeros((count, 28, 28), np.uint8))
            output = triton.InferRequestedOutput("probabilities", class_count=3)
            result = await client.infer("mnist", [image], outputs=[output])
            assert result.as_numpy("probabilities").shape == (count, 3)
        fp64 = triton.InferInput("features", [2, 4], "FP64")
        fp64.set_data_from_numpy(ROWS.astype(np.float64))
        assert await infer_error(client, "iris", fp64) == ("400", "features: datatype FP64, expected FP32")
        assert (await infer_error(client, "lily", features))[0] == "404"


async def infer_error(client: triton.InferenceServerClient, model: str, tensor: triton.InferInput) -> tuple[str, str]:
    """Status and message of the error that this request gets."""
    try:
        await client.infer(model, [tensor])
    except InferenceServerException as error:
        return error.status(), error.message()
    raise AssertionError(f"no error from {model}")


asyncio.run(main())
