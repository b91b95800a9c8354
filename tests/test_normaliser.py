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

from benchmarks.synthetic_corpus import PAPERS, corpus
from benchmarks.synthetic_uploads import Paper, penned, photographed
from benchmarks.uploads import Upload, by_source, mean, opened, uploads
from benchmarks.uploads import read as answers
from service.errors import UnusableInput
from service.images.decoding import Budget, Seen, decode_image
from service.images.normaliser import Ink, is_normalised, normalise, read
from service.images.normaliser.paper import darkness, lightness
from service.images.normaliser.pieces import Pieces
from service.inference.repository import Model
from service.protocols.v1.responses import ink_of as shown

Grey = NDArray[np.uint8]
Images = tuple[Grey, Grey]
PICTURES = sorted(path for path in SAMPLES.iterdir() if path.is_file() and path.suffix != ".py")


@pytest.fixture(scope="session")
def mnist() -> Model:
    """The network that reads what the normaliser gives."""
    return opened("mnist")


@pytest.fixture(scope="session")
def papers() -> list[Upload]:
    """Ten digits of each difficulty, drawn with a pen."""
    made = corpus(10, seed=3)
    return [Upload(name, name, digit, decode_image(file, Budget(10**8)), file) for name, digit, file in made]


def stroke(side: int, left: int, top: int, width: int, height: int) -> Grey:
    canvas = np.zeros((side, side), np.uint8)
    canvas[top : top + height, left : left + width] = 255
    return canvas


def written(digit: int, seed: int = 0, **paper: Any) -> Grey:
    """A digit that code wrote on paper, as a grey picture."""
    random = np.random.default_rng(seed)
    sheet = Paper(**paper)
    glyph = penned(random, digit, round(sheet.side * sheet.size), sheet.pen, sheet.gap)
    return decode_image(photographed(glyph, sheet, random), Budget(10**8)).grey


def test_every_mnist_test_image_passes_untouched(mnist_test: Images) -> None:
    for image in mnist_test[0]:
        assert normalise(image) is image


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_what_comes_out_is_as_mnists_makers_made_theirs_and_passes_untouched(path: Path) -> None:
    picture = normalise(decode_image(path.read_bytes(), Budget(10**8)).grey)
    assert picture.shape == (28, 28)
    assert picture.dtype == np.uint8
    assert is_normalised(picture)
    assert picture.max() > 200
    assert normalise(picture) is picture


def test_every_difficulty_is_read_and_its_picture_passes_untouched(papers: list[Upload], mnist: Model) -> None:
    readings = answers(papers, normalise, mnist)
    wrong = [(one.upload.name, one.upload.digit, one.refusal or one.answer) for one in readings if not one.right]
    assert set(by_source(readings)) == set(PAPERS)
    assert min(by_source(readings).values()) >= 0.9, wrong
    assert mean(by_source(readings)) >= 0.98, wrong
    for reading in readings:
        assert reading.seen is None or normalise(reading.seen) is reading.seen


def test_both_polarities_of_every_picture_come_out_alike(papers: list[Upload], mnist: Model) -> None:
    pairs = [both for upload in papers if (both := both_polarities(upload.picture.grey))]
    assert len(pairs) > 0.98 * len(papers)
    assert all(one.inverted != other.inverted for one, other in pairs)
    images = [np.stack([inks[i].image for inks in pairs]) for i in (0, 1)]
    apart = np.abs(images[0].astype(int) - images[1]).max(axis=(1, 2))
    assert np.mean(apart <= 6) > 0.95  # what is rounded otherwise may shift a picture by a pixel
    labels = [mnist.predict({"image": batch})["probabilities"].argmax(axis=1) for batch in images]
    assert np.mean(labels[0] == labels[1]) > 0.99


def both_polarities(grey: Grey) -> tuple[Ink, Ink] | None:
    """A picture as it is and inverted; None where it is refused, which must be both."""
    try:
        first = read(grey)
    except UnusableInput as refusal:
        with pytest.raises(UnusableInput, match=re.escape(str(refusal))):
            read(255 - grey)
        return None
    return first, read(255 - grey)


def test_real_uploads_are_read_source_by_source(mnist_dir: Path, mnist: Model) -> None:
    folder = mnist_dir / "uploads"
    if not folder.exists():
        pytest.skip("no uploads beside MNIST: a folder `uploads` with labels.csv (path, label, source) and the files")
    found = list(uploads(folder))
    readings = answers(found, normalise, mnist)
    for source, accuracy in by_source(readings).items():
        count = sum(upload.source == source for upload in found)
        assert accuracy >= (0.91 if count >= 40 else 1 - 1 / count), source
    assert mean(by_source(readings)) >= 0.985
    assert sum(reading.seen is None for reading in readings) <= len(found) / 200


def test_position_and_size_on_the_page_do_not_matter() -> None:
    expected = normalise(stroke(100, 40, 30, 10, 40))
    assert np.array_equal(normalise(stroke(100, 5, 50, 10, 40)), expected)
    assert np.abs(normalise(stroke(400, 40, 120, 40, 160)).astype(int) - expected).max() < 40  # of an edge's pixel


@pytest.mark.parametrize("times", [1, 3, 7, 20])
def test_a_digit_that_fills_its_picture_is_the_same_at_any_resolution(times: int) -> None:
    rows = ["0001111000", "0111001110", "1100000011", "1100000011", "0000000111", "0000011100", "0001110000",
            "0111000000", "1110000000", "1111111111"]  # fmt: skip
    ink = np.array([[255 * int(pixel) for pixel in row] for row in rows], np.uint8)
    expected, found = (normalise(ink.repeat(n, 0).repeat(n, 1)) for n in (2, times))
    assert np.mean(np.abs(found.astype(int) - expected)) < (30 if times == 1 else 6)  # 10 pixels grow soft edges


@pytest.mark.parametrize(
    "canvas",
    [
        pytest.param(stroke(28, 12, 4, 4, 20)[::-1][:, ::-1] // 2 + 100, id="grey paper"),
        pytest.param(255 - stroke(28, 12, 4, 4, 20), id="dark ink on light paper"),
        pytest.param(stroke(28, 12, 2, 4, 24), id="ink 24 pixels high"),
        pytest.param(stroke(28, 12, 10, 4, 9), id="ink 9 pixels high"),
        pytest.param(stroke(28, 2, 4, 4, 20), id="ink beside the middle"),
        pytest.param(stroke(30, 13, 5, 4, 20), id="30x30 pixels"),
    ],
)
def test_a_small_canvas_is_not_taken_for_mnist(canvas: Grey) -> None:
    assert not is_normalised(canvas)
    assert is_normalised(normalise(canvas))


@pytest.mark.parametrize("side", [1, 2, 28, 200, 3000])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_is_refused(side: int, level: int) -> None:
    with pytest.raises(UnusableInput, match="blank"):
        normalise(np.full((side, side), level, np.uint8))


def test_blank_paper_in_uneven_light_is_refused() -> None:
    sheet = Paper(ink=(240, 240, 240), paper=(240, 240, 240), light=0.5, vignette=0.3, noise=3)
    picture = photographed(np.zeros((10, 10)), sheet, np.random.default_rng(0))
    with pytest.raises(UnusableInput, match=r"blank|noise"):
        normalise(decode_image(picture, Budget(10**8)).grey)


@pytest.mark.parametrize("side", [28, 40, 100, 600])
@pytest.mark.parametrize("kind", ["even", "normal", "black and white"])
def test_noise_is_refused(side: int, kind: str) -> None:
    random = np.random.default_rng(side)
    drawn: dict[str, Callable[[], Grey]] = {
        "even": lambda: random.integers(0, 256, (side, side), np.uint8),
        "normal": lambda: random.normal(128, 30, (side, side)).clip(0, 255).astype(np.uint8),
        "black and white": lambda: 255 * random.integers(0, 2, (side, side), np.uint8),
    }
    with pytest.raises(UnusableInput, match=r"noise|pieces"):
        normalise(drawn[kind]())


@pytest.mark.parametrize("digits", [(1, 1), (1, 2), (4, 7), (8, 0, 5)])
@pytest.mark.parametrize("side", [40, 150, 400])
def test_more_than_one_digit_is_refused_with_their_number(digits: tuple[int, ...], side: int) -> None:
    row = np.concatenate([written(digit, side=side, size=0.7, pen=0.1) for digit in digits], axis=1)
    with pytest.raises(UnusableInput, match=f"more than one digit: {len(digits)} separate pieces"):
        normalise(row)


def test_any_shape_of_noise_is_normalised_or_refused() -> None:
    random = np.random.default_rng(0)
    for height, width in [(1, 1), (1, 50), (50, 1), (2, 3), (8, 8), (28, 28), (700, 20), (2000, 1500)]:
        for high in (2, 20, 256):
            try:
                picture = normalise(random.integers(0, high, (height, width), np.uint8))
            except UnusableInput:
                continue
            assert picture.shape == (28, 28)


def test_the_account_says_where_the_digit_was_and_in_how_many_pieces() -> None:
    canvas = np.full((300, 500), 230, np.uint8)
    canvas[60:240, 200:215] = 20
    canvas[60:75, 222:290] = 20  # a bar that lies apart
    ink = read(canvas)
    assert ink.pieces == 2
    assert not ink.inverted
    assert not ink.untouched
    assert np.abs(np.array(ink.box) - (200, 60, 90, 180)).max() <= 3
    assert read(255 - canvas).inverted


@pytest.mark.parametrize("turn", [0.0, 8.0])
@pytest.mark.parametrize("lines", [1, 2])
def test_ruled_lines_as_dark_as_the_ink_are_counted_and_left_out(lines: int, turn: float) -> None:
    same: dict[str, Any] = {"side": 500, "size": 0.4, "pen": 0.12, "turn": turn, "ink": (90, 90, 90)}
    plain = read(written(5, **same))
    ruled = read(written(5, lines=lines, line_ink=(90, 90, 90), line_gap=0.4, line_pen=0.03, **same))
    assert plain.lines == 0
    assert ruled.lines >= 4
    assert np.mean(np.abs(ruled.image.astype(int) - plain.image)) < 12


def test_one_straight_stroke_from_edge_to_edge_is_a_one_and_no_line() -> None:
    canvas = Image.new("L", (300, 300), 240)
    ImageDraw.Draw(canvas).line((140, 6, 160, 294), fill=30, width=6)
    ink = read(np.asarray(canvas))
    assert ink.lines == 0
    assert ink.box[3] > 270


def test_a_frame_drawn_around_the_digit_is_left_out() -> None:
    plain = written(3, side=300, size=0.5)
    framed = Image.fromarray(plain)
    ImageDraw.Draw(framed).rectangle((30, 30, 270, 270), outline=40, width=3)
    assert np.mean(np.abs(read(np.asarray(framed)).image.astype(int) - read(plain).image)) < 4


@pytest.mark.parametrize("ink", [(255, 255, 0), (120, 255, 255), (255, 235, 90)])
def test_pale_colours_that_grey_would_lose_are_seen(ink: tuple[int, int, int], mnist: Model) -> None:
    sheet = Paper(side=300, ink=ink, paper=(255, 255, 255), noise=6, light=0.4, shadow=0.4)
    random = np.random.default_rng(1)
    file = photographed(penned(random, 3, 180, 0.1, 0), sheet, random)
    grey = decode_image(file, Budget(10**8)).grey
    luma = np.asarray(Image.open(io.BytesIO(file)).convert("L"))
    assert contrast(grey) > 2 * contrast(luma)
    image = normalise(grey)
    assert mnist.predict({"image": image[None]})["probabilities"].argmax() == 3


def contrast(grey: Grey) -> float:
    """How far the ink's middle is from the paper's, in standard deviations of the paper, where code drew a three."""
    dark, grain = darkness(~grey if lightness(grey) > 0 else grey)
    return float(np.percentile(dark, 98)) / grain


def test_pieces_are_those_that_a_flood_fill_finds() -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        mask = random.random(random.integers(1, 30, 2)) < random.random()
        darkness = random.integers(0, 256, mask.shape, np.uint8)
        pieces = Pieces.of(mask, darkness)
        found = zip(pieces.left, pieces.top, pieces.width, pieces.height, pieces.ink, strict=True)
        assert sorted(tuple(map(int, piece)) for piece in found) == sorted(flooded(mask, darkness))
        painted = [pieces.paint(one) for one in np.eye(len(pieces), dtype=np.bool_)]
        assert np.array_equal(np.sum([np.zeros_like(mask), *painted], axis=0, dtype=int), mask)
        assert np.array_equal(pieces.paint(np.ones(len(pieces), np.bool_)), mask)


def flooded(mask: NDArray[np.bool_], darkness: Grey) -> list[tuple[int, ...]]:
    """Left, top, width, height and darkness of each piece, pixel by pixel."""
    left_over = set(zip(*map(np.ndarray.tolist, np.nonzero(mask)), strict=True))
    pieces: list[tuple[int, ...]] = []
    while left_over:
        reached, edge = set(), [left_over.pop()]
        while edge:
            row, column = edge.pop()
            reached.add((row, column))
            around = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left_over
            left_over -= around
            edge += around
        rows, columns = zip(*reached, strict=True)
        top, left = min(rows), min(columns)
        ink = sum(int(darkness[place]) for place in reached)
        pieces.append((left, top, max(columns) - left + 1, max(rows) - top + 1, ink))
    return pieces


def test_a_photo_is_decoded_small_and_its_box_is_told_in_its_own_pixels() -> None:
    canvas = Image.new("L", (4000, 3000), 235)
    ImageDraw.Draw(canvas).line((2000, 1000, 2100, 2000), fill=30, width=60)
    file = io.BytesIO()
    canvas.save(file, "JPEG")
    picture = decode_image(file.getvalue(), Budget(10**8))
    assert (picture.width, picture.height) == (4000, 3000)
    assert max(picture.grey.shape) <= 1280
    ink = read(picture.grey)
    left, top, width, height = shown(Seen(ink.image, picture, ink)).box
    assert np.abs(np.array([left, top, width, height]) - (1970, 1000, 160, 1000)).max() <= 60


@pytest.mark.parametrize(("width", "height"), [(45, 3000), (257, 100), (1, 300), (3000, 7)])
def test_the_box_is_in_the_picture_whatever_its_shape(width: int, height: int) -> None:
    canvas = Image.new("RGBA", (width, height), "white")
    ImageDraw.Draw(canvas).rectangle((width // 3, height * 3 // 4, width // 2, height), fill="black")
    file = io.BytesIO()
    canvas.save(file, "PNG")
    picture = decode_image(file.getvalue(), Budget(10**8))
    try:
        ink = read(picture.grey)
    except UnusableInput:
        return
    box = shown(Seen(ink.image, picture, ink)).box
    assert 0 <= box[0] <= box[0] + box[2] <= width
    assert height / 2 < box[1] <= box[1] + box[3] <= height


def test_clutter_upon_clutter_is_never_taken_for_the_digit() -> None:
    """Rings in rings: each round takes some away, and what was taken must not be chosen."""
    for seed in range(200):
        random = np.random.default_rng(seed)
        canvas = Image.new("L", (200, 200), 255)
        draw = ImageDraw.Draw(canvas)
        for _ in range(12):
            x, y = random.integers(0, 180, 2)
            far = x + random.integers(2, 20 + 180 * (random.random() < 0.5)), y + random.integers(2, 200)
            draw.rectangle((x, y, *far), outline=int(random.integers(0, 200)), width=int(random.integers(1, 5)))
        try:
            ink = read(np.asarray(canvas))
        except UnusableInput:
            continue
        assert ink.image.max() > 100


@pytest.mark.parametrize("number", [10, 11, 27, 44, 47, 58, 77, 93])
def test_printed_numbers_of_two_digits_are_more_than_one_digit(number: int) -> None:
    page = Image.new("L", (220, 180), 255)
    font = ImageFont.load_default(size=120)
    ImageDraw.Draw(page).text((110, 90), str(number), fill=0, font=font, anchor="mm")
    with pytest.raises(UnusableInput, match="more than one digit: 2 separate pieces"):
        normalise(np.asarray(page))
