"""Inputs, and predicted values, outside the range of the training data, in words.

A network predicts something for any input; outside that range it should not be relied on. Arrays of pixels are the
network's own input, and nothing shows what a client meant by them: pixels of 0 and 1 in place of 0 and 255, or light
ink where the training data has dark ink, are images that no training image resembles.
"""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Bundle, Column
from service.bundle.signature import Arrays
from service.inference.image_features import image_features, ink_fraction

Floats = NDArray[np.float32]


def input_warnings(bundle: Bundle, inputs: Arrays) -> Iterator[tuple[int, str]]:
    """The index of a row, and what in it is outside the training range, in order."""
    if bundle.features:
        yield from out_of_range_warnings(bundle.features, inputs["features"])
    elif bundle.takes_images:
        yield from image_warnings(bundle, inputs["image"])


def image_warnings(bundle: Bundle, images: NDArray[np.uint8]) -> Iterator[tuple[int, str]]:
    """The index of each image outside the range of the training images, and a warning; none if that is not known."""
    if not bundle.image_features:
        return
    if len(images) == 1 and bundle.reads_digits:  # the most common case, in a fifth of the time
        (ink,) = bundle.image_features
        if ink.minimum <= ink_fraction(images) <= ink.maximum:
            return
    rows = image_features(images, digits=bundle.reads_digits)
    scale = "pixels are 0 to 255" + (", 0 = paper, 255 = ink" if bundle.reads_digits else "")
    warned = -1
    for row, warning in out_of_range_warnings(bundle.image_features, rows):
        if row != warned:  # one is enough
            warned = row
            yield row, f"{warning}: {scale}"


def out_of_range_warnings(features: tuple[Column, ...], rows: Floats) -> Iterator[tuple[int, str]]:
    """For each value of FP32 [n, features] outside its training range: the index of its row and a warning, in order."""
    minima, maxima, ranges = _training_ranges(features)
    if len(rows) == 1 and all(map(_is_within, rows[0].tolist(), ranges)):
        return  # the most common case, in a third of the time that arrays take
    outside = (rows < minima) | (rows > maxima)
    for row, column in zip(*outside.nonzero(), strict=True):
        feature = features[column]
        seen = f"{feature.minimum:.7} to {feature.maximum:.7}"
        yield int(row), f"{feature.name} = {rows[row, column]:.7g} is outside {seen} seen in training"


def _is_within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


@functools.lru_cache(256)
def _training_ranges(features: tuple[Column, ...]) -> tuple[Floats, Floats, list[tuple[float, float]]]:
    """Minima and maxima as FP32, so that the extremes of the training data are inside; and as pairs of numbers."""
    minima = np.array([feature.minimum for feature in features], np.float32)
    maxima = np.array([feature.maximum for feature in features], np.float32)
    return minima, maxima, list(zip(minima.tolist(), maxima.tolist(), strict=True))
