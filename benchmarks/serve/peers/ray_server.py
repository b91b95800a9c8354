"""Ray Serve, following its quick start: one replica behind its HTTP proxy."""
# /// script
# dependencies = ["ray[serve]==2.60.0", "numpy==2.4.6", "onnxruntime==1.31.1"]
# ///

import os
import sys
from typing import Any

import numpy as np
import onnxruntime as ort
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(logging_config={"enable_access_log": False})
class Iris:
    """The Iris classifier."""

    def __init__(self, path: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(path, options)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """The class probabilities of each row."""
        body = await request.json()
        (rows,) = self.session.run(["probabilities"], {"features": np.array(body["instances"], np.float32)})
        return {"predictions": rows.tolist()}


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=4)  # logical CPUs for its scheduler; the process is pinned to one core
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Iris.bind(os.environ["IRIS_ONNX"]), route_prefix="/", blocking=True)
