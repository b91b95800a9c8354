"""All batches over several processes, with few of them in memory at a time."""

import functools
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from digitalis.scoring.inputs import Batch
from digitalis.scoring.parts import Parts
from digitalis.scoring.scorer import Scorer

WAITING = 2  # batches that are in memory for each process


class Counts(NamedTuple):
    """Rows that were predicted, and rows that were rejected."""

    predicted: int
    rejected: int


Report = Callable[[Counts], None]


def run(batches: Iterable[Batch], bundle: Path, parts: Parts, done: set[int], processes: int, report: Report) -> Counts:
    """Predict every batch whose part is not done yet; `report` is called after each of the others."""
    total = Counts(0, 0)
    waiting: deque[Future[Counts]] = deque()

    def finish() -> None:
        nonlocal total
        counts = waiting.popleft().result()
        total = Counts(total.predicted + counts.predicted, total.rejected + counts.rejected)
        report(total)

    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        try:
            for index, batch in enumerate(batches):
                if index in done:
                    continue
                while len(waiting) >= WAITING * processes:
                    finish()
                waiting.append(pool.submit(_score, bundle, parts, index, batch))
            while waiting:
                finish()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)  # the parts that are being written are finished
            raise
    return total


def _score(bundle: Path, parts: Parts, index: int, batch: Batch) -> Counts:
    """In one of the processes."""
    scored = _scorer(bundle).score(batch)
    parts.write(index, scored)
    return Counts(scored.predictions.num_rows, scored.rejected.num_rows)


@functools.cache
def _scorer(bundle: Path) -> Scorer:
    """Opened once in each process."""
    return Scorer(bundle)
