"""KServe's `InferenceRESTClient`, over both protocols, with tensors as JSON and binary."""

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
    found = await client.infer(SERVER, {"instances": ROWS.tolist()}, model_name="iris")
    assert [one["label"] for one in found["predictions"]] == ["setosa", "virginica"]


async def v2() -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(SERVER)
    assert await client.is_server_ready(SERVER)
    assert await client.is_model_ready(SERVER, "iris")
    for sent in (True, False):
        for wanted in (True, False):
            features = InferInput("features", list(ROWS.shape), "FP32")
            features.set_data_from_numpy(ROWS, binary_data=sent)
            outputs = [RequestedOutput("probabilities", {"binary_data": wanted})]
            request = InferRequest("iris", [features], request_outputs=outputs)
            found = await client.infer(SERVER, request, model_name="iris")
            assert found.outputs[0].as_numpy().reshape(2, 3).argmax(axis=1).tolist() == [0, 2]


async def main() -> None:
    await v1()
    await v2()


asyncio.run(main())
