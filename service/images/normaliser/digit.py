"""Which pieces are the digit: one of them, and what belongs to it."""

import numpy as np

from service.errors import UnprocessableInput
from service.images.normaliser.paper import TINY
from service.images.normaliser.pieces import Mask, Pieces

Box = tuple[int, int, int, int]  # left, top, width, height

NEAR = 0.5  # of the digit's longest side: so far away may a stroke be that belongs to it
SHARE = 0.03  # of the largest piece's ink: less is a speck
LARGE = 0.25  # of the largest piece's ink, and half its height: this much may be a digit of its own
APART = 0.15  # of the height: digits of one number leave so much between them
ALIKE = 0.85  # of each other's height: such two, as high up as each other and with paper between them, are two digits
CROWD = 8  # pieces of such a size are no writing


def digit_of(pieces: Pieces, shape: tuple[int, int]) -> Mask:
    """Booleans, one a piece: the one with the most ink and nearest to the middle, and its parts.

    Raises `UnprocessableInput` when other pieces are digits as well, or when there are many of one size.
    """
    if len(pieces) == 1:
        return np.ones(1, np.bool_)
    height, width = shape
    y = (pieces.top + pieces.bottom) / (2 * height) - 0.5
    x = (pieces.left + pieces.right) / (2 * width) - 0.5
    weight = pieces.ink * np.exp(-4 * (x * x + y * y))
    at_edge = (pieces.top <= 1) | (pieces.bottom >= height - 1) | (pieces.left <= 1) | (pieces.right >= width - 1)
    at_edge &= max(shape) > TINY  # as good a place as any in a tiny picture
    main = int(np.where(at_edge, weight / 2, weight).argmax())
    _refuse_others(pieces, main, pieces.ink >= np.where(at_edge, 2 * LARGE, LARGE) * pieces.ink[main])
    return _with_parts(pieces, main, ~at_edge)


def _refuse_others(pieces: Pieces, main: int, large: Mask) -> None:
    if np.count_nonzero(large) >= CROWD:
        raise UnprocessableInput(
            f"{np.count_nonzero(large)} separate pieces of about one size: noise, or more than one digit"
        )
    height = pieces.height[main]
    gap = max(APART * height, 2)  # one pixel parts the pieces of one digit, where it is drawn with few
    beside = np.maximum(pieces.left - pieces.right[main], pieces.left[main] - pieces.right) >= gap
    above = np.maximum(pieces.top - pieces.bottom[main], pieces.top[main] - pieces.bottom) >= 4 * gap
    others = large & (pieces.height >= height / 2) & (beside | above | _beside_as_high(pieces, main))
    if others.any():
        count = 1 + np.count_nonzero(others)
        raise UnprocessableInput(
            f"more than one digit: {count} separate pieces are each as large as one; send one digit"
        )


def _beside_as_high(pieces: Pieces, main: int) -> Mask:
    """The like of 4 and 4 set close: one beside the other, both from the same top to the same bottom."""
    shared = np.minimum(pieces.bottom, pieces.bottom[main]) - np.maximum(pieces.top, pieces.top[main])
    whole = np.maximum(pieces.bottom, pieces.bottom[main]) - np.minimum(pieces.top, pieces.top[main])
    between = np.maximum(pieces.left - pieces.right[main], pieces.left[main] - pieces.right)
    return np.asarray((shared >= ALIKE * whole) & (between >= 2) & (pieces.ink >= ALIKE / 2 * pieces.ink[main]))


def _with_parts(pieces: Pieces, main: int, candidates: Mask) -> Mask:
    chosen = np.zeros(len(pieces), np.bool_)
    chosen[main] = True
    reach = NEAR * max(pieces.height[main], pieces.width[main]) * np.clip(4 * pieces.ink / pieces.ink[main], 0.15, 1)
    while True:
        left, top, width, height = pieces.box(chosen)
        down = np.maximum(np.maximum(pieces.top - top - height, top - pieces.bottom), 0)
        across = np.maximum(np.maximum(pieces.left - left - width, left - pieces.right), 0)
        more = candidates & ~chosen & (np.hypot(down, across) <= reach) & (pieces.ink >= SHARE * pieces.ink[main])
        if not more.any():
            return chosen
        chosen |= more
