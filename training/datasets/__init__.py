"""The data sets: training data at once, held-out data only when it is asked for.

Inputs are as a client sends them (pixels 0..255, centimetres); whatever scales them is in the network.

    mnist      handwritten digits, downloaded by torchvision
    bundled    tables that come with scikit-learn: irises, tumours, wines, diabetes, exercises
    tables     a few rows, written down as the lectures write them
    made       points in the plane, drawn by a seed, with noise
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from service.bundle.manifest import Feature
from training.errors import BadRecipe


@dataclass(frozen=True)
class Split:
    """Inputs (UINT8 [n, 28, 28] or FP32 [n, features]), and the class (INT64 [n]) or values (FP32 [n, k]) of each."""

    inputs: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "Split":
        """The same on another device."""
        return Split(self.inputs.to(device), self.targets.to(device))


class Dataset(Protocol):
    """Labelled data, where there is enough of it in two parts that never meet."""

    @property
    def name(self) -> str:
        """As recipes call it."""

    @property
    def source(self) -> str:
        """Who made it, and how it came here."""

    @property
    def licence(self) -> str:
        """Under which terms."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, by their index; none for a regression."""

    def train(self, seed: int) -> Split:
        """What the network learns from."""

    def held_out(self, seed: int) -> Split | None:
        """What it is judged on, opened only when this is called; None where all there is was learned from."""

    def features(self, train: Split) -> tuple[Feature, ...]:
        """The columns with their range in the training data; none for images."""

    def targets(self, train: Split) -> tuple[Feature, ...]:
        """The values that a regression foretells, with their range in the training data; none for classes."""


def checksum(*splits: Split) -> str:
    """SHA-256 of the inputs and the targets of each."""
    hashed = hashlib.sha256()
    for split in splits:
        hashed.update(split.inputs.numpy().tobytes())
        hashed.update(split.targets.numpy().tobytes())
    return "sha256:" + hashed.hexdigest()


def ranges(names: tuple[str, ...], columns: Tensor) -> tuple[Feature, ...]:
    """Each column [n, columns] by its name, with its range."""
    low, high = columns.amin(dim=0).tolist(), columns.amax(dim=0).tolist()
    return tuple(Feature(name, round(a, 6), round(b, 6)) for name, a, b in zip(names, low, high, strict=True))


def open_dataset(name: str, data_dir: Path) -> Dataset:
    """The data set of this name. MNIST lies in `data_dir`, or is downloaded to it; the others need no folder.

    Raises `BadRecipe` for a name that is none.
    """
    from training.datasets import mnist, sklearn_tables, synthetic, toy

    if name == "mnist":
        return mnist.Mnist(data_dir)
    openers: dict[str, Callable[[], Dataset]] = {**sklearn_tables.DATASETS, **toy.DATASETS, **synthetic.DATASETS}
    if name not in openers:
        raise BadRecipe(f"no data set {name!r}: there are mnist, {', '.join(openers)}")
    return openers[name]()
