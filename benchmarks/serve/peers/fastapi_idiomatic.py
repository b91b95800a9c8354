"""FastAPI, following its tutorial: pydantic models in and out, UploadFile; images are decoded, not normalised."""

import io
import os
from typing import Annotated

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, File, UploadFile
from PIL import Image
from pydantic import BaseModel

options = ort.SessionOptions()
options.intra_op_num_threads = 1
iris = ort.InferenceSession(os.environ["IRIS_ONNX"], options)
mnist = ort.InferenceSession(os.environ["MNIST_ONNX"], options)
SPECIES = ["setosa", "versicolor", "virginica"]
DIGITS = [str(digit) for digit in range(10)]


class Instances(BaseModel):
    """The request body: rows of features."""

    instances: list[list[float]]


class Prediction(BaseModel):
    """The prediction for one row."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Predictions(BaseModel):
    """The response body."""

    model_name: str
    model_version: str
    predictions: list[Prediction]


app = FastAPI()


def to_predictions(rows: np.ndarray, labels: list[str]) -> list[Prediction]:
    """The prediction of each row."""
    return [
        Prediction(
            label=labels[int(np.argmax(row))],
            probability=float(np.max(row)),
            probabilities=dict(zip(labels, map(float, row), strict=True)),
        )
        for row in rows
    ]


@app.post("/v1/models/iris:predict")
async def predict_iris(body: Instances) -> Predictions:
    """Classify rows of Iris features."""
    (rows,) = iris.run(["probabilities"], {"features": np.asarray(body.instances, np.float32)})
    return Predictions(model_name="iris", model_version="1", predictions=to_predictions(rows, SPECIES))


@app.post("/v1/models/mnist-deep:predict")
async def predict_digit(image: Annotated[UploadFile, File()]) -> Predictions:
    """Classify one image of a digit."""
    decoded = Image.open(io.BytesIO(await image.read())).convert("L")
    (rows,) = mnist.run(["probabilities"], {"image": np.asarray(decoded, np.uint8)[None]})
    return Predictions(model_name="mnist-deep", model_version="1", predictions=to_predictions(rows, DIGITS))
