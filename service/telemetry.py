"""What was answered, and how long it took: counters that all worker processes share.

They lie in memory that the parent process maps before it forks, a block for each worker. A worker writes into its own
block alone, so nothing is locked between processes, and what a killed worker has counted is still there.
"""

import mmap
import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import msgspec

from service.signature import Arrays

FIELDS = ("successes", "success_ns", "failures", "failure_ns", "rows", "decode_ns", "infer_ns", "encode_ns", "last_ms")
SUMMED = len(FIELDS) - 1  # all but the last, which is a time of day
NUMBER = 8  # bytes

Title = tuple[str, str]  # a model's name and version


class Totals(msgspec.Struct):
    """Of one model, all workers together: requests, nanoseconds, rows; `last_ms` is Unix time, 0 for never.

    Read while requests are counted, one may be in some of them, and not yet in others.
    """

    successes: int
    success_ns: int
    failures: int
    failure_ns: int
    rows: int
    decode_ns: int
    infer_ns: int
    encode_ns: int
    last_ms: int


class Telemetry:
    """The counters of some models, of all workers."""

    def __init__(self, titles: Iterable[Title], workers: int = 1) -> None:
        self._places = {title: place for place, title in enumerate(titles)}
        self._block = len(self._places) * len(FIELDS)
        self._blocks = workers
        self._numbers = memoryview(mmap.mmap(-1, max(1, workers * self._block) * NUMBER)).cast("q")

    def has(self, titles: Iterable[Title]) -> bool:
        """Whether there are counters for all of these models."""
        return self._places.keys() >= set(titles)

    def recorder(self, worker: int = 0) -> "Recorder":
        """The one that writes into this worker's block."""
        return Recorder(self, worker % self._blocks)

    def counters(self, title: Title, worker: int) -> memoryview:
        """The counters of one model in one block; raises `KeyError` for a model that was not there at the start."""
        start = worker * self._block + self._places[title] * len(FIELDS)
        return self._numbers[start : start + len(FIELDS)]

    def totals(self, title: Title) -> Totals:
        """What all workers have counted."""
        found = [self.counters(title, worker).tolist() for worker in range(self._blocks)]
        *sums, last = zip(*found, strict=True)
        return Totals(*[*map(sum, sums), max(last)])


class Recorder:
    """One worker's hand on the counters."""

    def __init__(self, telemetry: Telemetry, worker: int) -> None:
        self.telemetry = telemetry
        self._worker = worker
        self._lock = threading.Lock()

    def watch(self, title: Title) -> "Watch":
        """A context in which one request is answered."""
        return Watch(self, title)

    def add(self, title: Title, amounts: Sequence[int]) -> None:
        """Count one request: an amount for each of `FIELDS`."""
        counters = self.telemetry.counters(title, self._worker)
        with self._lock:
            for i in range(SUMMED):
                counters[i] += amounts[i]
            counters[SUMMED] = max(counters[SUMMED], amounts[SUMMED])


class Watch:
    """One request to one model, from its first byte to its answer: it is told where decoding and inference end."""

    def __init__(self, recorder: Recorder, title: Title) -> None:
        self._recorder = recorder
        self._title = title
        self._rows = 0

    def __enter__(self) -> Self:
        self._started = self._decoded = self._predicted = time.perf_counter_ns()
        return self

    def decoded(self) -> None:
        """The arrays are there."""
        self._decoded = time.perf_counter_ns()

    def predicted(self, outputs: Arrays) -> None:
        """The network has answered."""
        self._predicted, self._rows = time.perf_counter_ns(), len(next(iter(outputs.values())))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ended = time.perf_counter_ns()
        whole = ended - self._started
        if error is not None:
            self._recorder.add(self._title, (0, 0, 1, whole, 0, 0, 0, 0, 0))
            return
        parts = self._decoded - self._started, self._predicted - self._decoded, ended - self._predicted
        self._recorder.add(self._title, (1, whole, 0, 0, self._rows, *parts, time.time_ns() // 1_000_000))
