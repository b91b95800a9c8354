"""FastAPI with an uploaded digit as tutorials read it: grey, inverted, resized to 28x28. No check, no normalisation."""

import io
import os
from typing import Annotated

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, File, UploadFile
from PIL import Image, ImageOps

options = ort.SessionOptions()
options.intra_op_num_threads = 1
mnist = ort.InferenceSession(os.environ["MNIST_ONNX"], options)

app = FastAPI()


@app.post("/v1/models/mnist-deep:predict")
def predict(image: Annotated[UploadFile, File()]) -> dict[str, list[dict[str, object]]]:
    """Classify one picture of a digit."""
    picture = ImageOps.invert(Image.open(io.BytesIO(image.file.read())).convert("L")).resize((28, 28))
    (rows,) = mnist.run(["probabilities"], {"image": np.asarray(picture)[None]})
    return {"predictions": [{"label": str(rows[0].argmax()), "probability": float(rows[0].max())}]}
