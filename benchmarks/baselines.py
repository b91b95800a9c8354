"""What uploads are usually turned into, for comparison: no ink normaliser, and the first one that this project had."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import UnusableInput
from service.images.normaliser.mnist_geometry import BOX, FAINT, is_normalised, placed

Grey = NDArray[np.uint8]


def naive(grey: Grey) -> Grey:
    """Shrunk to 28x28, as nearly every tutorial does."""
    return np.asarray(Image.fromarray(grey).resize((28, 28), Image.Resampling.BILINEAR))


def inverted(grey: Grey) -> Grey:
    """And inverted where the border is light."""
    small = naive(grey)
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    return 255 - small if np.median(border) >= 128 else small


def rough(grey: Grey) -> Grey:
    """Find what stands out from the border, crop, scale to the 20x20 box, centre its mass."""
    if is_normalised(grey):
        return grey
    factor = max(grey.shape) // 560
    grey = np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    distance = np.abs(grey.astype(np.int16) - int(np.median(border)))
    full = float(np.median(distance[distance >= distance.max() / 2])) if distance.any() else 0.0
    if full < 24:
        raise UnusableInput("blank")
    ink = np.clip((distance - full / 4) * 255 / (full - full / 4), 0, 255).astype(np.uint8)
    rows, columns = (np.flatnonzero((ink >= FAINT).any(axis=axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(ink.shape)
    size = max(round(ink.shape[1] * scale), 1), max(round(ink.shape[0] * scale), 1)
    smoothly = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return placed(np.asarray(Image.fromarray(ink).resize(size, smoothly)))
