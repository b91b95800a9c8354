"""Values outside the range seen in training: a network answers them as surely as any, so the answer warns."""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.bundle import Feature

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


@functools.cache
def _ranges(features: tuple[Feature, ...]) -> tuple[Floats, Floats]:
    """As FP32, so that the outermost value of the training data is inside."""
    lowest, highest = ([getattr(feature, end) for feature in features] for end in ("minimum", "maximum"))
    return np.array(lowest, np.float32), np.array(highest, np.float32)
