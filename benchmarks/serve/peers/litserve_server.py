"""LitServe, following its quick start."""
# /// script
# dependencies = ["litserve==0.2.19", "numpy==2.4.6", "onnxruntime==1.31.1"]
# ///

import os
import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime as ort


class Iris(litserve.LitAPI):
    """The Iris classifier."""

    def setup(self, device: str) -> None:
        """Open an ONNX Runtime session."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["IRIS_ONNX"], options)

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        """The rows of features, FP32 [n, 4]."""
        return np.array(request["instances"], np.float32)

    def predict(self, x: np.ndarray) -> Any:
        """The class probabilities of each row."""
        return self.session.run(["probabilities"], {"features": x})[0]

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The response body."""
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Iris(api_path="/v1/models/iris:predict"), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
