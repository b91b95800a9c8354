"""What makes an answer doubtful, in words: the network itself answers anything, and as surely as it can.

Values outside the range seen in training are warned of; an answer that the bundle's thresholds call unsure says why.
"""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.bundle import Bundle, Feature

Floats = NDArray[np.float32]


def warnings_of(features: tuple[Feature, ...], rows: Floats) -> Iterator[tuple[int, str]]:
    """For each value of FP32 [n, features] that is outside: its row, and the warning in words, in order."""
    lowest, highest = _ranges(features)
    outside = (rows < lowest) | (rows > highest)
    if not outside.any():
        return
    for row, column in zip(*outside.nonzero(), strict=True):
        feature = features[column]
        seen = f"{feature.minimum:.7} to {feature.maximum:.7}"
        yield int(row), f"{feature.name} = {rows[row, column]:.7g} is outside {seen} seen in training"


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
def _ranges(features: tuple[Feature, ...]) -> tuple[Floats, Floats]:
    """As FP32, so that the outermost value of the training data is inside."""
    lowest, highest = ([getattr(feature, end) for feature in features] for end in ("minimum", "maximum"))
    return np.array(lowest, np.float32), np.array(highest, np.float32)
