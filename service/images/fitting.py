"""Any picture to an image of one size, for networks of other things than digits: scaled, on its own background."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def fit(pixels: Pixels, size: tuple[int, int], ink: Literal["kept", "dark", "light"]) -> Pixels:
    """UINT8 [height, width] or [height, width, 3] -> the same of this height and width.

    It is as large as fits with its proportions, in the middle, on the colour of its border. With `ink` dark or light, a
    grey picture is inverted if what differs from its border is not.
    """
    background = _border_colour(pixels)
    if pixels.ndim == 2 and ink != "kept":
        is_dark = float(pixels.mean()) < float(background.mean())
        if is_dark != (ink == "dark"):
            pixels, background = 255 - pixels, 255 - background
    height, width = pixels.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    inner = (min(size[1], max(1, round(width * scale))), min(size[0], max(1, round(height * scale))))
    resized = np.asarray(Image.fromarray(pixels).resize(inner, Image.Resampling.BILINEAR))
    image = np.empty((*size, *pixels.shape[2:]), np.uint8)
    image[:] = background
    top, left = (size[0] - inner[1]) // 2, (size[1] - inner[0]) // 2
    image[top : top + inner[1], left : left + inner[0]] = resized
    return image


def _border_colour(pixels: Pixels) -> Pixels:
    """The median of the outermost pixels: UINT8, of each colour."""
    edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    return np.asarray(np.median(np.concatenate(edges), axis=0), np.uint8)
