"""What makes an answer doubtful, in words: the network itself answers anything, and as surely as it can.

Values outside the range seen in training are warned of; an answer that the bundle's thresholds call unsure says why.
"""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Bundle, Feature

Floats = NDArray[np.float32]


def warnings_of(features: tuple[Feature, ...], rows: Floats) -> Iterator[tuple[int, str]]:
    """For each value of FP32 [n, features] that is outside: its row, and the warning in words, in order."""
    lowest, highest, ranges = _ranges(features)
    if len(rows) == 1 and all(map(_within, rows[0].tolist(), ranges)):
        return  # in a third of the time of arrays
    outside = (rows < lowest) | (rows > highest)
    for row, column in zip(*outside.nonzero(), strict=True):
        feature = features[column]
        seen = f"{feature.minimum:.7} to {feature.maximum:.7}"
        yield int(row), f"{feature.name} = {rows[row, column]:.7g} is outside {seen} seen in training"


def _within(value: float, ends: tuple[float, float]) -> bool:
    return ends[0] <= value <= ends[1]


def doubt_of(bundle: Bundle, probability: float, background: float) -> str | None:
    """Why an answer of such probabilities is unsure; None where it is not, or where the bundle has no thresholds."""
    abstention = bundle.abstention
    if abstention is None:
        return None
    if abstention.background is not None and background > abstention.background:
        return f"it looks like none of {', '.join(bundle.labels)}"
    if probability < abstention.probability:
        return f"the likeliest label is below {abstention.probability:g}"
    return None


@functools.cache
def _ranges(features: tuple[Feature, ...]) -> tuple[Floats, Floats, list[tuple[float, float]]]:
    """As FP32, so that the outermost value of the training data is inside; and as pairs of numbers."""
    lowest = np.array([feature.minimum for feature in features], np.float32)
    highest = np.array([feature.maximum for feature in features], np.float32)
    return lowest, highest, list(zip(lowest.tolist(), highest.tolist(), strict=True))
