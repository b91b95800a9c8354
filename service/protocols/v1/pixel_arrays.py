"""Arrays of pixels in JSON -> images UINT8: integers 0 to 255, or decimals, of which the range shows what they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import BadRequest

Pixels = list[Any]  # nested as the image is


def to_image(array: Pixels, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An array of this shape: [height, width], or [height, width, 3] in colour; raises `BadRequest` for another one."""
    height, width, *colours = shape
    wrong = len(array) != height or any(len(row) != width for row in array)
    if wrong or (colours and any(len(pixel) != 3 for row in array for pixel in row)):
        widths = sorted({len(row) for row in array})[:3]
        found = f"{len(array)} rows of {widths} {'pixels' if colours else 'numbers'}"
        expected = f"{height} rows of {width}" + (" pixels of 3 numbers" if colours else "")
        raise BadRequest(f"{found}, expected {expected}")
    return np.array(array, np.uint8)


def decimals_to_image(array: Pixels, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The same of numbers with decimals: 0 to 1 if none is larger, and 0 to 255 otherwise.

    Raises `BadRequest` for numbers outside both ranges, such as those of pixels that were standardised.
    """
    if any(len(row) != len(array[0]) for row in array):
        to_image(array, shape)  # says what is wrong
    numbers = np.array(array, np.float64)
    lowest, highest = numbers.min(initial=0), numbers.max(initial=0)
    if lowest < 0 or highest > 255:
        found = f"values from {numbers.min():.4g} to {numbers.max():.4g}"
        raise BadRequest(f"{found}, expected pixels: 0 to 255, or decimals 0 to 1")
    if highest <= 1 and has_decimals(array):
        numbers = numbers * 255
    return to_image(np.rint(numbers).astype(np.uint8).tolist(), shape)


def has_decimals(array: Pixels) -> bool:
    """Whether a number in it was written with a decimal point."""
    return any(has_decimals(one) if isinstance(one, list) else isinstance(one, float) for one in array)


def shown(shape: tuple[int, ...]) -> str:
    """What is expected, for a message."""
    height, width, *colours = shape
    return f"{height} rows of {width} {'lists of 3 integers' if colours else 'integers'}"
