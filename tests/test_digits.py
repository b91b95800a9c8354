import numpy as np
import pytest
from conftest import SAMPLES
from numpy.typing import NDArray

from service.decoding.images import Budget, decode_image
from service.digits import is_normalised, normalise
from service.errors import UnusableInput

Images = tuple[NDArray[np.uint8], NDArray[np.uint8]]
PICTURES = sorted(path for path in SAMPLES.iterdir() if path.suffix != ".py")


def stroke(side: int, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
    canvas = np.zeros((side, side), np.uint8)
    canvas[top : top + height, left : left + width] = 255
    return canvas


def test_every_mnist_test_image_passes_untouched(mnist_test: Images) -> None:
    for image in mnist_test[0]:
        assert normalise(image) is image


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_what_comes_out_is_as_mnists_makers_made_theirs_and_passes_untouched(path: str) -> None:
    picture = normalise(decode_image((SAMPLES / path).read_bytes(), Budget(10**8)))
    assert picture.shape == (28, 28)
    assert picture.dtype == np.uint8
    assert is_normalised(picture)
    assert picture.max() > 200
    assert normalise(picture) is picture


def test_both_polarities_of_a_picture_come_out_alike() -> None:
    light_on_dark = decode_image((SAMPLES / "7.png").read_bytes(), Budget(10**8))
    difference = normalise(light_on_dark).astype(int) - normalise(255 - light_on_dark)
    assert np.abs(difference).max() <= 2


def test_position_and_size_on_the_page_do_not_matter() -> None:
    expected = normalise(stroke(100, 40, 30, 10, 40))
    assert np.array_equal(normalise(stroke(100, 5, 50, 10, 40)), expected)
    assert np.array_equal(normalise(stroke(400, 40, 120, 40, 160)), expected)


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
def test_a_small_canvas_is_not_taken_for_mnist(canvas: NDArray[np.uint8]) -> None:
    assert not is_normalised(canvas)
    assert is_normalised(normalise(canvas))


@pytest.mark.parametrize("side", [1, 2, 28, 200, 3000])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_is_refused(side: int, level: int) -> None:
    with pytest.raises(UnusableInput, match="blank"):
        normalise(np.full((side, side), level, np.uint8))


def test_any_shape_of_noise_is_normalised_or_refused() -> None:
    random = np.random.default_rng(0)
    for height, width in [(1, 1), (1, 50), (50, 1), (2, 3), (8, 8), (28, 28), (700, 20), (2000, 1500)]:
        for high in (2, 20, 256):
            try:
                picture = normalise(random.integers(0, high, (height, width), np.uint8))
            except UnusableInput:
                continue
            assert picture.shape == (28, 28)
