"""Counters in memory that all worker processes share: a header for each worker, and a part for each version.

A header has the process id, the requests in flight, and the requests for no model, by status. A part has the counters
of its version for each worker.
"""

import logging
import mmap
import os
import threading
import time
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from service.observability.counter_layout import STATUSES, CounterLayout, MetricsSchema
from service.observability.prediction_stats import PendingPredictions
from service.shared_state import CounterPart, SharedState, State, memory_file

ITEM_BYTES = 8
MIN_BYTES, BLOCK_BYTES = 16 * 2**20, 4 * 2**20  # of the memory, for each block; what is not used takes no memory
REUSED_AFTER = 600.0  # seconds for which no worker has had a version open: requests in flight are counted meanwhile
IN_FLIGHT = 1  # offset in the header; the process id is at 0
UNATTRIBUTED = 2
HEADER = UNATTRIBUTED + len(STATUSES)

log = logging.getLogger(__name__)


class CounterPlace(NamedTuple):
    """The counters of one version: what is counted, the offset of each for one worker, and where its part begins."""

    schema: MetricsSchema
    layout: CounterLayout
    start: int


class SharedCounters:
    """Counters of each version, one of each for every block of a worker; created before the fork.

    Where the counters of a version are is in the shared state, and `counted` has those that this worker knows. Versions
    come and go: the counters of one that no worker has had open for some minutes are given to another.
    """

    def __init__(self, blocks: int = 1, state: SharedState | None = None) -> None:
        self.state = state or SharedState()
        self.blocks = blocks
        self.counted: dict[str, CounterPlace] = {}  # by the key of a model
        file, size = memory_file(), MIN_BYTES + blocks * BLOCK_BYTES
        os.truncate(file, size)
        memory = mmap.mmap(file, size)
        os.close(file)
        self.cells = memoryview(memory).cast("q")
        self.cell_array = np.frombuffer(memory, np.int64)  # the same memory, for operations on many counters

    @classmethod
    def of(cls, schemas: Mapping[str, MetricsSchema]) -> "SharedCounters":
        """Counters of one process, for models by their keys."""
        counters = cls()
        with counters.state.change() as state:
            counters.set_models(state, schemas, set())
        return counters

    def set_models(self, state: State, models: Mapping[str, MetricsSchema], in_use: Collection[str]) -> None:
        """Count these models, by their keys; `in_use` are the keys of all workers."""
        now = time.monotonic()
        for key, part in state.counters.items():
            if key in in_use or key in models:
                part.unused_since = None
            elif part.unused_since is None:
                part.unused_since = now
        counted = {}
        for key, schema in models.items():
            layout = CounterLayout(schema)
            if key not in state.counters and (new := self._new_part(state, layout.size * self.blocks, now)):
                state.counters[key] = new
            if key in state.counters:
                counted[key] = CounterPlace(schema, layout, state.counters[key].start)
        self.counted = counted

    def _new_part(self, state: State, size: int, now: float) -> CounterPart | None:
        """One that nobody uses any more, if it is as large; otherwise the next cells. None if there is no room."""
        for key, part in state.counters.items():
            if part.size == size and part.unused_since is not None and now - part.unused_since > REUSED_AFTER:
                del state.counters[key]
                self.cell_array[part.start : part.start + size] = 0
                return CounterPart(part.start, size)
        start = state.counters_end or self.blocks * HEADER
        if start + size > len(self.cells):
            log.error("a version is not counted: there is no room for more counters until the service is restarted")
            return None
        state.counters_end = start + size
        return CounterPart(start, size)

    def worker(self, block: int = 0) -> "WorkerCounters":
        """Write access to one block. Resets the requests in flight, which were of the block's previous process."""
        return WorkerCounters(self, block)

    def find(self, key: str) -> CounterPlace:
        """Where the counters of a model are; one that is not counted has none."""
        return self.counted.get(key, NOT_COUNTED)

    def total(self, counted: CounterPlace) -> list[int]:
        """The counters of a version, summed over all workers; those of one that is not counted are 0.

        While requests are being counted, the latest may be in some of the counters only. The time of the last inference
        is no sum: see `last_inference_ms`.
        """
        _, layout, start = counted
        if not start:
            return [0] * layout.size
        cells = self.cell_array[start : start + self.blocks * layout.size]
        summed: list[int] = cells.reshape(self.blocks, layout.size).sum(axis=0).tolist()
        return summed

    def last_inference_ms(self, counted: CounterPlace) -> int:
        """When the model last predicted: Unix time in milliseconds, 0 for never."""
        _, layout, start = counted
        if not start:
            return 0
        return max(self.cells[start + block * layout.size + layout.last_ms] for block in range(self.blocks))

    def processes(self) -> list[tuple[int, int, int]]:
        """Block, process id and requests in flight of each worker that has started."""
        starts = [(block, block * HEADER) for block in range(self.blocks)]
        return [(block, self.cells[at], self.cells[at + IN_FLIGHT]) for block, at in starts if self.cells[at]]

    def unattributed(self) -> list[int]:
        """Requests that concerned no model, for each of `STATUSES`."""
        starts = (block * HEADER + UNATTRIBUTED for block in range(self.blocks))
        return [sum(column) for column in zip(*(self.cells[at : at + len(STATUSES)] for at in starts), strict=True)]


NOT_COUNTED = CounterPlace(MetricsSchema(), CounterLayout(MetricsSchema()), 0)


class WorkerCounters:
    """Write access to one worker's block; `lock` must be held for each change. Its layouts are of the whole memory."""

    def __init__(self, shared: SharedCounters, block: int) -> None:
        self.shared = shared
        self.cells = shared.cells
        self.pending = PendingPredictions(shared.cell_array)
        self.lock = threading.Lock()
        self._block = block
        self.header_offset = block * HEADER
        self.cells[self.header_offset], self.cells[self.header_offset + IN_FLIGHT] = os.getpid(), 0
        self.absolute_layouts: dict[str, CounterLayout] = {}
        self._find_layouts()

    def set_models(self, state: State, models: Mapping[str, MetricsSchema], in_use: Collection[str]) -> None:
        """As `SharedCounters.set_models`; predictions of versions that are counted no longer are counted first."""
        self.flush()
        self.shared.set_models(state, models, in_use)
        self._find_layouts()

    def flush(self) -> None:
        """Count the predictions that are still pending."""
        with self.lock:
            self.pending.flush()

    def _find_layouts(self) -> None:
        before = self.absolute_layouts
        found = {}
        for key, (schema, layout, start) in self.shared.counted.items():
            at = start + self._block * layout.size
            is_same = key in before and before[key].requests == at
            found[key] = before[key] if is_same else CounterLayout(schema, at)
        self.absolute_layouts = found


_assigned: tuple[SharedCounters, int] | None = None


def assign_block(shared: SharedCounters, block: int) -> None:
    """Called in a worker process after the fork: the block that this process is to write to."""
    global _assigned  # noqa: PLW0603 - it is of the process, as the fork is
    _assigned = shared, block


def worker_counters() -> WorkerCounters:
    """The block that this process was assigned; without one, or if there are not so many, counters of its own."""
    if _assigned is None:
        return SharedCounters().worker()
    shared, block = _assigned
    if block < shared.blocks:
        return shared.worker(block)
    log.warning("More workers than at the start: the metrics of this worker are its own")
    return SharedCounters(shared.blocks, shared.state).worker()
