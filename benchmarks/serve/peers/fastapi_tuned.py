"""FastAPI with all that slows it left out: raw bytes in, orjson both ways, a plain response."""

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
FLOWERS = ["setosa", "versicolor", "virginica"]
DIGITS = [str(digit) for digit in range(10)]

app = FastAPI()


def answer(name: str, rows: Any, labels: list[str]) -> Response:
    """Labels and probabilities."""
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
async def predict(request: Request) -> Response:
    """Rows of irises."""
    body = orjson.loads(await request.body())
    (rows,) = iris.run(["probabilities"], {"features": np.array(body["instances"], np.float32)})
    return answer("iris", rows, FLOWERS)


@app.post("/v1/models/mnist-deep:predict")
async def digit(request: Request) -> Response:
    """One picture of a digit."""
    async with request.form() as form:
        data = await form["image"].read()  # type: ignore[union-attr]
    picture = Image.open(io.BytesIO(data)).convert("L")
    (rows,) = mnist.run(["probabilities"], {"image": np.asarray(picture, np.uint8)[None]})
    return answer("mnist-deep", rows, DIGITS)
