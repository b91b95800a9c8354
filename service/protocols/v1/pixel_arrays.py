"""Arrays of pixels in JSON -> images UINT8: integers 0 to 255, or decimals, of which the range shows what they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import BadRequest

Pixels = list[Any]  # nested as the image is


def to_image(array: Pixels, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Integers 0 to 255 as an image of this shape: [height, width], or [height, width, 3] in colour.

    Raises `BadRequest` for an array of another shape.
    """
    _check_shape(array, shape)
    return np.array(array, np.uint8)


def decimals_to_image(array: Pixels, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The same of numbers with decimals: 0 to 1 if none is larger, and 0 to 255 otherwise.

    Raises `BadRequest` for numbers outside both ranges too, such as those of pixels that were standardised.
    """
    _check_shape(array, shape)
    numbers = np.array(array, np.float64)
    lowest, highest = numbers.min(), numbers.max()
    if lowest < 0 or highest > 255:
        found = f"values from {lowest:.4g} to {highest:.4g}"
        raise BadRequest(f"{found}, expected pixels: 0 to 255, or decimals 0 to 1")
    if highest <= 1 and has_decimals(array):
        numbers = numbers * 255
    return np.rint(numbers).astype(np.uint8)


def _check_shape(array: Pixels, shape: tuple[int, ...]) -> None:
    height, width, *colours = shape
    wrong = len(array) != height or any(len(row) != width for row in array)
    if wrong or (colours and any(len(pixel) != 3 for row in array for pixel in row)):
        widths = sorted({len(row) for row in array})[:3]
        found = f"{len(array)} rows of {widths} {'pixels' if colours else 'numbers'}"
        expected = f"{height} rows of {width}" + (" pixels of 3 numbers" if colours else "")
        raise BadRequest(f"{found}, expected {expected}")


def has_decimals(array: Pixels) -> bool:
    """Whether a number in it was written with a decimal point."""
    return any(has_decimals(one) if isinstance(one, list) else isinstance(one, float) for one in array)


def shown(shape: tuple[int, ...]) -> str:
    """What is expected, for a message."""
    height, width, *colours = shape
    return f"{height} rows of {width} {'lists of 3 pixels' if colours else 'pixels'}"
