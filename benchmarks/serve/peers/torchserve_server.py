"""TorchServe with a custom handler: this file, packed as a model archive. It requires Java 11 or newer."""
# /// script
# dependencies = [
#     "torchserve==0.12.0",
#     "torch-model-archiver==0.12.0",
#     "torch==2.13.0",
#     "pyyaml==6.0.3",
#     "numpy==2.4.6",
#     "onnxruntime==1.31.1",
# ]
# ///

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort


class Iris:
    """The Iris classifier."""

    def initialize(self, context: Any) -> None:
        """Open an ONNX Runtime session."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["IRIS_ONNX"], options)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        """The class probabilities of each row of each request."""
        return [{"predictions": self._run(request["body"]["instances"])} for request in data]

    def _run(self, rows: list[list[float]]) -> Any:
        return self.session.run(["probabilities"], {"features": np.array(rows, np.float32)})[0].tolist()


if __name__ == "__main__":
    os.chdir(tempfile.mkdtemp())  # TorchServe writes files to the current folder
    programs, port = Path(sys.executable).parent, int(sys.argv[1])
    archiver = (str(programs / "torch-model-archiver"), "--model-name", "iris", "--version", "1", "--export-path", ".")
    subprocess.run([*archiver, "--handler", __file__], check=True)
    addresses = {"inference": port, "management": port + 500, "metrics": port + 1000}
    lines = [f"{name}_address=http://127.0.0.1:{number}" for name, number in addresses.items()]
    lines += [f"grpc_{name}_port={number + 2000}" for name, number in addresses.items() if name != "metrics"]
    Path("config.properties").write_text("\n".join([*lines, "default_workers_per_model=1", ""]))
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"  # where TorchServe looks for Python
    start = (
        "--start",
        "--foreground",
        "--ncs",
        "--disable-token-auth",
        "--model-store",
        ".",
        "--models",
        "iris=iris.mar",
    )
    os.execv(programs / "torchserve", ["torchserve", *start, "--ts-config", "config.properties"])  # noqa: S606
