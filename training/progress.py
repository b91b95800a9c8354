"""What one sees while a network trains: a bar with loss and accuracy on a terminal, plain lines elsewhere."""

import math
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self, TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from training.recipes.recipe import ByHand, Recipe

T = TypeVar("T")
LINES = 30  # of one network's learning curve, at most


class Point(msgspec.Struct, frozen=True, array_like=True):
    """A point of the learning curve: the mini-batches since the last one, each as it was before its step.

    `epoch` passes over the data and `seconds` went by; `loss` is the mean, `accuracy` the share of rows that were
    classified as they should be (None for a regression).
    """

    epoch: float
    seconds: float
    loss: float
    accuracy: float | None


class Progress:
    """The training of one network after another, as it goes."""

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
        self._title, self._in_full, self._epochs, self._printed = "", False, 0, 0.0

    @classmethod
    def silent(cls) -> Self:
        """Training that nobody watches."""
        return cls(Console(quiet=True))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def counted(self, what: str, things: Collection[T]) -> Iterator[T]:
        """Each of some things that are made before a network trains."""
        self._bar.reset(self._task, description=what, total=len(things), figures="")
        for thing in things:
            yield thing
            self._bar.advance(self._task)

    def run(self, recipe: Recipe, seed: int, *, in_full: bool = True) -> None:
        """A network starts to train; its learning curve is printed in full, or only what it came to."""
        self._title = f"{recipe.name} seed {seed}"
        self._in_full = in_full
        self._epochs = 0 if isinstance(recipe.fit, ByHand) else recipe.fit.epochs
        self._printed = 0.0
        self._bar.reset(self._task, description=self._title, total=self._epochs, figures="")

    def learned(self, point: Point) -> None:
        """A point of the learning curve."""
        accuracy = "" if point.accuracy is None else f"  accuracy {point.accuracy:.4f}"
        figures = f"loss {point.loss:.4f}{accuracy}"
        self._bar.update(self._task, completed=math.floor(point.epoch), figures=figures)
        due = point.epoch - self._printed >= self._epochs / LINES or point.epoch == self._epochs
        if self._in_full and due:
            self._printed = point.epoch
            title = f"{self._title} epoch {point.epoch:g}/{self._epochs}"
            self._console.print(f"{title}  {figures}  {point.seconds:.1f} s")

    def judged(self, metric: str, value: float, rows: str) -> None:
        """A network met the rows that its bar is for: held out, for validation, or, where there are none, its own."""
        self._console.print(f"{self._title} {rows}: {metric} {value:.4f}")
