"""What a recipe must say."""

import itertools
from typing import Literal

import msgspec


class SGD(msgspec.Struct, frozen=True, tag_field="name", tag="sgd"):
    """Stochastic gradient descent: each parameter moves by -rate times its gradient."""

    rate: float


class Bar(msgspec.Struct, frozen=True):
    """The held-out accuracy (0 to 1) that a network must reach, as the mean over seeds 0, 1, ... `seeds` - 1.

    With one seed it is the accuracy of the run itself.
    """

    accuracy: float
    seeds: int = 1


class Lecture(msgspec.Struct, frozen=True):
    """What the lecture printed, and where: a figure to set beside ours, never one to pick a seed by."""

    source: str
    accuracy: float
    printed: str


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How one bundle is made. A value: it is written into the bundle in full, and read back from it."""

    name: str
    summary: str
    dataset: Literal["mnist", "iris"]
    layers: tuple[int, ...]
    """Units of every layer, from the inputs to the classes."""
    activation: Literal["relu"] = "relu"
    loss: Literal["cross-entropy"] = "cross-entropy"
    optimiser: SGD
    batch: int
    epochs: int
    seed: int = 0
    bar: Bar
    lecture: Lecture

    @property
    def parameters(self) -> int:
        """Trainable numbers: the weights and biases of every linear layer."""
        return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(self.layers))
