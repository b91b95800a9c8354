"""PyTriton, following its quick start: a Python function behind NVIDIA's Triton, with dynamic batching and V2 JSON."""
# /// script
# dependencies = ["nvidia-pytriton==0.7.0", "numpy==1.26.4", "onnxruntime==1.31.1"]
# ///

import os
import sys
import sysconfig
from typing import Any

import numpy as np
import onnxruntime as ort
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["IRIS_ONNX"], options)


@batch
def infer(features: np.ndarray) -> dict[str, Any]:
    """The class probabilities of each row."""
    (rows,) = session.run(["probabilities"], {"features": features})
    return {"probabilities": rows}


if __name__ == "__main__":
    port = int(sys.argv[1])
    os.environ["LD_LIBRARY_PATH"] = str(sysconfig.get_config_var("LIBDIR"))  # of this Python, which Triton loads again
    ports = TritonConfig(http_address="127.0.0.1", http_port=port, grpc_port=port + 500, metrics_port=port + 1000)
    with Triton(config=ports) as triton:
        features = Tensor(name="features", dtype=np.float32, shape=(4,))
        probabilities = Tensor(name="probabilities", dtype=np.float32, shape=(3,))
        config = ModelConfig(max_batch_size=1024)
        triton.bind(model_name="iris", infer_func=infer, inputs=[features], outputs=[probabilities], config=config)
        triton.serve()
