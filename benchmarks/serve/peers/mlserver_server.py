"""MLServer with a runtime of one's own, as its documentation has it: V2's tensors as JSON, in and out."""
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
    """Irises."""

    async def load(self) -> bool:
        """Open the file."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["IRIS_ONNX"], options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The probabilities of each row."""
        features = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        (rows,) = self.session.run(["probabilities"], {"features": features})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("probabilities", rows)])


async def main(port: int) -> None:
    """One model, in this process: by default its inference is in another one, which is slower on one core."""
    quiet = {"debug": False, "logging_settings": {"version": 1, "root": {"level": "WARNING"}}}
    ports = {"http_port": port, "grpc_port": port + 500, "metrics_port": port + 1000}
    settings = Settings(host="127.0.0.1", parallel_workers=0, metrics_dir=str(Path.cwd()), **ports, **quiet)
    await MLServer(settings).start([ModelSettings(name="iris", implementation=Iris)])


if __name__ == "__main__":
    os.chdir(tempfile.mkdtemp())  # it writes files where it is started
    asyncio.run(main(int(sys.argv[1])))
