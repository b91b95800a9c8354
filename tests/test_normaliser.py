"""The ink normaliser: accuracy on uploads, invariances, rejected pictures, and the report of what was done."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SAMPLES
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.synthetic_corpus import STYLES, generate_corpus
from benchmarks.synthetic_uploads import UploadStyle, draw_strokes, render_upload
from benchmarks.uploads import (
    Upload,
    accuracy_by_source,
    load_uploads,
    mean_over_sources,
    open_model,
    predict_uploads,
)
from service.errors import UnprocessableInput
from service.images.decoding import decode_image
from service.images.limits import PixelBudget
from service.images.network_input import NetworkInput
from service.images.normaliser import NormalisedDigit, is_normalised
from service.inference.model import Model
from service.protocols.v1.image_debug import debug_of
from training.normaliser import normalise, normalise_with_report

Grey = NDArray[np.uint8]
Images = tuple[Grey, Grey]
SAMPLE_FILES = sorted(path for path in SAMPLES.iterdir() if path.stem.isdecimal())


@pytest.fixture(scope="session")
def mnist() -> Model:
    """The digit classifier that the normaliser's images are for."""
    return open_model("mnist")


@pytest.fixture(scope="session")
def synthetic_uploads() -> list[Upload]:
    """Ten digits in each style of the synthetic corpus, without MNIST's."""
    generated = generate_corpus(10, seed=3)
    return [
        Upload(style, style, digit, decode_image(file, PixelBudget(10**8)), file) for style, digit, file in generated
    ]


def stroke(side: int, left: int, top: int, width: int, height: int) -> Grey:
    """A black square picture with a white rectangle."""
    canvas = np.zeros((side, side), np.uint8)
    canvas[top : top + height, left : left + width] = 255
    return canvas


def synthetic_digit(digit: int, seed: int = 0, **style: Any) -> Grey:
    """A synthetic upload of a digit in an `UploadStyle`, decoded."""
    random = np.random.default_rng(seed)
    sheet = UploadStyle(**style)
    mask = draw_strokes(random, digit, round(sheet.side * sheet.digit_size), sheet.stroke_width, sheet.stroke_gap)
    return decode_image(render_upload(mask, sheet, random), PixelBudget(10**8)).pixels


def difference(one: Grey, other: Grey) -> NDArray[np.int64]:
    """The absolute difference of two images in each pixel, in grey levels."""
    return np.abs(one.astype(int) - other)


def test_every_mnist_test_image_is_returned_unchanged(mnist_test: Images) -> None:
    for image in mnist_test[0]:
        assert normalise(image) is image


@pytest.mark.parametrize("path", SAMPLE_FILES, ids=lambda path: path.name)
def test_a_normalised_image_has_the_geometry_of_mnist_and_is_not_changed_again(path: Path) -> None:
    image = normalise(decode_image(path.read_bytes(), PixelBudget(10**8)).pixels)
    assert image.shape == (28, 28)
    assert image.dtype == np.uint8
    assert is_normalised(image)
    assert image.max() > 200
    assert normalise(image) is image


def test_synthetic_uploads_are_predicted_correctly_in_every_style(
    synthetic_uploads: list[Upload], mnist: Model
) -> None:
    predictions = predict_uploads(synthetic_uploads, normalise, mnist)
    errors = [(it.upload.name, it.upload.digit, it.rejection or it.label) for it in predictions if not it.is_correct]
    accuracies = accuracy_by_source(predictions)
    assert set(accuracies) == set(STYLES)
    assert min(accuracies.values()) >= 0.9, errors
    assert mean_over_sources(accuracies) >= 0.98, errors
    for prediction in predictions:
        assert prediction.network_input is None or normalise(prediction.network_input) is prediction.network_input


def test_both_polarities_of_a_picture_are_normalised_alike(synthetic_uploads: list[Upload], mnist: Model) -> None:
    pairs = [pair for upload in synthetic_uploads if (pair := both_polarities(upload.picture.pixels))]
    assert len(pairs) > 0.98 * len(synthetic_uploads)
    assert all(digit.inverted != inverse.inverted for digit, inverse in pairs)
    images = [np.stack([pair[i].image for pair in pairs]) for i in (0, 1)]
    largest_difference = difference(*images).max(axis=(1, 2))
    assert np.mean(largest_difference <= 6) > 0.95  # a different rounding may shift an image by a pixel
    labels = [mnist.predict({"image": batch})["probabilities"].argmax(axis=1) for batch in images]
    assert np.mean(labels[0] == labels[1]) > 0.99


def both_polarities(grey: Grey) -> tuple[NormalisedDigit, NormalisedDigit] | None:
    """The reports for a picture and for its inverse; None if it is rejected, which its inverse must be as well."""
    try:
        digit = normalise_with_report(grey)
    except UnprocessableInput as error:
        with pytest.raises(UnprocessableInput, match=re.escape(str(error))):
            normalise_with_report(255 - grey)
        return None
    return digit, normalise_with_report(255 - grey)


# The bounds are below what `digits` reaches today, by source; of the others it reads at least 0.93.
DIFFICULT_SOURCES = {"jermnelson_ruled56": 0.83, "uyenbhku_photo": 0.78, "tjlikes_canvas20": 0.91}


def test_real_uploads_are_predicted_correctly_in_every_source(mnist_dir: Path) -> None:
    folder = mnist_dir / "uploads"
    if not folder.exists():
        pytest.skip("no uploads beside MNIST: a folder `uploads` with labels.csv (path, label, source) and the files")
    uploads = list(load_uploads(folder))
    predictions = predict_uploads(uploads, normalise, open_model("digits"))
    accuracies = accuracy_by_source(predictions)
    for source, accuracy in accuracies.items():
        count = sum(upload.source == source for upload in uploads)
        expected = DIFFICULT_SOURCES.get(source, 0.93)
        assert accuracy >= (expected if count >= 40 else min(expected, 1 - 1 / count)), source
    assert mean_over_sources(accuracies) >= 0.966
    assert sum(prediction.network_input is None for prediction in predictions) <= len(uploads) / 200


def test_position_and_size_of_the_digit_hardly_change_the_network_input() -> None:
    digit = synthetic_digit(5, side=120, digit_size=0.6)
    expected = normalise(digit)
    moved = np.pad(digit, ((60, 10), (20, 90)), constant_values=digit[0, 0])
    enlarged = digit.repeat(4, axis=0).repeat(4, axis=1)
    for picture in (moved, enlarged):
        assert difference(normalise(picture), expected).mean() < 10


@pytest.mark.parametrize("scale", [1, 3, 7, 20])
def test_a_digit_that_fills_its_picture_is_normalised_alike_at_any_resolution(scale: int) -> None:
    rows = ["0001111000", "0111001110", "1100000011", "1100000011", "0000000111", "0000011100", "0001110000",
            "0111000000", "1110000000", "1111111111"]  # fmt: skip
    ink = np.array([[255 * int(pixel) for pixel in row] for row in rows], np.uint8)
    expected, image = (normalise(ink.repeat(n, 0).repeat(n, 1)) for n in (2, scale))
    # The edges of 10 pixels become blurred when they are enlarged.
    assert difference(image, expected).mean() < (36 if scale == 1 else 8)


@pytest.mark.parametrize(
    "canvas",
    [
        pytest.param(stroke(28, 12, 4, 4, 20)[::-1][:, ::-1] // 2 + 100, id="grey paper"),
        pytest.param(255 - stroke(28, 12, 4, 4, 20), id="dark ink on light paper"),
        pytest.param(stroke(28, 12, 2, 4, 24), id="ink 24 pixels high"),
        pytest.param(stroke(28, 13, 10, 2, 9), id="ink 9 pixels high"),
        pytest.param(stroke(28, 9, 4, 4, 20), id="ink off centre"),
        pytest.param(stroke(30, 13, 5, 4, 20), id="30x30 pixels"),
    ],
)
def test_a_small_picture_without_the_geometry_of_mnist_is_normalised(canvas: Grey) -> None:
    assert not is_normalised(canvas)
    assert is_normalised(normalise(canvas))


@pytest.mark.parametrize("side", [1, 2, 28, 200, 3000])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_is_rejected(side: int, level: int) -> None:
    with pytest.raises(UnprocessableInput, match="blank"):
        normalise(np.full((side, side), level, np.uint8))


def test_blank_paper_in_uneven_light_is_rejected() -> None:
    sheet = UploadStyle(
        ink_colour=(240, 240, 240), paper_colour=(240, 240, 240), light_falloff=0.5, vignette=0.3, noise_sigma=3
    )
    file = render_upload(np.zeros((10, 10)), sheet, np.random.default_rng(0))
    with pytest.raises(UnprocessableInput, match=r"blank|noise"):
        normalise(decode_image(file, PixelBudget(10**8)).pixels)


@pytest.mark.parametrize("side", [28, 40, 100, 600])
@pytest.mark.parametrize("distribution", ["uniform", "normal", "black and white"])
def test_noise_is_rejected(side: int, distribution: str) -> None:
    random = np.random.default_rng(side)
    noise: dict[str, Callable[[], Grey]] = {
        "uniform": lambda: random.integers(0, 256, (side, side), np.uint8),
        "normal": lambda: random.normal(128, 30, (side, side)).clip(0, 255).astype(np.uint8),
        "black and white": lambda: 255 * random.integers(0, 2, (side, side), np.uint8),
    }
    with pytest.raises(UnprocessableInput, match=r"noise|more than one digit"):
        normalise(noise[distribution]())


@pytest.mark.parametrize("digits", [(1, 1), (1, 2), (4, 7), (8, 0, 5)])
@pytest.mark.parametrize("side", [40, 150, 400])
def test_more_than_one_digit_is_rejected(digits: tuple[int, ...], side: int) -> None:
    row = np.concatenate(
        [synthetic_digit(digit, side=side, digit_size=0.7, stroke_width=0.1) for digit in digits], axis=1
    )
    with pytest.raises(UnprocessableInput, match="more than one digit"):
        normalise(row)


def test_noise_of_any_shape_is_normalised_or_rejected() -> None:
    random = np.random.default_rng(0)
    normalised = rejected = 0
    for height, width in [(1, 1), (1, 50), (50, 1), (2, 3), (8, 8), (28, 28), (700, 20), (2000, 1500)]:
        for levels in (2, 20, 256):
            try:
                image = normalise(random.integers(0, levels, (height, width), np.uint8))
            except UnprocessableInput:
                rejected += 1
                continue
            normalised += 1
            assert image.shape == (28, 28)
    assert normalised > 0
    assert rejected > 0


def test_the_report_has_the_bounding_box_the_mask_and_the_polarity() -> None:
    picture = Image.new("L", (500, 300), 230)
    ImageDraw.Draw(picture).line((200, 68, 290, 68), fill=20, width=16)
    ImageDraw.Draw(picture).line((278, 92, 225, 238), fill=20, width=16)  # a seven in two strokes
    canvas = np.asarray(picture)
    digit = normalise_with_report(canvas)
    left, top, width, height = digit.mask_box
    assert digit.mask.dtype == np.uint8
    assert digit.mask.max() > 200
    assert left <= digit.box[0] <= digit.box[0] + digit.box[2] <= left + width
    assert top <= digit.box[1] <= digit.box[1] + digit.box[3] <= top + height
    assert not digit.inverted
    assert not digit.already_normalised
    assert np.abs(np.array(digit.box) - (200, 60, 90, 180)).max() <= 8
    assert normalise_with_report(255 - canvas).inverted


@pytest.mark.parametrize("rotation", [0.0, 8.0])
@pytest.mark.parametrize("ruling", [1, 2])
def test_ruled_lines_as_dark_as_the_ink_are_no_part_of_the_digit(ruling: int, rotation: float) -> None:
    style: dict[str, Any] = {
        "side": 500,
        "digit_size": 0.4,
        "stroke_width": 0.12,
        "rotation": rotation,
        "ink_colour": (90, 90, 90),
    }
    lines: dict[str, Any] = {
        "ruling": ruling,
        "line_colour": (90, 90, 90),
        "line_spacing": 0.4,
        "line_width": 0.03,
    }
    plain = normalise_with_report(synthetic_digit(5, **style))
    ruled = normalise_with_report(synthetic_digit(5, **style, **lines))
    assert difference(ruled.image, plain.image).mean() < 12


def test_a_straight_stroke_from_edge_to_edge_is_a_digit_and_not_a_ruled_line() -> None:
    canvas = Image.new("L", (300, 300), 240)
    ImageDraw.Draw(canvas).line((140, 6, 160, 294), fill=30, width=6)
    digit = normalise_with_report(np.asarray(canvas))
    assert digit.box[3] > 270


def test_a_frame_around_the_digit_is_removed() -> None:
    plain = synthetic_digit(3, side=300, digit_size=0.5)
    framed = Image.fromarray(plain)
    ImageDraw.Draw(framed).rectangle((30, 30, 270, 270), outline=40, width=3)
    found, expected = normalise_with_report(np.asarray(framed)), normalise_with_report(plain)
    assert np.abs(np.array(found.box) - expected.box).max() <= 5
    assert difference(found.image, expected.image).mean() < 25, "its place may differ by a pixel"


@pytest.mark.parametrize("ink", [(255, 255, 0), (120, 255, 255), (255, 235, 90)])
def test_pale_ink_is_predicted_correctly(ink: tuple[int, int, int], mnist: Model) -> None:
    sheet = UploadStyle(
        side=300, ink_colour=ink, paper_colour=(255, 255, 255), noise_sigma=6, light_falloff=0.4, shadow=0.4
    )
    random = np.random.default_rng(1)
    file = render_upload(draw_strokes(random, 3, 180, 0.1, 0), sheet, random)
    image = normalise(decode_image(file, PixelBudget(10**8)).pixels)
    assert mnist.predict({"image": image[None]})["probabilities"].argmax() == 3


def test_a_large_photo_is_decoded_at_reduced_size_and_its_box_is_in_pixels_of_the_file() -> None:
    canvas = Image.new("L", (4000, 3000), 235)
    ImageDraw.Draw(canvas).line((2000, 1000, 2100, 2000), fill=30, width=60)
    file = io.BytesIO()
    canvas.save(file, "JPEG")
    picture = decode_image(file.getvalue(), PixelBudget(10**8))
    assert (picture.width, picture.height) == (4000, 3000)
    assert max(picture.pixels.shape) <= 1280
    digit = normalise_with_report(picture.pixels)
    left, top, width, height = debug_of(NetworkInput(digit.image, picture.geometry, digit)).box
    assert np.abs(np.array([left, top, width, height]) - (1970, 1000, 160, 1000)).max() <= 60


@pytest.mark.parametrize(("width", "height"), [(45, 3000), (257, 100), (1, 300), (3000, 7)])
def test_the_box_is_inside_a_picture_of_any_aspect_ratio(width: int, height: int) -> None:
    canvas = Image.new("RGBA", (width, height), "white")
    ImageDraw.Draw(canvas).line((width * 0.5, height * 0.6, width * 0.4, height * 0.95), "black", max(1, width // 20))
    file = io.BytesIO()
    canvas.save(file, "PNG")
    picture = decode_image(file.getvalue(), PixelBudget(10**8))
    try:
        digit = normalise_with_report(picture.pixels)
    except UnprocessableInput:
        assert max(width, height) > 10 * min(width, height), "only a picture too narrow for a digit may be rejected"
        return
    box = debug_of(NetworkInput(digit.image, picture.geometry, digit)).box
    assert 0 <= box[0] <= box[0] + box[2] <= width
    assert height / 2 < box[1] + box[3] <= height


@pytest.mark.parametrize("number", [10, 11, 27, 44, 47, 58, 77, 93])
def test_a_printed_number_of_two_digits_is_rejected_as_more_than_one_digit(number: int) -> None:
    page = Image.new("L", (220, 180), 255)
    font = ImageFont.load_default(size=120)
    ImageDraw.Draw(page).text((110, 90), str(number), fill=0, font=font, anchor="mm")
    with pytest.raises(UnprocessableInput, match="more than one digit"):
        normalise(np.asarray(page))
