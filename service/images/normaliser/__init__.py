"""The normaliser: any picture of one digit to 28x28, as MNIST's images were made, or the reason why it cannot.

MNIST's makers scaled the ink to fit a 20x20 box, keeping its proportions and smoothing its edges, and placed it on a
28x28 field with its centre of mass in the middle (LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to
document recognition", 1998, section III.A). A network that was trained on such images reads only such images.

    greyscale       colour to grey, so that the ink has contrast
    paper           polarity, and how much darker than the paper each pixel is, in any light
    clutter         removes ruled lines, edges of the page and frames (`lines` detects the first)
    pieces          connected components
    digit           which components are the digit, or why there is none, or more than one
    mnist_geometry  stroke width, bounding box, contrast and position as in MNIST
"""

import contextlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from service.errors import UnprocessableInput
from service.images.normaliser.clutter import LEAST, cleared
from service.images.normaliser.digit import Box, digit_of
from service.images.normaliser.greyscale import to_greyscale
from service.images.normaliser.mnist_geometry import FIELD, MIN_MEASURED_SIDE, fit_mnist_geometry, is_normalised
from service.images.normaliser.paper import TINY, Grey, darkness, lightness, ranked, reduced
from service.images.normaliser.pieces import Mask

__all__ = ["NORMALISER", "NormalisedDigit", "is_normalised", "normalise", "normalise_with_report", "to_greyscale"]

NORMALISER = "ink-2"  # its version, which manifests name: another one gives a network other images
WORKING_SIDE = 256  # pixels: the digit is located in a picture of at most this size
MIN_WORKING_DIGIT = 64  # pixels: a smaller digit in that picture is cut out of the full-size picture
DIGIT_ASPECT = 0.7  # width to height of handwritten digits, roughly
POLARITY_MARGIN = 0.5  # below this the polarity is uncertain, and the other one is tried if the first one fails
EDGE_LEVEL = 85  # of 255: the bounding box ends where there is less ink
NO_INK, FULL_INK = 0.25, 0.8  # of full darkness: below the first is paper, above the second full ink, between an edge

LEVELS = np.arange(256, dtype=np.float32)


@dataclass(frozen=True)
class NormalisedDigit:
    """The image that the network gets, and what was done to make it.

    `image` is UINT8 [28, 28], 0 = paper, 255 = ink; `box` is the digit's left, top, width and height in the picture, in
    pixels; `pieces` is the number of separate components of the digit; `lines` is the number of ruled lines removed.
    """

    image: Grey
    box: Box
    pieces: int = 1
    lines: int = 0
    inverted: bool = False
    already_normalised: bool = False


def normalise(grey: Grey) -> Grey:
    """UINT8 [height, width] of either polarity -> UINT8 [28, 28], 0 = paper, 255 = ink.

    A picture that has MNIST's geometry already comes back unchanged. Raises `UnprocessableInput` if there is no digit
    in it, or more than one.
    """
    return normalise_with_report(grey).image


def normalise_with_report(grey: Grey) -> NormalisedDigit:
    """As `normalise`, with a report of what was done."""
    if is_normalised(grey):
        return NormalisedDigit(grey, (0, 0, FIELD, FIELD), already_normalised=True)
    small, factor = reduced(grey, WORKING_SIDE)
    polarity = lightness(small)  # > 0: the ink is lighter than the paper
    try:
        return _normalise_polarity(grey, small, factor, inverted=polarity > 0)
    except UnprocessableInput:
        if abs(polarity) >= POLARITY_MARGIN:
            raise
        with contextlib.suppress(UnprocessableInput):
            return _normalise_polarity(grey, small, factor, inverted=polarity <= 0)
        raise


def _normalise_polarity(grey: Grey, small: Grey, factor: int, *, inverted: bool) -> NormalisedDigit:
    """Assuming one polarity; `small` is the picture reduced by `factor`."""
    page = cleared(*darkness(~small if inverted else small))
    chosen = digit_of(page.pieces, small.shape)
    left, top, width, height = page.pieces.box(chosen)
    box = np.s_[top : top + height, left : left + width]
    mask = page.pieces.paint(chosen)
    near = mask if max(mask.shape) <= TINY else _dilate(mask)
    ink = _ink_levels(page.dark[box], near[box], page.full)
    if factor > 1 and max(width, height) < MIN_WORKING_DIGIT:
        ink = _refine_small_digit(~grey if inverted else grey, factor, mask, (left, top, width, height), otherwise=ink)
    if (height, width) == small.shape and width == height:
        ink = _restore_aspect(ink)
    left, top = left * factor, top * factor
    size = min(width * factor, grey.shape[1] - left), min(height * factor, grey.shape[0] - top)
    pieces = int(np.count_nonzero(chosen))
    return NormalisedDigit(fit_mnist_geometry(ink), (left, top, *size), pieces, page.lines, inverted)


def _restore_aspect(ink: Grey) -> Grey:
    """Ink that touches all four sides of a square picture was stretched to it: make it narrow again."""
    side = max(len(ink), MIN_MEASURED_SIDE)
    return np.asarray(Image.fromarray(ink).resize((round(side * DIGIT_ASPECT), side), Image.Resampling.BICUBIC))


def _ink_levels(dark: Grey, near: Mask, full: float) -> Grey:
    """Darkness -> ink, 0 to 255: none below `NO_INK` of full darkness or away from the digit, full above `FULL_INK`."""
    table = (LEVELS - np.float32(NO_INK * full)) * np.float32(255 / ((FULL_INK - NO_INK) * full))
    ink: Grey = np.minimum(np.maximum(table, 0), 255).astype(np.uint8)[np.where(near, dark, np.uint8(0))]
    return ink


def _dilate(mask: Mask) -> Mask:
    """The mask and its eight neighbours: where the ink fades out."""
    wide = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.bool_)
    wide[1:-1, 1:-1] = mask
    wide[1:] |= wide[:-1].copy()
    wide[:-1] |= wide[1:].copy()
    wide[:, 1:] |= wide[:, :-1].copy()
    wide[:, :-1] |= wide[:, 1:].copy()
    return wide[1:-1, 1:-1]


def _refine_small_digit(grey: Grey, factor: int, mask: Mask, box: Box, otherwise: Grey) -> Grey:
    """The ink of a small digit, from the full-size picture: the reduced one has shown where it is.

    Returns `otherwise` if the part around the digit has no contrast, because it contains no paper.
    """
    left, top, width, height = box
    margin = max(3, max(width, height) // 2)
    rows, columns = (slice(max(0, at - margin), at + size + margin) for at, size in ((top, height), (left, width)))
    part = grey[rows.start * factor : rows.stop * factor, columns.start * factor : columns.stop * factor]
    part, _ = reduced(part, WORKING_SIDE)
    dark, _ = darkness(part)
    around = Image.fromarray(_dilate(_dilate(mask))[rows, columns]).convert("L")
    near = np.asarray(around.resize((part.shape[1], part.shape[0]), Image.Resampling.BILINEAR)) >= 128
    dark = np.where(near, dark, np.uint8(0))
    if int(dark.max()) < LEAST:
        return otherwise
    ink = _ink_levels(dark, near, float(ranked(dark[dark >= dark.max() / 2], 0.5)))
    inked = ink >= EDGE_LEVEL
    found = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    return ink[found[0][0] : found[0][-1] + 1, found[1][0] : found[1][-1] + 1]
