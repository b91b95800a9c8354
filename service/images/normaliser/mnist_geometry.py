"""The geometry of MNIST's images: ink of any size and stroke width -> 28x28."""

import functools
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.images.normaliser.segmentation import Grey

Mask = NDArray[np.bool_]

FIELD = 28
BOX = 20
CENTRE = 14.0  # where the centre of mass belongs, in pixel indices
MAX_OFF_CENTRE = 0.75  # pixels: how far the centre of mass may be from there, as images move by whole pixels
INDICES = np.arange(FIELD)
ROW = (1 << FIELD) - 1
MOMENTS = np.stack([np.ones(FIELD * FIELD), *np.divmod(np.arange(FIELD * FIELD), FIELD)], axis=1).astype(np.float32)
MIN_INK = 16  # of 255
MIN_STROKE, TARGET_STROKE = 1.8, 2.0  # pixels of the box: strokes thinner than the first are widened to the second
FULL_INK_ONE_IN = 20  # pixels of the box: those with the most ink are full ink
MAX_GAIN = 3.0  # of the contrast


def is_normalised(grey: Grey) -> bool:
    """Whether it has MNIST's geometry: 28x28, dark background, longest side of the ink 18 to 20, centred by mass."""
    if grey.shape != (FIELD, FIELD):
        return False
    inked = grey >= MIN_INK
    bits = _as_bits(inked)
    if bits == 0 or 2 * bits.bit_count() > FIELD * FIELD:
        return False
    rows = bits.bit_length() - 1, (bits & -bits).bit_length() - 1
    columns = functools.reduce(int.__or__, [bits >> (row * FIELD) & ROW for row in range(rows[1] // FIELD, FIELD)])
    height = rows[0] // FIELD - rows[1] // FIELD + 1
    width = columns.bit_length() - (columns & -columns).bit_length() + 1
    if not BOX - 2 <= max(height, width) <= BOX:
        return False
    mass, down, across = (grey * inked).ravel().astype(np.float32) @ MOMENTS  # integers that FP32 represents exactly
    return math.hypot(down / mass - CENTRE, across / mass - CENTRE) <= MAX_OFF_CENTRE


def fit_mnist_geometry(ink: Grey) -> Grey:
    """Ink cropped to its bounding box, 0 to 255 -> UINT8 [28, 28] with MNIST's stroke width, size, contrast, centre."""
    scale = max(ink.shape) / BOX
    stroke = stroke_width(ink >= 128) / scale
    if stroke < MIN_STROKE:
        ink = _widen_strokes(ink, (TARGET_STROKE - stroke) * scale)
    return centre_by_mass(_stretch_contrast(_fit_box(ink)))


def stroke_width(mask: Mask) -> float:
    """The mean width of the strokes of a mask [height, width], in pixels."""
    return areas_and_widths(mask[np.newaxis])[0][1]


def areas_and_widths(masks: Mask) -> list[tuple[int, float]]:
    """For each mask of [n, height, width], the number of its pixels and the mean width of its strokes, in pixels.

    The width is twice the area over the perimeter. The perimeter is counted in edges of pixels, which is 4/pi times too
    long. To count quickly, a mask becomes one integer with a bit for each pixel.
    """
    _, height, width = masks.shape
    first, inner = _column_masks(height, width)
    found = []
    for mask in masks:
        bits = _as_bits(mask)
        across = ((bits ^ bits >> 1) & inner).bit_count() + (bits & first).bit_count()
        across += (bits >> (width - 1) & first).bit_count()
        down = (bits ^ bits << width).bit_count()
        area = bits.bit_count()
        found.append((area, 2 * area / max(1.0, (across + down) * math.pi / 4)))
    return found


def _as_bits(mask: Mask) -> int:
    """One bit for each pixel: the first pixel of the first row is the lowest."""
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")


@functools.lru_cache(256)
def _column_masks(height: int, width: int) -> tuple[int, int]:
    """The bits of the first column of a picture of this size, and of all columns but the last."""
    first = sum(1 << (row * width) for row in range(height))
    return first, first * ((1 << (width - 1)) - 1)


def _widen_strokes(ink: Grey, by: float) -> Grey:
    """Widen the strokes by so many pixels; of the outermost one, a part is inked."""
    reach = math.ceil(by / 2)
    wide = np.zeros((ink.shape[0] + 2 * reach, ink.shape[1] + 2 * reach), np.uint8)
    wide[reach:-reach, reach:-reach] = ink
    inner = _dilate(_dilate(wide, reach - 1).T, reach - 1).T
    part = by / 2 - (reach - 1)
    edge = _dilate(_dilate(inner, 1).T, 1).T * np.float32(part)
    widened: Grey = np.maximum(inner, edge.astype(np.uint8))
    return widened if part >= 0.5 else widened[1:-1, 1:-1]


def _dilate(ink: Grey, reach: int) -> Grey:
    """The most ink within `reach` rows."""
    most = ink.copy()
    for shift in range(1, reach + 1):
        np.maximum(most[shift:], ink[:-shift], out=most[shift:])
        np.maximum(most[:-shift], ink[shift:], out=most[:-shift])
    return most


def _fit_box(ink: Grey) -> Grey:
    """Scale the longest side to 20 pixels, with smooth edges."""
    height, width = ink.shape
    scale = BOX / max(height, width)
    if scale == 1:
        return ink
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    resampling = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(ink).resize(size, resampling))


def _stretch_contrast(ink: Grey) -> Grey:
    """Scale the levels so that the middle of the strokes is 255."""
    fullest = np.sort(ink, axis=None)[-max(3, ink.size // FULL_INK_ONE_IN) :]
    gain = min(255 * len(fullest) / max(int(fullest.sum()), 1), MAX_GAIN)
    stretched: Grey = np.minimum(ink * np.float32(gain) + np.float32(0.5), np.float32(255)).astype(np.uint8)
    return stretched


def centre_by_mass(ink: Grey) -> Grey:
    """Place it on the 28x28 field, its centre of mass in the middle as nearly as whole pixels allow."""
    field = np.zeros((FIELD, FIELD), np.uint8)
    height, width = ink.shape
    down, across = _centre_of_mass(ink)
    top = min(max(round(CENTRE - down), 0), FIELD - height)
    left = min(max(round(CENTRE - across), 0), FIELD - width)
    field[top : top + height, left : left + width] = ink
    return field


def _centre_of_mass(ink: Grey) -> tuple[float, float]:
    """Row and column, in pixel indices."""
    rows, columns = ink.sum(axis=1, dtype=np.int64), ink.sum(axis=0, dtype=np.int64)
    mass = float(rows.sum())
    return float(rows @ INDICES[: len(rows)]) / mass, float(columns @ INDICES[: len(columns)]) / mass
