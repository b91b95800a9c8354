"""Reasons to distrust a prediction, in words: inputs outside the training range, and abstention thresholds.

A network predicts something for any input, often with high confidence; these are the signs that it should not be relied
on.
"""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Bundle, Column

Floats = NDArray[np.float32]


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


def abstention_reason(bundle: Bundle, confidence: float, ood_score: float) -> str | None:
    """Why a prediction is unsure; None if it is not, or if the bundle has no thresholds. Both numbers are 0 to 1."""
    thresholds = bundle.abstention
    if thresholds is None:
        return None
    if thresholds.max_background is not None and ood_score > thresholds.max_background:
        return f"it looks like none of {', '.join(bundle.labels)}"
    if confidence < thresholds.min_probability:
        return f"the probability of the most likely label is below {thresholds.min_probability:g}"
    return None


def _is_within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


@functools.cache
def _training_ranges(features: tuple[Column, ...]) -> tuple[Floats, Floats, list[tuple[float, float]]]:
    """Minima and maxima as FP32, so that the extremes of the training data are inside; and as pairs of numbers."""
    minima = np.array([feature.minimum for feature in features], np.float32)
    maxima = np.array([feature.maximum for feature in features], np.float32)
    return minima, maxima, list(zip(minima.tolist(), maxima.tolist(), strict=True))
