"""KServe's `InferenceRESTClient` with both protocols, and with tensors as JSON and as binary data."""

import asyncio
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

SERVER = f"http://{sys.argv[1]}"
ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], np.float32)


async def v1() -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await client.is_server_live(SERVER)
    assert await client.is_model_ready(SERVER, "iris")
    response = await client.infer(SERVER, {"instances": ROWS.tolist()}, model_name="iris")
    assert [prediction["label"] for prediction in response["predictions"]] == ["setosa", "virginica"]


async def v2() -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(SERVER)
    assert await client.is_server_ready(SERVER)
    assert await client.is_model_ready(SERVER, "iris")
    for binary_input in (True, False):
        for binary_output in (True, False):
            features = InferInput("features", list(ROWS.shape), "FP32")
            features.set_data_from_numpy(ROWS, binary_data=binary_input)
            outputs = [RequestedOutput("probabilities", {"binary_data": binary_output})]
            request = InferRequest("iris", [features], request_outputs=outputs)
            response = await client.infer(SERVER, request, model_name="iris")
            assert response.outputs[0].as_numpy().reshape(2, 3).argmax(axis=1).tolist() == [0, 2]


async def main() -> None:
    await v1()
    await v2()


asyncio.run(main())
