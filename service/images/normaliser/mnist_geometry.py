"""The pen: ink of any size and width -> 28x28 as MNIST's makers made theirs."""

import functools
import math

import numpy as np
from PIL import Image

from service.images.normaliser.paper import Grey, sliding
from service.images.normaliser.pieces import Mask

FIELD = 28
BOX = 20
MIDDLE = 14.0  # where the centre of mass belongs, in pixel indices
OFF_CENTRE = 0.75  # pixels: so far from it may the centre of mass be, where whole pixels are moved
PLACES = np.arange(FIELD)
ROW = (1 << FIELD) - 1
MOMENTS = np.stack([np.ones(FIELD * FIELD), *np.divmod(np.arange(FIELD * FIELD), FIELD)], axis=1).astype(np.float32)
FAINT = 16  # of 255: below this there is no ink
FINE = 60  # pixels: smaller ink is enlarged before its pen is measured
THIN, PEN = 2.0, 2.4  # pixels of the box: a thinner pen than the one is brought to the other
FULL_SHARE = 20  # the darkest twentieth of the box is full ink


def is_normalised(grey: Grey) -> bool:
    """Whether the geometry is MNIST's: dark paper, longest side of the ink 18 to 20, centre of mass in the middle."""
    if grey.shape != (FIELD, FIELD):
        return False
    inked = grey >= FAINT
    bits = as_number(inked)
    if bits == 0 or 2 * bits.bit_count() > FIELD * FIELD:
        return False
    rows = bits.bit_length() - 1, (bits & -bits).bit_length() - 1
    columns = functools.reduce(int.__or__, [bits >> (row * FIELD) & ROW for row in range(rows[1] // FIELD, FIELD)])
    height = rows[0] // FIELD - rows[1] // FIELD + 1
    width = columns.bit_length() - (columns & -columns).bit_length() + 1
    if not BOX - 2 <= max(height, width) <= BOX:
        return False
    mass, down, across = (grey * inked).ravel().astype(np.float32) @ MOMENTS  # whole numbers that FP32 holds
    return math.hypot(down / mass - MIDDLE, across / mass - MIDDLE) <= OFF_CENTRE


def as_mnist(ink: Grey) -> Grey:
    """Ink cut out to its edges, 0 to 255 -> UINT8 [28, 28]: pen, size, contrast and place as in MNIST."""
    pen = stroke_width(ink >= 128) * BOX / max(ink.shape)
    if pen < THIN:
        ink = _thickened(_enlarged(ink), PEN - pen)
    return placed(_full(_boxed(ink)))


def stroke_width(mask: Mask) -> float:
    """The mean width of strokes in pixels."""
    return areas_and_widths(mask[np.newaxis])[0][1]


def areas_and_widths(masks: Mask) -> list[tuple[int, float]]:
    """Of each mask [n, height, width] the pixels of ink, and the mean width of its strokes in pixels.

    That is twice the area over the outline, which is counted in pixels' edges, 4/pi times too long. For that a mask
    becomes one number, a bit a pixel: its bits are counted faster than anything else.
    """
    _, height, width = masks.shape
    first, inner = _columns(height, width)
    found = []
    for mask in masks:
        bits = as_number(mask)
        across = ((bits ^ bits >> 1) & inner).bit_count() + (bits & first).bit_count()
        across += (bits >> (width - 1) & first).bit_count()
        down = (bits ^ bits << width).bit_count()
        area = bits.bit_count()
        found.append((area, 2 * area / max(1.0, (across + down) * math.pi / 4)))
    return found


def as_number(mask: Mask) -> int:
    """A bit a pixel: the first of the first row is the lowest."""
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")


@functools.lru_cache(256)
def _columns(height: int, width: int) -> tuple[int, int]:
    """The first column of a picture of this size, and all but the last, as numbers."""
    first = sum(1 << (row * width) for row in range(height))
    return first, first * ((1 << (width - 1)) - 1)


def _enlarged(ink: Grey) -> Grey:
    times = -(-FINE // max(ink.shape))
    if times == 1:
        return ink
    height, width = ink.shape
    return np.asarray(Image.fromarray(ink).resize((width * times, height * times), Image.Resampling.BICUBIC))


def _thickened(ink: Grey, by: float) -> Grey:
    """Strokes widened by so many pixels of the box."""
    reach = round(by / 2 * max(ink.shape) / BOX)
    if reach < 1:
        return ink
    height, width = ink.shape
    wide = np.zeros((height + 2 * reach, width + 2 * reach), np.uint8)
    wide[reach:-reach, reach:-reach] = ink
    return sliding(sliding(wide, reach, np.maximum, 0), reach, np.maximum, 1)


def _boxed(ink: Grey) -> Grey:
    """Scaled so that the longest side is 20 pixels, edges smoothed."""
    height, width = ink.shape
    scale = BOX / max(height, width)
    if scale == 1:
        return ink
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    smoothly = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(ink).resize(size, smoothly))


def _full(ink: Grey) -> Grey:
    """Stretched so that the strokes' middle is full ink."""
    darkest = np.sort(ink, axis=None)[-max(3, ink.size // FULL_SHARE) :]
    gain = min(255 * len(darkest) / max(int(darkest.sum()), 1), 3.0)
    full: Grey = np.minimum(ink * np.float32(gain) + np.float32(0.5), np.float32(255)).astype(np.uint8)
    return full


def placed(ink: Grey) -> Grey:
    """Laid on the 28x28 field, its centre of mass in the middle as nearly as whole pixels allow."""
    field = np.zeros((FIELD, FIELD), np.uint8)
    height, width = ink.shape
    down, across = _centre_of_mass(ink)
    top = min(max(round(MIDDLE - down), 0), FIELD - height)
    left = min(max(round(MIDDLE - across), 0), FIELD - width)
    field[top : top + height, left : left + width] = ink
    return field


def _centre_of_mass(ink: Grey) -> tuple[float, float]:
    """Row and column, in pixel indices."""
    rows, columns = ink.sum(axis=1, dtype=np.int64), ink.sum(axis=0, dtype=np.int64)
    mass = float(rows.sum())
    return float(rows @ PLACES[: len(rows)]) / mass, float(columns @ PLACES[: len(columns)]) / mass
