"""Tables of a few rows. All of them are training data: there are too few to hold any out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from service.bundle.manifest import Column
from training.datasets.dataset import Split, columns_with_ranges


@dataclass(frozen=True)
class UnsplitTable:
    """`inputs` FP32 [n, features]; `targets` classes INT64 [n] or values FP32 [n, values]. The seed has no effect."""

    name: str
    source: str
    feature_names: tuple[str, ...]
    inputs: Tensor
    targets: Tensor
    labels: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    licence: str = "facts: free to use"

    def train(self, seed: int) -> Split:
        """All rows."""
        return Split(self.inputs, self.targets)

    def held_out(self, seed: int) -> None:
        """None: no rows are held out."""
        return

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        """The features with their ranges."""
        return columns_with_ranges(self.feature_names, train.inputs)

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        """The predicted values with their ranges; empty for classes."""
        return columns_with_ranges(self.target_names, train.targets) if self.target_names else ()


TRUTH_TABLE_INPUTS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float32)


def truth_table(name: str, outputs: tuple[int, int, int, int]) -> UnsplitTable:
    """A logic gate of two inputs, by its outputs for (0, 0), (0, 1), (1, 0), (1, 1)."""
    source = f"the truth table of {name.upper()}"
    return UnsplitTable(name, source, ("x1", "x2"), TRUTH_TABLE_INPUTS, torch.tensor(outputs), ("0", "1"))


def points_on_a_line() -> UnsplitTable:
    """Three points with y = x (AILAB)."""
    x = torch.tensor([[1.0], [2.0], [3.0]])
    source = "the lecture's three points (1, 1), (2, 2), (3, 3)"
    return UnsplitTable("points", source, ("x",), x, x.clone(), target_names=("y",))


def study_hours(name: str, labels: tuple[str, ...], rows: int) -> UnsplitTable:
    """0.5, 1, 1.5, ... hours of study and a class, the next one after every two rows (AI VIET NAM)."""
    hours = torch.arange(1, rows + 1, dtype=torch.float32).unsqueeze(1) / 2
    return UnsplitTable(name, "the lecture's hours of study", ("hours",), hours, torch.arange(rows) // 2, labels)


DATASETS: dict[str, Callable[[], UnsplitTable]] = {
    "points": points_on_a_line,
    "and": partial(truth_table, "and", (0, 0, 0, 1)),
    "or": partial(truth_table, "or", (0, 1, 1, 1)),
    "xor": partial(truth_table, "xor", (0, 1, 1, 0)),
    "hours-score": partial(study_hours, "hours-score", ("0", "1", "2", "3"), 8),
    "hours-pass": partial(study_hours, "hours-pass", ("fail", "pass"), 4),
}
