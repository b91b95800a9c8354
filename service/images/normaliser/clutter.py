"""What is dark on the paper and no ink of the digit: ruled lines, the edges of the page, frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import UnprocessableInput
from service.images.normaliser.lines import lines_of
from service.images.normaliser.mnist_geometry import BOX, stroke_width
from service.images.normaliser.paper import TINY, Grey, ranked
from service.images.normaliser.pieces import Mask, Pieces

LEAST = 12  # of 255: less contrast between paper and ink is none
SURE = 4  # standard deviations of the paper's grain: what stands out by less may be grain
DARK = 0.35  # of full darkness: from here on a pixel may be ink
ROUNDS = 5  # of taking clutter away; each shows what was faint beside it
SPANS = 0.7  # of the picture: what is longer may hang on ruled lines
BAND = 0.35  # of an edge of the picture: what lies along it for longer, and is thin, is no digit
MUCH, NO_PEN = 0.33, 1.6  # of a tiny picture, and pixels: noise covers more by thinner strokes than any digit
NOISE = "there is only noise in the picture: nothing on it stands out from the grain of the paper"
SOLID = 0.95  # of a row or a column is dark, all along an edge: no digit has such rows and columns
FRAME = 0.97  # of a frame's pixels lie along the four sides of its box


@dataclass(frozen=True)
class Page:
    """What is left: darkness [height, width], full darkness (the ink's), its pieces, and how many lines there were."""

    dark: Grey
    full: float
    pieces: Pieces
    lines: int


def cleared(dark: Grey, grain: float) -> Page:
    """Take away what is no ink, round by round; raise `UnprocessableInput` when nothing is left that stands out."""
    tiny = max(dark.shape) <= TINY
    lines = 0
    for left in range(ROUNDS, -1, -1):
        full = _full(dark, grain)
        mask = dark >= max(DARK * full, 2.5 * grain)
        pieces = Pieces.of(mask, dark)
        if tiny:
            _refuse_noise(mask)
            break
        if not left:
            break
        clutter, count = _clutter(pieces, mask)
        if not clutter.any() or clutter.sum() == mask.sum():
            break
        lines = max(lines, count)
        dark = np.where(clutter, np.uint8(0), dark)
    return Page(dark, full, pieces, lines)


def _refuse_noise(mask: Mask) -> None:
    """A tiny picture has no paper to see its grain on; but so much ink in so thin strokes is no digit.

    Unless it is so small that a digit in it is just that.
    """
    much = np.count_nonzero(mask) > MUCH * mask.size
    if much and min(mask.shape) >= BOX and stroke_width(mask) < NO_PEN:
        raise UnprocessableInput(NOISE)


def _full(dark: Grey, grain: float) -> float:
    """How dark the ink is in the middle of its strokes."""
    peak = int(dark.max())
    if peak < LEAST:
        raise UnprocessableInput("the picture is blank: nothing on it stands out from the paper")
    if peak < SURE * grain:
        raise UnprocessableInput(NOISE)
    return float(ranked(dark[dark >= peak / 2], 0.5))


def _clutter(pieces: Pieces, mask: Mask) -> tuple[Mask, int]:
    height, width = mask.shape
    margin = _margin(mask)
    if margin.any():
        return margin & mask, 0
    if ((pieces.height >= SPANS * height) | (pieces.width >= SPANS * width)).any():
        lines, count = lines_of(mask)
        if count:
            return lines, count
    unwanted = _bands(pieces, mask.shape) | _frames(pieces)
    return pieces.paint(unwanted) if not unwanted.all() else np.zeros_like(mask), 0


def _margin(mask: Mask) -> Mask:
    """Rows and columns all dark, from two edges that meet: the digit's picture lies on something, or is framed."""
    margin = np.zeros_like(mask)
    dark = [mask.mean(axis=axis) >= SOLID for axis in (1, 0)]
    (top, bottom), (left, right) = ((_leading(lines), _leading(lines[::-1])) for lines in dark)
    if (top or bottom) and (left or right):
        margin[:top] = margin[mask.shape[0] - bottom :] = True
        margin[:, :left] = margin[:, mask.shape[1] - right :] = True
    return margin


def _leading(lines: NDArray[np.bool_]) -> int:
    """How many of the first lines are dark, and what of the next may be their edge."""
    count = int(lines.argmin())
    return count + 1 if count and not lines.all() else 0


def _bands(pieces: Pieces, shape: tuple[int, int]) -> Mask:
    """What lies along an edge of the picture, long and thin, or crosses all of it as one line."""
    height, width = shape
    at_end = (pieces.top <= 1) | (pieces.bottom >= height - 1)
    at_side = (pieces.left <= 1) | (pieces.right >= width - 1)
    level = (pieces.width >= BAND * width) & (pieces.height <= pieces.width / 5)
    upright = (pieces.height >= BAND * height) & (pieces.width <= pieces.height / 5)
    across = (pieces.width >= SPANS * width) & (pieces.height <= pieces.width / 8)
    down = (pieces.height >= 0.95 * height) & (pieces.width <= pieces.height / 12)
    return (at_end & level) | (at_side & upright) | across | down


def _frames(pieces: Pieces) -> Mask:
    """Boxes drawn around something: all of them lies along their sides, and another piece inside."""
    frames = np.zeros(len(pieces), np.bool_)
    size = np.minimum(pieces.height, pieces.width)
    for i in np.flatnonzero(size >= size.max() / 2) if len(pieces) > 1 else ():
        inside = (pieces.top > pieces.top[i]) & (pieces.bottom < pieces.bottom[i])
        inside &= (pieces.left > pieces.left[i]) & (pieces.right < pieces.right[i])
        if (pieces.height[inside] >= 0.3 * pieces.height[i]).any():
            frames[i] = pieces.share_along_sides(int(i)) >= FRAME
    return frames
