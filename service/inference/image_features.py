"""What is measured of an image, to compare it with the images of the training data."""

import numpy as np
from numpy.typing import NDArray

INK_THRESHOLD = 128  # of 255
BLOCK_BYTES = 2**20  # of the images that are measured at once, so that they stay in the cache, and take little memory
MAX_SUMMED = 2**16  # pixels: the sum of their squares has 32 bits, which is added in half of the time that 64 take

Floats = NDArray[np.float32]


def image_features(images: NDArray[np.uint8], *, digits: bool) -> Floats:
    """Of UINT8 [n, height, width, ...] FP32 [n, features], 0 to 1, named by `bundle.baseline.image_feature_names`.

    Of `digits` the fraction of pixels with ink; of others the mean and the standard deviation of the pixels.
    """
    rows = images.reshape(len(images), -1)
    measure = _ink_fractions if digits else _means_and_deviations
    at_once = max(1, BLOCK_BYTES // rows.shape[1])
    if len(rows) <= at_once:
        return measure(rows)
    return np.concatenate([measure(rows[i : i + at_once]) for i in range(0, len(rows), at_once)])


def ink_fraction(images: NDArray[np.uint8]) -> float:
    """The fraction of all pixels that have ink."""
    return float(np.count_nonzero(images >= INK_THRESHOLD) / images.size)


def _ink_fractions(rows: NDArray[np.uint8]) -> Floats:
    return np.asarray((rows >= INK_THRESHOLD).mean(1, dtype=np.float32, keepdims=True))


def _means_and_deviations(rows: NDArray[np.uint8]) -> Floats:
    """From the sums of the pixels and of their squares, which are whole numbers."""
    count = rows.shape[1]
    sums, squares = np.zeros((2, len(rows)), np.uint64)
    for start in range(0, count, MAX_SUMMED):
        part = rows[:, start : start + MAX_SUMMED]
        sums += part.sum(1, dtype=np.uint32)
        squares += np.multiply(part, part, dtype=np.uint16).sum(1, dtype=np.uint32)
    means = sums / count
    deviations = np.sqrt(np.maximum(squares / count - means**2, 0))
    return np.stack((means, deviations), axis=1, dtype=np.float32, casting="same_kind") / np.float32(255)
