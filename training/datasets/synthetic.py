"""Noisy points in the plane, sampled from a seed: few to train on, many held out. Two classes, or an arc."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import make_moons

from service.bundle.manifest import Column
from training.datasets.dataset import Split, columns_with_ranges

Sampler = Callable[[int, np.random.RandomState], tuple[NDArray[np.float64], NDArray[np.int64]]]
"""From a count and a random generator to points FP64 [count, 2] and their classes INT64 [count], 0 or 1."""

TRAIN_POINTS, ARC_POINTS, HELD_OUT_POINTS = 150, 600, 1000


@dataclass(frozen=True)
class SyntheticPoints:
    """Points of two classes; training and held-out points are sampled from different seeds."""

    name: str
    source: str
    labels: tuple[str, str]
    sample: Sampler
    licence: str = "made by code: free to use"

    def train(self, seed: int) -> Split:
        """150 points."""
        return self._points(TRAIN_POINTS, 2 * seed)

    def held_out(self, seed: int) -> Split:
        """1,000 other points."""
        return self._points(HELD_OUT_POINTS, 2 * seed + 1)

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        """The two coordinates with their ranges in the training data."""
        return columns_with_ranges(("x1", "x2"), train.inputs)

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        """Empty: the targets are classes."""
        return ()

    def _points(self, count: int, seed: int) -> Split:
        points, classes = self.sample(count, np.random.RandomState(seed % 2**32))
        return Split(torch.from_numpy(points.astype(np.float32)), torch.from_numpy(classes.astype(np.int64)))


@dataclass(frozen=True)
class Arc:
    """Points of an arc, read backwards: from its height, where it is. All heights but the top are at two places."""

    name: str = "arc"
    source: str = "points of a parabola, made by code"
    licence: str = "made by code: free to use"
    labels: tuple[str, ...] = ()

    def train(self, seed: int) -> Split:
        """600 points."""
        return self._points(ARC_POINTS, 2 * seed)

    def held_out(self, seed: int) -> Split:
        """1,000 other points."""
        return self._points(HELD_OUT_POINTS, 2 * seed + 1)

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        """The height with its range in the training data."""
        return columns_with_ranges(("height",), train.inputs)

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        """The place with its range in the training data."""
        return columns_with_ranges(("place",), train.targets)

    def _points(self, count: int, seed: int) -> Split:
        random = np.random.RandomState(seed % 2**32)
        place = random.uniform(-1, 1, (count, 1))
        height = 1 - place**2 + random.normal(0, 0.05, (count, 1))
        return Split(torch.from_numpy(height.astype(np.float32)), torch.from_numpy(place.astype(np.float32)))


def sample_moons(count: int, random: np.random.RandomState) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two interleaving half circles, with noise of standard deviation 0.3."""
    points, classes = make_moons(count, noise=0.3, random_state=random)
    return np.asarray(points), np.asarray(classes)


def sample_spirals(count: int, random: np.random.RandomState) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two spirals of one turn, with noise of standard deviation 0.35 (after Lang and Witbrock, 1988)."""
    classes = np.arange(count) % 2
    angle = np.sqrt(random.uniform(0.02, 1, count)) * 2 * np.pi
    radius = angle / np.pi * (1 - 2 * classes)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return points + random.normal(0, 0.35, points.shape), classes


DATASETS: dict[str, Callable[[], SyntheticPoints | Arc]] = {
    "arc": Arc,
    "moons": partial(
        SyntheticPoints, "moons", "two moons, by scikit-learn's make_moons", ("upper", "lower"), sample_moons
    ),
    "spirals": partial(
        SyntheticPoints,
        "spirals",
        "two spirals, made by code after Lang and Witbrock (1988)",
        ("first", "second"),
        sample_spirals,
    ),
}
