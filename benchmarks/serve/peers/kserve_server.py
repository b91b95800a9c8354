"""KServe's Python server with a custom model, following its documentation: V1 instances in, probabilities out."""

import argparse
import os
from typing import Any

import numpy as np
import onnxruntime as ort
from kserve import Model, ModelServer, model_server


class Iris(Model):  # type: ignore[misc]  # not typed
    """The Iris classifier."""

    def load(self) -> None:
        """Open an ONNX Runtime session."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["IRIS_ONNX"], options)
        self.ready = True

    async def predict(self, payload: dict[str, Any], headers: Any = None, response_headers: Any = None) -> Any:
        """The class probabilities of each row."""
        (rows,) = self.session.run(["probabilities"], {"features": np.array(payload["instances"], np.float32)})
        return {"predictions": rows.tolist()}


if __name__ == "__main__":
    arguments, _ = argparse.ArgumentParser(parents=[model_server.parser]).parse_known_args()
    model = Iris("iris")
    model.load()
    ModelServer(http_port=arguments.http_port, enable_grpc=False).start([model])
