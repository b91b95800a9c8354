"""What every data set provides, and the checksum of its rows."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from service.bundle.manifest import Column


@dataclass(frozen=True)
class Split:
    """Labelled rows: `inputs` UINT8 [n, 28, 28] or FP32 [n, features]; `targets` classes INT64 [n] or FP32 [n, values].

    Images with normaliser artifacts have a second version of each: UINT8 [n, 2, 28, 28]. `validation` are rows beside
    training rows, which early stopping watches. `lines` are those of a table's file, counted from 1.
    """

    inputs: Tensor
    targets: Tensor
    validation: "Split | None" = None
    lines: tuple[int, ...] = ()

    def to(self, device: torch.device) -> "Split":
        """The same rows on another device."""
        validation = self.validation.to(device) if self.validation else None
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device), validation=validation)


class Dataset(Protocol):
    """Labelled data; if there is enough of it, in two parts without a common row."""

    @property
    def name(self) -> str:
        """The name that recipes use."""

    @property
    def source(self) -> str:
        """Author, title, and where it was loaded from."""

    @property
    def licence(self) -> str:
        """The licence of the data."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the order of their indices; empty for a regression."""

    def train(self, seed: int) -> Split:
        """The training data, split from the held-out data by the seed."""

    def held_out(self, seed: int) -> Split | None:
        """The held-out data, which is read only when this is called; None if all rows are training data."""

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        """The input features with their ranges in the training data; empty for images."""

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        """The predicted values of a regression with their ranges in the training data; empty for classes."""


def concatenate(splits: Sequence[Split]) -> Split:
    """The rows of all splits, in this order."""
    return Split(torch.cat([split.inputs for split in splits]), torch.cat([split.targets for split in splits]))


def checksum(*splits: Split) -> str:
    """SHA-256 of the inputs and the targets of these splits, in this order, as `sha256:<hexadecimal digits>`."""
    sha256 = hashlib.sha256()
    for split in splits:
        sha256.update(split.inputs.numpy().tobytes())
        sha256.update(split.targets.numpy().tobytes())
    return "sha256:" + sha256.hexdigest()


def columns_with_ranges(names: tuple[str, ...], rows: Tensor) -> tuple[Column, ...]:
    """A `Column` for each column of FP32 [n, columns], with its minimum and maximum."""
    low, high = rows.amin(dim=0).tolist(), rows.amax(dim=0).tolist()
    return tuple(Column(name, round(a, 6), round(b, 6)) for name, a, b in zip(names, low, high, strict=True))
