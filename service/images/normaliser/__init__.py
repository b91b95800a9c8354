"""The ink normaliser: any picture of one digit -> 28x28 as MNIST's makers made theirs, or why it cannot be.

MNIST's makers scaled the ink to fit a 20x20 box, keeping its proportions and smoothing its edges, and laid it
on a 28x28 field with its centre of mass in the middle (LeCun, Bottou, Bengio, Haffner, "Gradient-based learning
applied to document recognition", 1998, section III.A). A network that learned from such pictures reads only such.

    colour     colour to grey, so that the ink stands out
    paper      which side of the paper the ink is on, and how dark it lies on it, whatever the light
    clutter    what is dark and no ink: ruled lines, edges of the page, frames (`lines` finds the first)
    pieces     what hangs together
    digit      which pieces are the digit, or why there is none, or more than one
    pen        the pen's width, the box, the contrast and the place of MNIST's digits
"""

import contextlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from service.errors import UnusableInput
from service.images.normaliser.clutter import LEAST, cleared
from service.images.normaliser.digit import Box, digit_of
from service.images.normaliser.greyscale import greyed
from service.images.normaliser.mnist_geometry import FIELD, FINE, as_mnist, is_normalised
from service.images.normaliser.paper import TINY, Grey, darkness, lightness, ranked, reduced
from service.images.normaliser.pieces import Mask

__all__ = ["NORMALISER", "Ink", "greyed", "is_normalised", "normalise", "read"]

NORMALISER = "ink-2"  # named in the manifest of a bundle; another one would give its network other pictures
WORKING_SIDE = 256  # pixels: where the ink is, is found in a picture of this size
COARSE = 64  # pixels: a digit smaller than this in it is cut out of the picture itself
PROPORTION = 0.7  # width to height of handwritten digits, roughly
DOUBT = 0.5  # less lightness either way: what cannot be read as dark on light may be light on dark
EDGE = 85  # of 255: the digit's box goes as far as this much ink
LOW, HIGH = 0.25, 0.8  # of full darkness: below is paper, above full ink, and between them an edge

LEVELS = np.arange(256, dtype=np.float32)


@dataclass(frozen=True)
class Ink:
    """What the network gets to see, and what was done to come there.

    `image` is UINT8 [28, 28], 0 = paper, 255 = ink; `box` is the digit's left, top, width and height in the picture,
    in pixels; `pieces` is how many strokes or parts of strokes lie apart in it; `lines` were ruled on the paper.
    """

    image: Grey
    box: Box
    pieces: int = 1
    lines: int = 0
    inverted: bool = False
    untouched: bool = False


def normalise(grey: Grey) -> Grey:
    """UINT8 [height, width] of either polarity -> UINT8 [28, 28], 0 = paper, 255 = ink.

    A picture that already is as MNIST's makers made theirs comes back untouched. Raises `UnusableInput` when there
    is no digit in it, or more than one.
    """
    return read(grey).image


def read(grey: Grey) -> Ink:
    """As `normalise`, with an account of what was done."""
    if is_normalised(grey):
        return Ink(grey, (0, 0, FIELD, FIELD), untouched=True)
    small, factor = reduced(grey, WORKING_SIDE)
    sign = lightness(small)
    try:
        return _read(grey, small, factor, inverted=sign > 0)
    except UnusableInput:
        if abs(sign) >= DOUBT:
            raise
        with contextlib.suppress(UnusableInput):
            return _read(grey, small, factor, inverted=sign <= 0)
        raise


def _read(grey: Grey, small: Grey, factor: int, *, inverted: bool) -> Ink:
    """One polarity of a picture; `small` is the same, reduced by a factor."""
    page = cleared(*darkness(~small if inverted else small))
    chosen = digit_of(page.pieces, small.shape)
    left, top, width, height = page.pieces.box(chosen)
    box = np.s_[top : top + height, left : left + width]
    shape = page.pieces.paint(chosen)
    near = shape if max(shape.shape) <= TINY else _widened(shape)
    ink = _inked(page.dark[box], near[box], page.full)
    if factor > 1 and max(width, height) < COARSE:
        ink = _finer(~grey if inverted else grey, factor, shape, (left, top, width, height), otherwise=ink)
    if (height, width) == small.shape and width == height:
        ink = _proportioned(ink)
    left, top = left * factor, top * factor
    size = min(width * factor, grey.shape[1] - left), min(height * factor, grey.shape[0] - top)
    return Ink(as_mnist(ink), (left, top, *size), int(np.count_nonzero(chosen)), page.lines, inverted)


def _proportioned(ink: Grey) -> Grey:
    """Ink that touches all four sides of a square was stretched to it by whoever cut it out: narrow again."""
    side = max(len(ink), FINE)
    return np.asarray(Image.fromarray(ink).resize((round(side * PROPORTION), side), Image.Resampling.BICUBIC))


def _inked(dark: Grey, near: Mask, full: float) -> Grey:
    """Darkness -> ink, 0 to 255: none below `LOW` of full darkness or away from the digit, full from `HIGH` up."""
    table = (LEVELS - np.float32(LOW * full)) * np.float32(255 / ((HIGH - LOW) * full))
    ink: Grey = np.minimum(np.maximum(table, 0), 255).astype(np.uint8)[np.where(near, dark, np.uint8(0))]
    return ink


def _widened(shape: Mask) -> Mask:
    """The same and its neighbours: where the ink fades out."""
    wide = np.zeros((shape.shape[0] + 2, shape.shape[1] + 2), np.bool_)
    wide[1:-1, 1:-1] = shape
    wide[1:] |= wide[:-1].copy()
    wide[:-1] |= wide[1:].copy()
    wide[:, 1:] |= wide[:, :-1].copy()
    wide[:, :-1] |= wide[:, 1:].copy()
    return wide[1:-1, 1:-1]


def _finer(grey: Grey, factor: int, shape: Mask, box: Box, otherwise: Grey) -> Grey:
    """The ink of a small digit, from the picture as it came: where it lies is known from the reduced one.

    Comes `otherwise` where nothing is to be seen from so near, because there is no paper around it.
    """
    left, top, width, height = box
    margin = max(3, max(width, height) // 2)
    rows, columns = (slice(max(0, at - margin), at + size + margin) for at, size in ((top, height), (left, width)))
    part = grey[rows.start * factor : rows.stop * factor, columns.start * factor : columns.stop * factor]
    part, _ = reduced(part, WORKING_SIDE)
    dark, _ = darkness(part)
    place = Image.fromarray(_widened(_widened(shape))[rows, columns]).convert("L")
    near = np.asarray(place.resize((part.shape[1], part.shape[0]), Image.Resampling.BILINEAR)) >= 128
    dark = np.where(near, dark, np.uint8(0))
    if int(dark.max()) < LEAST:
        return otherwise
    ink = _inked(dark, near, float(ranked(dark[dark >= dark.max() / 2], 0.5)))
    inked = ink >= EDGE
    found = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    return ink[found[0][0] : found[0][-1] + 1, found[1][0] : found[1][-1] + 1]
