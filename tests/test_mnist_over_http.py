"""MNIST's 10,000 test images as PNG files over HTTP: the predictions are those of the network in PyTorch."""

import io
import json

import numpy as np
import torch
from conftest import newest
from numpy.typing import NDArray
from PIL import Image
from running_service import RunningService

from service.bundle.loading import load_bundle
from training.bundles.restore import rebuild

FOLDER = newest("mnist-deep")


def png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def probabilities_over_http(service: RunningService, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    probabilities = []
    for start in range(0, len(images), 250):
        files = [("image", (f"{start}.png", png(image))) for image in images[start : start + 250]]
        response = service.client.post("/v1/models/mnist-deep:predict", files=files).json()
        probabilities += [list(prediction["probabilities"].values()) for prediction in response["predictions"]]
    return np.array(probabilities)


def test_the_accuracy_over_http_is_exactly_the_accuracy_in_pytorch_and_in_the_manifest(
    service: RunningService, mnist_test: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    images, labels = mnist_test
    over_http = probabilities_over_http(service, images)
    with torch.inference_mode():
        in_pytorch = rebuild(*load_bundle(FOLDER))(torch.from_numpy(images.copy())).numpy()
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    accuracy = float((over_http.argmax(axis=1) == labels).mean())
    print(f"accuracy {accuracy}, largest difference of probabilities {np.abs(over_http - in_pytorch).max():.1e}")
    assert accuracy == float((in_pytorch.argmax(axis=1) == labels).mean()) == manifest["metrics"]["accuracy"]
    np.testing.assert_allclose(over_http, in_pytorch, atol=1e-5)
