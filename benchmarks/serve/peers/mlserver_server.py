"""MLServer with a custom runtime, following its documentation: V2 tensors as JSON, in and out."""
# /// script
# dependencies = ["mlserver==1.7.1", "uvloop==0.21.0", "numpy==2.4.6", "onnxruntime==1.31.1"]
# ///

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Iris(MLModel):
    """The Iris classifier."""

    async def load(self) -> bool:
        """Open an ONNX Runtime session."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["IRIS_ONNX"], options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The class probabilities of each row."""
        features = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        (rows,) = self.session.run(["probabilities"], {"features": features})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("probabilities", rows)])


async def main(port: int) -> None:
    """Serve one model in this process; MLServer's default, a pool of inference processes, is slower on one core."""
    quiet = {"debug": False, "logging_settings": {"version": 1, "root": {"level": "WARNING"}}}
    ports = {"http_port": port, "grpc_port": port + 500, "metrics_port": port + 1000}
    settings = Settings(host="127.0.0.1", parallel_workers=0, metrics_dir=str(Path.cwd()), **ports, **quiet)
    await MLServer(settings).start([ModelSettings(name="iris", implementation=Iris)])


if __name__ == "__main__":
    os.chdir(tempfile.mkdtemp())  # MLServer writes files to the current folder
    asyncio.run(main(int(sys.argv[1])))
