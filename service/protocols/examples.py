"""An example input for a bundle: the middle of each feature's training range, a simple drawing, or zeros."""

import math

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Bundle, Column


def example_batch(bundle: Bundle) -> NDArray[np.generic]:
    """A batch of one, of numbers that one would type: an image UINT8 [1, height, width, ...] or FP64 [1, features]."""
    if bundle.takes_images:
        image = np.zeros((1, *bundle.image_shape), np.uint8)
        height, width = bundle.image_shape[:2]
        image[0, height // 7 : height - height // 7, width // 2 - 1 : width // 2 + 2] = 255
        return image
    return np.array([[_middle(feature) for feature in bundle.features]], np.float64)


def _middle(feature: Column) -> float:
    middle = (feature.minimum + feature.maximum) / 2
    if not math.isfinite(middle):  # the range is not known
        return 0.0
    return float(int(middle)) if feature.categories else float(f"{middle:.3g}")
