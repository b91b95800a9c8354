"""Flask, as in a first script: `jsonify`, no validation."""

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
SPECIES = ["setosa", "versicolor", "virginica"]
DIGITS = [str(digit) for digit in range(10)]

app = Flask(__name__)


def respond(rows: Any, labels: list[str]) -> Any:
    """The response: the most likely label and the probabilities of each row."""
    named = [dict(zip(labels, row, strict=True)) for row in rows.tolist()]
    top_labels = [max(row, key=lambda label: row[label]) for row in named]
    return jsonify(
        predictions=[{"label": label, "probabilities": row} for label, row in zip(top_labels, named, strict=True)]
    )


@app.post("/v1/models/iris:predict")
def predict_iris() -> Any:
    """Classify rows of Iris features."""
    (rows,) = iris.run(["probabilities"], {"features": np.array(request.get_json()["instances"], np.float32)})
    return respond(rows, SPECIES)


@app.post("/v1/models/mnist-deep:predict")
def predict_digit() -> Any:
    """Classify one image of a digit."""
    image = Image.open(request.files["image"].stream).convert("L")
    (rows,) = mnist.run(["probabilities"], {"image": np.asarray(image, np.uint8)[None]})
    return respond(rows, DIGITS)
