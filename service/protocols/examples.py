"""An example input for a bundle: the middle of each feature's training range, or a simple drawing."""

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import IMAGE_SHAPE, Bundle


def example_batch(bundle: Bundle) -> NDArray[np.generic]:
    """A batch of one, of numbers that one would type: UINT8 [1, 28, 28] or FP64 [1, features]."""
    if bundle.takes_images:
        image = np.zeros((1, *IMAGE_SHAPE), np.uint8)
        image[0, 4:24, 13:16] = 255
        return image
    row = [float(f"{(feature.minimum + feature.maximum) / 2:.3g}") for feature in bundle.features]
    return np.array([row], np.float64)
