"""All batches over several processes, with few of them in memory at a time."""

import contextlib
import functools
import os
import platform
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple

from digitalis.scoring.batch import Batch, InputError
from digitalis.scoring.parts import Parts
from digitalis.scoring.scorer import Scorer

WAITING = 2  # batches that are in memory for each process


class Counts(NamedTuple):
    """Rows that were predicted, and rows that were rejected."""

    predicted: int
    rejected: int


Report = Callable[[Counts], None]


class Work(NamedTuple):
    """What is to be predicted: all batches, as often as `read` is called, but those whose part is `done`."""

    read: Callable[[], Iterable[Batch]]
    bundle: Path
    digest: str
    parts: Parts
    done: set[int]
    keep: tuple[str, ...] = ()

    def left(self) -> Iterator[tuple[int, Batch]]:
        """The batches that have no part yet, with their index."""
        return ((index, batch) for index, batch in enumerate(self.read()) if index not in self.done)

    def score(self, index: int, batch: Batch) -> Counts:
        """Predict a batch, and write its part; raises `InputError` where there is another bundle than at the start."""
        scorer = _scorer(self.bundle)
        if scorer.model.digest != self.digest:
            where = f"on {platform.node()}, {self.bundle.absolute()}"
            raise InputError(f"{where} has the digest {scorer.model.digest}, and this run is of {self.digest}")
        scored = scorer.score(batch, self.keep)
        self.parts.write(index, scored)
        return Counts(scored.predictions.num_rows, scored.rejected.num_rows)


def run(work: Work, processes: int, report: Report) -> Counts:
    """Predict all that is left over processes of this machine; `report` is called after each batch."""
    total = Counts(0, 0)
    waiting: deque[Future[Counts]] = deque()

    def finish() -> None:
        nonlocal total
        counts = waiting.popleft().result()
        total = Counts(total.predicted + counts.predicted, total.rejected + counts.rejected)
        report(total)

    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_end_with_the_command) as pool:
        try:
            for index, batch in work.left():
                while len(waiting) >= WAITING * processes:
                    finish()
                with handling(signal.SIGINT, signal.SIG_IGN):  # a process that starts here ignores Ctrl-C from then on
                    waiting.append(pool.submit(work.score, index, batch))
            while waiting:
                finish()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)  # the parts that are being written are finished
            raise
    return total


def _end_with_the_command() -> None:
    """In a process of the pool: end with the command, even if that was killed, and not by signals to all of them."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)

    def wait() -> None:
        if command := parent_process():
            command.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def handling(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Handle a signal in another way meanwhile; on other threads than the main one, which may not, as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@functools.cache
def _scorer(bundle: Path) -> Scorer:
    """Opened once in each process."""
    return Scorer(bundle)
