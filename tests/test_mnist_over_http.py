"""MNIST's 10,000 test images as PNG files over HTTP: the answers are those that the network gives offline."""

import io
import json

import numpy as np
import torch
from conftest import MODELS
from numpy.typing import NDArray
from PIL import Image
from running_service import RunningService

from service.bundle.manifest import load_bundle
from training.bundles.verify import rebuild

FOLDER = MODELS / "mnist-deep/4"


def png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def over_http(service: RunningService, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    probabilities = []
    for start in range(0, len(images), 250):
        files = [("image", (f"{start}.png", png(image))) for image in images[start : start + 250]]
        answer = service.client.post("/v1/models/mnist-deep:predict", files=files).json()
        probabilities += [list(prediction["probabilities"].values()) for prediction in answer["predictions"]]
    return np.array(probabilities)


def test_accuracy_over_http_is_exactly_the_accuracy_offline(
    service: RunningService, mnist_test: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    images, labels = mnist_test
    found = over_http(service, images)
    with torch.inference_mode():
        offline = rebuild(*load_bundle(FOLDER))(torch.from_numpy(images.copy())).numpy()
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    accuracy = float((found.argmax(axis=1) == labels).mean())
    print(f"accuracy {accuracy}, largest difference of probabilities from offline {np.abs(found - offline).max():.1e}")
    assert accuracy == float((offline.argmax(axis=1) == labels).mean()) == manifest["metrics"]["accuracy"]
    np.testing.assert_allclose(found, offline, atol=1e-5)
