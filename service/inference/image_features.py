"""What is measured of an image, to compare it with the images of the training data."""

import numpy as np
from numpy.typing import NDArray

INK_THRESHOLD = 128  # of 255
IMAGES_AT_ONCE = 256  # that are measured, so that little memory is needed

Floats = NDArray[np.float32]


def image_features(images: NDArray[np.uint8], *, digits: bool) -> Floats:
    """Of UINT8 [n, height, width, ...] FP32 [n, features], 0 to 1, named by `bundle.baseline.image_feature_names`.

    Of `digits` the fraction of pixels with ink; of others the mean and the standard deviation of the pixels.
    """
    rows = images.reshape(len(images), -1)
    if len(rows) <= IMAGES_AT_ONCE:
        return _measure(rows, digits=digits)
    blocks = (rows[i : i + IMAGES_AT_ONCE] for i in range(0, len(rows), IMAGES_AT_ONCE))
    return np.concatenate([_measure(block, digits=digits) for block in blocks])


def ink_fraction(images: NDArray[np.uint8]) -> float:
    """The fraction of all pixels that have ink."""
    return float(np.count_nonzero(images >= INK_THRESHOLD) / images.size)


def _measure(rows: NDArray[np.uint8], *, digits: bool) -> Floats:
    if digits:
        return np.asarray((rows >= INK_THRESHOLD).mean(1, dtype=np.float32, keepdims=True))
    pixels = rows / np.float32(255)
    return np.concatenate((pixels.mean(1, keepdims=True), pixels.std(1, keepdims=True)), axis=1)
