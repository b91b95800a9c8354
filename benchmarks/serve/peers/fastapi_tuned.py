"""FastAPI without its slow parts: raw request bodies, orjson instead of pydantic, plain responses."""

import io
import os
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
from fastapi import FastAPI, Request, Response
from PIL import Image

options = ort.SessionOptions()
options.intra_op_num_threads = 1
iris = ort.InferenceSession(os.environ["IRIS_ONNX"], options)
mnist = ort.InferenceSession(os.environ["MNIST_ONNX"], options)
SPECIES = ["setosa", "versicolor", "virginica"]
DIGITS = [str(digit) for digit in range(10)]

app = FastAPI()


def respond(name: str, rows: Any, labels: list[str]) -> Response:
    """The response: label, confidence and probabilities of each row."""
    predictions = []
    for row in rows.tolist():
        highest = max(row)
        probabilities = dict(zip(labels, row, strict=True))
        predictions.append(
            {"label": labels[row.index(highest)], "probability": highest, "probabilities": probabilities}
        )
    content = {"model_name": name, "model_version": "1", "predictions": predictions}
    return Response(orjson.dumps(content), media_type="application/json")


@app.post("/v1/models/iris:predict")
async def predict_iris(request: Request) -> Response:
    """Classify rows of Iris features."""
    body = orjson.loads(await request.body())
    (rows,) = iris.run(["probabilities"], {"features": np.array(body["instances"], np.float32)})
    return respond("iris", rows, SPECIES)


@app.post("/v1/models/mnist-deep:predict")
async def predict_digit(request: Request) -> Response:
    """Classify one image of a digit."""
    async with request.form() as form:
        data = await form["image"].read()  # type: ignore[union-attr]
    image = Image.open(io.BytesIO(data)).convert("L")
    (rows,) = mnist.run(["probabilities"], {"image": np.asarray(image, np.uint8)[None]})
    return respond("mnist-deep", rows, DIGITS)
