"""Arrays of pixels: decimals 0 to 1 are what their range shows, and what no training image resembles gets a warning."""

import json
import re
from typing import Any

import numpy as np
import pytest
from conftest import SAMPLES
from in_process import Response, open_app, post
from PIL import Image

from service.errors import BadRequest
from service.http.routing import DigitalisApp
from service.protocols.v1.pixel_arrays import decimals_to_image
from training.bundles.baseline import image_feature_ranges
from training.normaliser import normalise


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    """The models `mnist-deep` and `iris`; the manifest says how much ink there is in MNIST's training images."""
    return open_app("mnist-deep", "iris")


@pytest.fixture(scope="module")
def seven() -> Any:
    """A digit as the network takes it, UINT8 [28, 28]."""
    return normalise(np.asarray(Image.open(SAMPLES / "7.png").convert("L")))


def send(app: DigitalisApp, path: str, body: Any) -> Response:
    return post(app, f"/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})


def predict(app: DigitalisApp, *arrays: Any) -> Response:
    return send(app, "v1/models/mnist-deep:predict", {"instances": [np.asarray(one).tolist() for one in arrays]})


def predictions(response: Response) -> list[Any]:
    assert response.status == 200, response.body
    found: list[Any] = response.json()["predictions"]
    return found


def test_decimals_of_0_to_1_and_of_0_to_255_are_the_same_image(app: DigitalisApp, seven: Any) -> None:
    as_integers, as_fractions, as_decimals, rounded = predictions(
        predict(app, seven, seven / 255, seven.astype(float), np.round(seven / 255, 4))
    )
    assert as_integers["label"] == "7"
    assert as_integers == as_fractions == as_decimals == rounded
    assert "warnings" not in as_integers


def test_a_bilevel_image_of_decimals_is_black_and_white(app: DigitalisApp, seven: Any) -> None:
    (bilevel,) = predictions(predict(app, (seven >= 128).astype(float)))
    assert bilevel == predictions(predict(app, (seven >= 128) * 255))[0]
    assert (bilevel["label"], "warnings" in bilevel) == ("7", False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image // 255, "ink fraction = 0 is outside 0.01913265 to 0.3979592 seen in training"),
        (lambda image: (image / 255).astype(int), "ink fraction = 0 is outside"),
        (lambda image: image // 16, "ink fraction = 0 is outside"),
        (lambda image: 255 - image, "ink fraction = 0."),
        (np.zeros_like, "ink fraction = 0 is outside"),
    ],
    ids=["0 and 1", "cast to integers", "0 to 15", "inverted", "empty"],
)
def test_values_that_no_training_image_has_get_a_warning(
    app: DigitalisApp, seven: Any, change: Any, words: str
) -> None:
    image = change(seven)
    fine, doubtful = predictions(predict(app, seven, image))
    assert "warnings" not in fine
    (warning,) = doubtful["warnings"]
    assert warning.startswith(words)
    assert warning.endswith("seen in training: pixels are 0 to 255, 0 = paper, 255 = ink")
    tensor = {
        "name": "image",
        "datatype": "UINT8",
        "shape": [2, 28, 28],
        "data": [*seven.ravel().tolist(), *image.ravel().tolist()],
    }
    answer = send(app, "v2/models/mnist-deep/infer", {"inputs": [tensor]}).json()
    assert answer["parameters"] == {"warnings": f"row 1: {warning}"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: (image / 255 - 0.1307) / 0.3081, "instances[0]: values from -0.4242 to 2.8"),
        (
            lambda image: image / 127.5 - 1,
            "instances[0]: values from -1 to 1, expected pixels: 0 to 255, or decimals 0 to 1",
        ),
        (lambda image: image * 256.5, "instances[0]: values from 0 to 6.5"),
        (lambda image: (image / 255)[:27], "instances[0]: 27 rows of [28] numbers, expected 28 rows of 28"),
    ],
    ids=["standardised", "-1 to 1", "16 bits", "a row is missing"],
)
def test_other_decimals_are_rejected_and_the_message_names_the_ranges(
    app: DigitalisApp, seven: Any, change: Any, words: str
) -> None:
    response = predict(app, change(seven))
    assert response.status == 400
    assert response.json()["error"].startswith(words), response.body


def test_v2_says_which_rows_of_features_are_outside_the_training_range(app: DigitalisApp) -> None:
    rows = [[5.1, 3.5, 1.4, 0.2], [51.0, 3.5, 1.4, 0.2]]
    tensor = {"name": "features", "datatype": "FP32", "shape": [2, 4], "data": rows}
    answer = send(app, "v2/models/iris/infer", {"inputs": [tensor]}).json()
    expected = "row 1: sepal length (cm) = 51 is outside 4.3 to 7.9 seen in training"
    assert answer["parameters"] == {"warnings": expected}


def test_the_ranges_of_a_bundle_are_those_of_its_training_images() -> None:
    images = np.zeros((3, 2, 4), np.uint8)
    images[1, 0] = 200
    images[2] = 255
    (ink,) = image_feature_ranges(images, digits=True)
    assert (ink.name, ink.minimum, ink.maximum) == ("ink fraction", 0, 1)
    brightness, contrast = image_feature_ranges(images, digits=False)
    assert (brightness.name, brightness.minimum, brightness.maximum) == ("brightness", 0, 1)
    assert (contrast.name, contrast.minimum) == ("contrast", 0)
    assert contrast.maximum == pytest.approx(100 / 255, abs=1e-6)


def test_decimals_in_colour_have_three_numbers_a_pixel() -> None:
    array = [[[0.5, 0.0, 1.0]] * 2] * 2
    assert decimals_to_image(array, (2, 2, 3))[0, 0].tolist() == [128, 0, 255]
    ragged = [[[0.5, 0.0, 1.0], [0.5, 0.0]], [[0.5, 0.0, 1.0]] * 2]
    with pytest.raises(BadRequest, match=re.escape("2 rows of [2] pixels, expected 2 rows of 2 pixels of 3 numbers")):
        decimals_to_image(ragged, (2, 2, 3))
