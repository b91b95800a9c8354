"""Finds the ink of the digit: the segmenter looks at the whole picture and, if the digit is small, at it alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import UnprocessableInput

Grey = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, width, height

INPUT_SIDES = (64, 128)  # pixels: the longest side of the segmenter's input; the second if it finds nothing at first
SIDE_MULTIPLE = 8  # pixels: the sides of what it sees are multiples of it
MAX_ASPECT = 2  # of what it sees: a longer picture is squeezed
MIN_CONTRAST = 8  # of 255: with less between the darkest and the lightest pixel there is nothing
EDGE_INK = 96  # of 255: the digit ends where there is less ink
MIN_PEAK_INK = 160  # of 255: a digit has ink of at least this level somewhere
SMALL_DIGIT = 32  # pixels: a digit whose longest side is shorter is looked at again
BORDER_TOLERANCE = 1  # pixel: so near to an edge the digit touches it
MARGIN = 0.35  # of a digit's longest side, around it when it is looked at again
REDUCED_SIDE = 192  # pixels: a larger picture is reduced once, by a whole number, to less than twice this
MAX_SEVERAL = 0.9  # probability of more than one digit, from which a picture is rejected


@dataclass(frozen=True)
class Segmented:
    """What the segmenter finds in a picture.

    `ink` is UINT8 [height, width]: how much of each pixel is the ink of a digit, of 255. `digits` are the probabilities
    of no digit, one, and more; `light_ink` is the probability that the ink is lighter than the paper.
    """

    ink: Grey
    digits: tuple[float, float, float]
    light_ink: float


SegmentFunction = Callable[[Grey], Segmented]
"""The segmenter: takes UINT8 [height, width], whose sides are multiples of 8."""


@dataclass(frozen=True)
class LocatedDigit:
    """The ink of a digit.

    `segmented` is what the segmenter found in a `part` of the picture; `crop` is the box of the digit in that, `box` is
    the same in the picture.
    """

    segmented: Segmented
    part: Box
    crop: Box
    box: Box

    @property
    def ink(self) -> Grey:
        """UINT8 [height, width], the digit alone, cut out of `segmented`."""
        left, top, width, height = self.crop
        return self.segmented.ink[top : top + height, left : left + width]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the digit in pixels of the picture, not rounded."""
        rows, columns = self.segmented.ink.shape
        return self.crop[2] * self.part[2] / columns, self.crop[3] * self.part[3] / rows

    def fills(self, shape: tuple[int, ...]) -> bool:
        """Whether the digit touches all four sides of a picture [height, width]."""
        left, top, width, height = self.crop
        rows, columns = self.segmented.ink.shape
        margins = left, top, columns - left - width, rows - top - height
        return self.part == (0, 0, shape[1], shape[0]) and max(margins) <= BORDER_TOLERANCE


def locate_digit(grey: Grey, segment: SegmentFunction) -> LocatedDigit:
    """The ink of the one digit in a picture; raises `UnprocessableInput` if there is none, or more than one."""
    picture = _Picture(grey)
    found = None
    for side in INPUT_SIDES:
        if found := _locate(picture, picture.whole, side, segment):
            break
    if found and max(found.crop[2:]) < SMALL_DIGIT:
        found = _locate(picture, _around(found.box, grey.shape), INPUT_SIDES[0], segment) or found
    if not found:
        raise UnprocessableInput("no ink of a digit: the picture is blank, or there is only noise or lines in it")
    if found.segmented.digits[2] > MAX_SEVERAL:
        raise UnprocessableInput("more than one digit: send one digit")
    return found


class _Picture:
    """A picture, and the same reduced once, from which large parts of it are cut faster."""

    def __init__(self, grey: Grey) -> None:
        self.whole = (0, 0, grey.shape[1], grey.shape[0])
        self._full = Image.fromarray(grey)
        self._factor = max(1, max(grey.shape) // REDUCED_SIDE)
        self._reduced = self._full.reduce(self._factor) if self._factor > 1 else self._full

    def resized(self, part: Box, side: int) -> Grey:
        """A part with this longest side, and both sides multiples of 8."""
        left, top, width, height = part
        longest = max(width, height)
        size = [
            max(side // MAX_ASPECT, SIDE_MULTIPLE * round(length * side / longest / SIDE_MULTIPLE))
            for length in (width, height)
        ]
        source, factor = (self._reduced, self._factor) if longest >= side * self._factor else (self._full, 1)
        box = (left / factor, top / factor, (left + width) / factor, (top + height) / factor)
        return np.asarray(source.resize((size[0], size[1]), Image.Resampling.BILINEAR, box))


def _locate(picture: _Picture, part: Box, side: int, segment: SegmentFunction) -> LocatedDigit | None:
    """What the segmenter finds in a part of the picture, enlarged or reduced to this longest side."""
    grey = picture.resized(part, side)
    if int(grey.max()) - int(grey.min()) < MIN_CONTRAST:
        return None
    segmented = segment(grey)
    if int(segmented.ink.max()) < MIN_PEAK_INK:
        return None
    left, top, width, height = crop = box_of(segmented.ink >= EDGE_INK)
    across, down = part[2] / segmented.ink.shape[1], part[3] / segmented.ink.shape[0]
    x, y = int(left * across), int(top * down)
    right, bottom = math.ceil((left + width) * across), math.ceil((top + height) * down)
    size = min(right, part[2]) - x, min(bottom, part[3]) - y
    return LocatedDigit(segmented, part, crop, (part[0] + x, part[1] + y, *size))


def box_of(mask: NDArray[np.bool_]) -> Box:
    """The smallest box around what is true in a mask [height, width], which must be something."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1


def _around(box: Box, shape: tuple[int, ...]) -> Box:
    """A square around a box, with a margin, as far as it lies in the picture."""
    left, top, width, height = box
    side = round(max(width, height) * (1 + 2 * MARGIN))
    x, y = left + (width - side) // 2, top + (height - side) // 2
    right, bottom = min(shape[1], x + side), min(shape[0], y + side)
    return max(0, x), max(0, y), right - max(0, x), bottom - max(0, y)
