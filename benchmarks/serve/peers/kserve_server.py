"""KServe's server with a model of one's own, as its documentation has it: rows in, rows out."""

import argparse
import os
from typing import Any

import numpy as np
import onnxruntime as ort
from kserve import Model, ModelServer, model_server


class Iris(Model):  # type: ignore[misc]  # not typed
    """Irises."""

    def load(self) -> None:
        """Open the file."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["IRIS_ONNX"], options)
        self.ready = True

    async def predict(self, payload: dict[str, Any], headers: Any = None, response_headers: Any = None) -> Any:
        """The probabilities of each row."""
        (rows,) = self.session.run(["probabilities"], {"features": np.array(payload["instances"], np.float32)})
        return {"predictions": rows.tolist()}


if __name__ == "__main__":
    arguments, _ = argparse.ArgumentParser(parents=[model_server.parser]).parse_known_args()
    model = Iris("iris")
    model.load()
    ModelServer(http_port=arguments.http_port, enable_grpc=False).start([model])
