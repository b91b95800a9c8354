"""MLflow: a custom model saved from this file, served by `mlflow models serve`."""
# /// script
# dependencies = ["mlflow==3.17.2", "numpy==2.4.6", "onnxruntime==1.31.1"]
# ///

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime as ort


class Iris(mlflow.pyfunc.PythonModel):
    """The Iris classifier."""

    def load_context(self, context: Any) -> None:
        """Open an ONNX Runtime session."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["IRIS_ONNX"], options)

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """The class probabilities of each row."""
        return self.session.run(["probabilities"], {"features": np.asarray(model_input, np.float32)})[0]


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp())
    os.chdir(folder)  # MLflow creates a database in the current folder
    rows = np.zeros((1, 4), np.float32)
    signature = mlflow.models.infer_signature(rows, np.zeros((1, 3), np.float32))
    mlflow.pyfunc.save_model(folder / "model", python_model=__file__, signature=signature, pip_requirements=[])
    program = str(Path(sys.executable).with_name("mlflow"))
    serve = ("models", "serve", "-m", str(folder / "model"), "--env-manager", "local", "-w", "1", "-p", sys.argv[1])
    os.environ["PATH"] = f"{Path(program).parent}:{os.environ['PATH']}"  # where MLflow looks for uvicorn
    os.environ["UVICORN_ACCESS_LOG"] = "0"
    os.execv(program, [program, *serve])  # noqa: S606

mlflow.models.set_model(Iris())
