"""Preprocessing baselines for uploaded digits: what most tutorials do, and the first normaliser of this project."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import UnprocessableInput
from service.images.normaliser.mnist_geometry import BOX, MIN_INK, centre_by_mass, is_normalised

Grey = NDArray[np.uint8]
"""A greyscale image, UINT8 [height, width]."""


def resize(grey: Grey) -> Grey:
    """Resize to 28x28, as most tutorials do; the aspect ratio is lost."""
    return np.asarray(Image.fromarray(grey).resize((28, 28), Image.Resampling.BILINEAR))


def resize_and_invert(grey: Grey) -> Grey:
    """Resize to 28x28 and invert if the border is light, since MNIST is light ink on a dark background."""
    resized = resize(grey)
    border = np.concatenate([resized[0], resized[-1], resized[:, 0], resized[:, -1]])
    return 255 - resized if np.median(border) >= 128 else resized


def crop_and_centre(grey: Grey) -> Grey:
    """The first normaliser: threshold against the border's median, crop, scale to 20x20, centre the mass.

    Raises `UnprocessableInput` for a blank image.
    """
    if is_normalised(grey):
        return grey
    factor = max(grey.shape) // 560
    grey = np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    distance = np.abs(grey.astype(np.int16) - int(np.median(border)))
    contrast = float(np.median(distance[distance >= distance.max() / 2])) if distance.any() else 0.0
    if contrast < 24:
        raise UnprocessableInput("blank")
    ink = np.clip((distance - contrast / 4) * 255 / (contrast - contrast / 4), 0, 255).astype(np.uint8)
    rows, columns = (np.flatnonzero((ink >= MIN_INK).any(axis=axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(ink.shape)
    size = max(round(ink.shape[1] * scale), 1), max(round(ink.shape[0] * scale), 1)
    resampling = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return centre_by_mass(np.asarray(Image.fromarray(ink).resize(size, resampling)))
