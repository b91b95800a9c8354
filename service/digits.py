"""The ink normaliser: any picture of one digit -> 28x28 as MNIST's makers made theirs.

MNIST's makers scaled the ink to fit a 20x20 box, keeping its proportions and smoothing its edges, and laid it
on a 28x28 field with its centre of mass in the middle (LeCun, Bottou, Bengio, Haffner, "Gradient-based learning
applied to document recognition", 1998, section III.A). A network that learned from such pictures reads only such.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import UnusableInput

FIELD = 28
BOX = 20
MIDDLE = 14.0  # where the centre of mass belongs, in pixel indices
FAINT = 16  # of 255: below this there is no ink
WORKING_SIDE = 560  # larger pictures are first reduced to about this: 20 samples for each pixel of the box
LEAST_CONTRAST = 24  # of 255, between paper and ink; below it a picture is blank


def normalise(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """UINT8 [height, width] of either polarity -> UINT8 [28, 28], 0 = paper, 255 = ink.

    A picture that already is as MNIST's makers made theirs comes back untouched.
    Raises `UnusableInput` when there is no ink in it.
    """
    if is_normalised(grey):
        return grey
    ink = _ink(_reduced(grey))
    rows, columns = (np.flatnonzero((ink >= FAINT).any(axis=axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _centred(_boxed(ink))


def is_normalised(grey: NDArray[np.uint8]) -> bool:
    """Whether the geometry is MNIST's: dark paper, longest side of the ink 18 to 20, centre of mass in the middle."""
    if grey.shape != (FIELD, FIELD) or np.median(grey) >= FAINT:
        return False
    ink = np.where(grey >= FAINT, grey, 0)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not rows.size:
        return False
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    return bool(BOX - 2 <= longest <= BOX and np.hypot(*(_centre_of_mass(ink) - MIDDLE)) <= 0.75)


def _reduced(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    factor = max(grey.shape) // WORKING_SIDE
    return np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey


def _ink(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How far each pixel is from the paper, stretched to 0..255. The paper is what the border mostly shows."""
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    distance = np.abs(grey.astype(np.int16) - int(np.median(border)))
    full = float(np.percentile(distance[distance >= distance.max() / 2], 50)) if distance.any() else 0.0
    if full < LEAST_CONTRAST:
        raise UnusableInput("the picture is blank: nothing on it stands out from the paper")
    threshold = full / 4  # between the grain of the paper and the ink
    return np.asarray(np.clip((distance - threshold) * 255 / (full - threshold), 0, 255), np.uint8)


def _boxed(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scaled so that the longest side is 20 pixels, edges smoothed."""
    height, width = ink.shape
    scale = BOX / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    smoothly = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(ink).resize(size, smoothly))


def _centred(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Laid on the 28x28 field, its centre of mass in the middle as nearly as whole pixels allow."""
    field = np.zeros((FIELD, FIELD), np.uint8)
    room = FIELD - np.array(ink.shape)
    top, left = np.clip(np.rint(MIDDLE - _centre_of_mass(ink)).astype(int), 0, room)
    field[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return field


def _centre_of_mass(ink: NDArray[Any]) -> NDArray[np.float64]:
    mass = ink.sum(dtype=np.float64)
    moments = ink.sum(axis=1) @ np.arange(ink.shape[0]), ink.sum(axis=0) @ np.arange(ink.shape[1])
    centre: NDArray[np.float64] = np.array(moments, np.float64) / mass
    return centre
