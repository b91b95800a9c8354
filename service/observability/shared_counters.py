"""The memory: a block for each worker, in it a part for each model, after the process's own number."""

import mmap
import os
import threading
from collections.abc import Iterable, Mapping

import numpy as np

from service.bundle.manifest import Counted
from service.observability.counter_layout import STATUSES, Layout
from service.observability.prediction_stats import Contents

NUMBER = 8  # bytes
HEADER = 2 + len(STATUSES)  # of a block: the worker's process id, requests in flight, and answers of no model

Title = tuple[str, str]  # a model's name and version


class Telemetry:
    """The counters of some models, by name and version, of all workers."""

    def __init__(self, counted: Mapping[Title, Counted], workers: int = 1) -> None:
        self.counted = dict(counted)
        self.layouts = {title: Layout(of_it) for title, of_it in self.counted.items()}
        self._starts: dict[Title, int] = {}
        end = HEADER
        for title, layout in self.layouts.items():
            self._starts[title], end = end, end + layout.size
        self._block = end
        self.workers = workers
        memory = mmap.mmap(-1, workers * self._block * NUMBER)
        self.numbers = memoryview(memory).cast("q")
        self.array = np.frombuffer(memory, np.int64)  # the same, for many at once

    def has(self, titles: Iterable[Title]) -> bool:
        """Whether there are counters for all of these models."""
        return self.counted.keys() >= set(titles)

    def recorder(self, worker: int = 0) -> "Recorder":
        """The one that writes into this worker's block; nothing of the one before it is in flight any more."""
        return Recorder(self, worker % self.workers)

    def header(self, worker: int) -> int:
        """Where a worker's block begins."""
        return worker * self._block

    def part(self, title: Title, worker: int) -> int:
        """Where a model's part of a worker's block begins."""
        return worker * self._block + self._starts[title]

    def total(self, title: Title) -> list[int]:
        """A model's numbers, of all workers together. Read while requests are counted, one may be in some of them only.

        The time of the last answer is not a sum: see `last_ms`.
        """
        size = self.layouts[title].size
        starts = (self.part(title, worker) for worker in range(self.workers))
        return [sum(column) for column in zip(*(self.numbers[at : at + size] for at in starts), strict=True)]

    def last_ms(self, title: Title) -> int:
        """When the model answered last: Unix time in milliseconds, 0 for never."""
        at = self.layouts[title].last_ms
        return max(self.numbers[self.part(title, worker) + at] for worker in range(self.workers))

    def processes(self) -> list[tuple[int, int, int]]:
        """Block, process id and requests in flight of each worker that is there."""
        starts = [(worker, self.header(worker)) for worker in range(self.workers)]
        return [(worker, self.numbers[at], self.numbers[at + 1]) for worker, at in starts if self.numbers[at]]

    def others(self) -> list[int]:
        """Answers that were of no model, by their status."""
        starts = (self.header(worker) + 2 for worker in range(self.workers))
        return [sum(column) for column in zip(*(self.numbers[at : at + len(STATUSES)] for at in starts), strict=True)]


class Recorder:
    """One worker's hand on the counters."""

    def __init__(self, telemetry: Telemetry, worker: int) -> None:
        self.telemetry = telemetry
        self.numbers, self.contents = telemetry.numbers, Contents(telemetry.array)
        self.lock = threading.Lock()
        self.header = telemetry.header(worker)
        self.numbers[self.header], self.numbers[self.header + 1] = os.getpid(), 0
        self.places = {
            title: Layout(counted, telemetry.part(title, worker)) for title, counted in telemetry.counted.items()
        }

    def flush(self) -> None:
        """Count what is kept."""
        with self.lock:
            self.contents.count()
