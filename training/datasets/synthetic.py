"""Two classes of points in the plane, drawn by a seed, with noise: few to learn from, many to be judged on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import make_moons

from service.bundle.manifest import Feature
from training.datasets import Split, ranges

Draw = Callable[[int, np.random.RandomState], tuple[NDArray[np.float64], NDArray[np.int64]]]
TRAIN, HELD_OUT = 150, 1000


@dataclass(frozen=True)
class Plane:
    """Points of two classes; those to learn from and those held out are drawn apart."""

    name: str
    source: str
    labels: tuple[str, str]
    draw: Draw
    licence: str = "made by code: free to use"

    def train(self, seed: int) -> Split:
        """150 points."""
        return self._points(TRAIN, 2 * seed)

    def held_out(self, seed: int) -> Split:
        """1,000 others."""
        return self._points(HELD_OUT, 2 * seed + 1)

    def features(self, train: Split) -> tuple[Feature, ...]:
        """The two coordinates."""
        return ranges(("x1", "x2"), train.inputs)

    def targets(self, train: Split) -> tuple[Feature, ...]:
        """None: they are classes."""
        return ()

    def _points(self, count: int, seed: int) -> Split:
        points, side = self.draw(count, np.random.RandomState(seed % 2**32))
        return Split(torch.from_numpy(points.astype(np.float32)), torch.from_numpy(side.astype(np.int64)))


def moons(count: int, random: np.random.RandomState) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two half circles that reach into each other; noise of standard deviation 0.3."""
    points, side = make_moons(count, noise=0.3, random_state=random)
    return np.asarray(points), np.asarray(side)


def spirals(count: int, random: np.random.RandomState) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two arms, wound once around each other; noise of standard deviation 0.35 (after Lang and Witbrock, 1988)."""
    side = np.arange(count) % 2
    turn = np.sqrt(random.uniform(0.02, 1, count)) * 2 * np.pi
    reach = turn / np.pi * (1 - 2 * side)
    points = np.stack([reach * np.cos(turn), reach * np.sin(turn)], axis=1)
    return points + random.normal(0, 0.35, points.shape), side


DATASETS: dict[str, Callable[[], Plane]] = {
    "moons": partial(Plane, "moons", "two moons, by scikit-learn's make_moons", ("upper", "lower"), moons),
    "spirals": partial(
        Plane, "spirals", "two spirals, by training/datasets/synthetic.py", ("first", "second"), spirals
    ),
}
