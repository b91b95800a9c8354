"""BentoML, following its quick start: a class with a typed method, started by `bentoml serve`."""
# /// script
# dependencies = ["bentoml==1.4.39", "numpy==2.4.6", "onnxruntime==1.31.1"]
# ///

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import onnxruntime as ort


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Iris:
    """The Iris classifier."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["IRIS_ONNX"], options)

    @bentoml.api(route="/v1/models/iris:predict")
    def predict(self, instances: list[list[float]]) -> dict[str, Any]:
        """The class probabilities of each row."""
        (rows,) = self.session.run(["probabilities"], {"features": np.array(instances, np.float32)})
        return {"predictions": rows.tolist()}


if __name__ == "__main__":
    program = str(Path(sys.executable).with_name("bentoml"))
    here = ("--working-dir", str(Path(__file__).parent))
    os.execv(program, [program, "serve", "bentoml_server:Iris", *here, "--port", sys.argv[1]])  # noqa: S606
