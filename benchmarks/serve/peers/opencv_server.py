"""FastAPI with an uploaded digit read by OpenCV: grey, inverted, resized to 28x28. No check, no normalisation."""
# /// script
# dependencies = ["fastapi==0.165.0", "numpy==2.4.6", "onnxruntime==1.31.1", "opencv-python-headless==5.0.0.93",
#   "python-multipart==0.0.34", "uvicorn[standard]==0.54.0"]
# ///

import os
import sys
from typing import Annotated

import cv2
import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, File, UploadFile

cv2.setNumThreads(1)
options = ort.SessionOptions()
options.intra_op_num_threads = 1
mnist = ort.InferenceSession(os.environ["MNIST_ONNX"], options)

app = FastAPI()


@app.post("/v1/models/mnist-deep:predict")
def predict(image: Annotated[UploadFile, File()]) -> dict[str, list[dict[str, object]]]:
    """Classify one picture of a digit."""
    picture = cv2.imdecode(np.frombuffer(image.file.read(), np.uint8), cv2.IMREAD_GRAYSCALE)
    picture = cv2.resize(255 - picture, (28, 28), interpolation=cv2.INTER_AREA)
    (rows,) = mnist.run(["probabilities"], {"image": picture[None]})
    return {"predictions": [{"label": str(rows[0].argmax()), "probability": float(rows[0].max())}]}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
