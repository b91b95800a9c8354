"""A few rows with names: all that there is to learn, so none are held out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from service.bundle.manifest import Feature
from training.datasets import Split, ranges


@dataclass(frozen=True)
class Table:
    """Rows of numbers, and the class (INT64 [n]) or the values (FP32 [n, k]) of each. The seed changes nothing."""

    name: str
    source: str
    columns: tuple[str, ...]
    inputs: Tensor
    answers: Tensor
    labels: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    licence: str = "facts: free to use"

    def train(self, seed: int) -> Split:
        """Every row."""
        return Split(self.inputs, self.answers)

    def held_out(self, seed: int) -> None:
        """No row."""
        return

    def features(self, train: Split) -> tuple[Feature, ...]:
        """The columns."""
        return ranges(self.columns, train.inputs)

    def targets(self, train: Split) -> tuple[Feature, ...]:
        """The values to be foretold."""
        return ranges(self.values, train.targets) if self.values else ()


CORNERS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float32)


def gate(name: str, answers: tuple[int, int, int, int]) -> Table:
    """A truth table of two inputs."""
    return Table(name, f"the truth table of {name.upper()}", ("x1", "x2"), CORNERS, torch.tensor(answers), ("0", "1"))


def points_on_a_line() -> Table:
    """Three points with y = x (AILAB)."""
    x = torch.tensor([[1.0], [2.0], [3.0]])
    return Table("points", "the lecture's three points (1, 1), (2, 2), (3, 3)", ("x",), x, x.clone(), values=("y",))


def hours(name: str, labels: tuple[str, ...], rows: int) -> Table:
    """Hours of study, every half an hour, and the score or the outcome: a class for each two (AI VIET NAM)."""
    studied = torch.arange(1, rows + 1, dtype=torch.float32).unsqueeze(1) / 2
    return Table(name, "the lecture's hours of study", ("hours",), studied, torch.arange(rows) // 2, labels)


DATASETS: dict[str, Callable[[], Table]] = {
    "points": points_on_a_line,
    "and": partial(gate, "and", (0, 0, 0, 1)),
    "or": partial(gate, "or", (0, 1, 1, 1)),
    "xor": partial(gate, "xor", (0, 1, 1, 0)),
    "hours-score": partial(hours, "hours-score", ("0", "1", "2", "3"), 8),
    "hours-pass": partial(hours, "hours-pass", ("fail", "pass"), 4),
}
