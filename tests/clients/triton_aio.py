"""`tritonclient.http.aio`, likewise: it asks for compressed answers everywhere, and unpacks only those to `infer`."""

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
            found = await client.infer(
                "iris", [features], request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
            )
            assert found.as_numpy("probabilities").argmax(axis=1).tolist() == [0, 2]
        for count in (1, 256):
            image = triton.InferInput("image", [count, 28, 28], "UINT8")
            image.set_data_from_numpy(np.zeros((count, 28, 28), np.uint8))
            best = triton.InferRequestedOutput("probabilities", class_count=3)
            found = await client.infer("mnist", [image], outputs=[best])
            assert found.as_numpy("probabilities").shape == (count, 3)
        wrong = triton.InferInput("features", [2, 4], "FP64")
        wrong.set_data_from_numpy(ROWS.astype(np.float64))
        assert await refused(client, "iris", wrong) == ("400", "features: datatype FP64, expected FP32")
        assert (await refused(client, "lily", features))[0] == "404"


async def refused(client: triton.InferenceServerClient, model: str, tensor: triton.InferInput) -> tuple[str, str]:
    try:
        await client.infer(model, [tensor])
    except InferenceServerException as error:
        return error.status(), error.message()
    raise AssertionError(model)


asyncio.run(main())
