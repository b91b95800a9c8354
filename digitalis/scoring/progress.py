"""How far a command is: a bar on a terminal, and lines now and then in the log of a job."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

NOTE_SECONDS = 30


class Notes:
    """Where no progress bar is seen, as in the log of a job: a line each half minute."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        """Print it, unless something was printed a short time ago, or there is a progress bar."""
        if not self._console.is_terminal and time.monotonic() - self._said > NOTE_SECONDS:
            self._said = time.monotonic()
            self._console.print(text, highlight=False)


def progress_bar(console: Console) -> Progress:
    """Rows, rate and the time left; nothing where no terminal is."""
    what: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    when: list[Any] = [TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn()]
    progress = Progress(*what, *when, console=console)
    progress.disable = not console.is_terminal
    return progress
