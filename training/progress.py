"""Progress of a training run: a progress bar with loss and accuracy on a terminal, plain lines elsewhere."""

import math
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self, TypeVar

import rich.progress
from rich.console import Console

from training.learning.curve import CurvePoint
from training.recipes.recipe import FixedWeights, Recipe

T = TypeVar("T")
MAX_LINES = 30  # printed of one learning curve


class Progress:
    """The progress of one network after another; a context manager, in which the progress bar is shown."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[figures]}"),
            rich.progress.TimeRemainingColumn(),
        )
        self._bar = rich.progress.Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("reading the data", total=None, figures="")
        self._title, self._verbose, self._epochs, self._printed_epoch = "", False, 0, 0.0

    @classmethod
    def silent(cls) -> Self:
        """Progress that is not shown."""
        return cls(Console(quiet=True))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def track(self, description: str, items: Collection[T]) -> Iterator[T]:
        """Iterate over items that are prepared before training, and advance the bar."""
        self._bar.reset(self._task, description=description, total=len(items), figures="")
        for item in items:
            yield item
            self._bar.advance(self._task)

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False)

    def advance_to(self, description: str, done: int, total: int, figures: str) -> None:
        """Show how much of something is done that is not counted in epochs."""
        self._bar.update(self._task, description=description, completed=done, total=total, figures=figures)

    def start_network(self, recipe: Recipe, seed: int, *, verbose: bool = True) -> None:
        """The training of a network starts; `verbose`: its learning curve is printed, not only the final metric."""
        self._title = f"{recipe.name} seed {seed}"
        self._verbose = verbose
        self._epochs = 0 if isinstance(recipe.training, FixedWeights) else recipe.training.epochs
        self._printed_epoch = 0.0
        self._bar.reset(self._task, description=self._title, total=self._epochs, figures="")

    def update(self, point: CurvePoint) -> None:
        """The training reached the next point of the learning curve."""
        accuracy = "" if point.accuracy is None else f"  accuracy {point.accuracy:.4f}"
        figures = f"loss {point.loss:.4f}{accuracy}"
        self._bar.update(self._task, completed=math.floor(point.epoch), figures=figures)
        is_due = point.epoch - self._printed_epoch >= self._epochs / MAX_LINES or point.epoch == self._epochs
        if self._verbose and is_due:
            self._printed_epoch = point.epoch
            title = f"{self._title} epoch {point.epoch:g}/{self._epochs}"
            self._console.print(f"{title}  {figures}  {point.seconds:.1f} s")

    def left_out(self, variant: str, reason: str) -> None:
        """A variant of a comparison is not trained."""
        self._console.print(f"{variant} is left out: {reason}", markup=False)

    def evaluated(self, metric: str, value: float) -> None:
        """The trained network was evaluated; `metric` says on which rows too."""
        self._console.print(f"{self._title}: {metric} {value:.4f}")
