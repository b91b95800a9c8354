"""What one sees while a network trains: a bar with loss and accuracy on a terminal, plain lines elsewhere."""

import time
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch import Tensor
from torch.nn.functional import cross_entropy

from training.recipes.definition import Recipe

T = TypeVar("T")

TALLY_EVERY = 200  # steps; adding up at every one would cost a few percent of the training time


class Progress:
    """Loss and accuracy over the mini-batches of the epoch, as they were before each one's step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("reading the data", total=None, figures="")
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def run(self, recipe: Recipe, seed: int, seeds: Collection[int]) -> None:
        """A network starts to train: one of `seeds`, the first of which becomes the bundle."""
        self._recipe, self._seed, self._leading = recipe, seed, seed == next(iter(seeds))
        self._several = len(seeds) > 1

    def epoch(self, epoch: int, batches: Collection[T]) -> Iterator[T]:
        """Pass the mini-batches of one epoch through, and say how it went."""
        self._title = f"{self._recipe.name} seed {self._seed} epoch {epoch + 1}/{self._recipe.epochs}"
        self._steps = self._loss = self._right = self._rows = 0.0
        self._started = time.monotonic()
        self._bar.update(self._task, description=self._title, completed=0, total=len(batches), figures="")
        yield from batches
        self._tally()
        if self._leading:
            self._console.print(f"{self._title}  {self._figures()}  {time.monotonic() - self._started:.1f} s")

    def seen(self, logits: Tensor, targets: Tensor) -> None:
        """One mini-batch was learned from: its logits before the step, its one-hot targets."""
        self._logits.append(logits)
        self._targets.append(targets)
        if len(self._logits) == TALLY_EVERY:
            self._tally()

    def judged(self, accuracy: float, rows: int) -> None:
        """A network met its held-out data."""
        right = round(accuracy * rows)
        self._console.print(f"{self._recipe.name} seed {self._seed} held out: {accuracy:.4f} ({right} of {rows} right)")

    def _tally(self) -> None:
        if not self._logits:
            return
        logits, targets = torch.cat(self._logits), torch.cat(self._targets)
        self._steps += len(self._logits)
        self._loss += cross_entropy(logits, targets, reduction="sum").item()
        self._right += (logits.argmax(dim=1) == targets.argmax(dim=1)).sum().item()
        self._rows += len(targets)
        self._logits.clear()
        self._targets.clear()
        self._bar.update(self._task, completed=int(self._steps), figures=self._figures())

    def _figures(self) -> str:
        return f"loss {self._loss / self._rows:.4f}  accuracy {self._right / self._rows:.4f}"
