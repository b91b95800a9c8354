"""Flask as a first script has it."""

import os
from typing import Any

import numpy as np
import onnxruntime as ort
from flask import Flask, jsonify, request
from PIL import Image

options = ort.SessionOptions()
options.intra_op_num_threads = 1
iris = ort.InferenceSession(os.environ["IRIS_ONNX"], options)
mnist = ort.InferenceSession(os.environ["MNIST_ONNX"], options)
FLOWERS = ["setosa", "versicolor", "virginica"]
DIGITS = [str(digit) for digit in range(10)]

app = Flask(__name__)


def answer(rows: Any, labels: list[str]) -> Any:
    """Labels and probabilities."""
    named = [dict(zip(labels, row, strict=True)) for row in rows.tolist()]
    likeliest = [max(row, key=lambda label: row[label]) for row in named]
    return jsonify(
        predictions=[{"label": label, "probabilities": row} for label, row in zip(likeliest, named, strict=True)]
    )


@app.post("/v1/models/iris:predict")
def predict() -> Any:
    """Rows of irises."""
    (rows,) = iris.run(["probabilities"], {"features": np.array(request.get_json()["instances"], np.float32)})
    return answer(rows, FLOWERS)


@app.post("/v1/models/mnist-deep:predict")
def digit() -> Any:
    """One picture of a digit."""
    picture = Image.open(request.files["image"].stream).convert("L")
    (rows,) = mnist.run(["probabilities"], {"image": np.asarray(picture, np.uint8)[None]})
    return answer(rows, DIGITS)
