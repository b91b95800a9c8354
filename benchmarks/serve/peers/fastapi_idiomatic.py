"""FastAPI as its tutorial has it: pydantic models in and out, an uploaded file; the picture is decoded, no more."""

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
FLOWERS = ["setosa", "versicolor", "virginica"]
DIGITS = [str(digit) for digit in range(10)]


class Instances(BaseModel):
    """What comes in."""

    instances: list[list[float]]


class Prediction(BaseModel):
    """One row's answer."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Predictions(BaseModel):
    """What goes out."""

    model_name: str
    model_version: str
    predictions: list[Prediction]


app = FastAPI()


def named(rows: np.ndarray, labels: list[str]) -> list[Prediction]:
    """Labels and probabilities."""
    return [
        Prediction(
            label=labels[int(np.argmax(row))],
            probability=float(np.max(row)),
            probabilities=dict(zip(labels, map(float, row), strict=True)),
        )
        for row in rows
    ]


@app.post("/v1/models/iris:predict")
async def predict(body: Instances) -> Predictions:
    """Rows of irises."""
    (rows,) = iris.run(["probabilities"], {"features": np.asarray(body.instances, np.float32)})
    return Predictions(model_name="iris", model_version="1", predictions=named(rows, FLOWERS))


@app.post("/v1/models/mnist-deep:predict")
async def digit(image: Annotated[UploadFile, File()]) -> Predictions:
    """One picture of a digit."""
    picture = Image.open(io.BytesIO(await image.read())).convert("L")
    (rows,) = mnist.run(["probabilities"], {"image": np.asarray(picture, np.uint8)[None]})
    return Predictions(model_name="mnist-deep", model_version="1", predictions=named(rows, DIGITS))
