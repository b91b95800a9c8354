"""Counters in memory that all worker processes share: a block for each worker, in it a part for each model.

A block begins with a header: the process id, the requests in flight, and the requests for no model, by status.
"""

import logging
import mmap
import os
import threading
from collections.abc import Mapping

import numpy as np

from service.bundle.manifest import ModelId
from service.observability.counter_layout import STATUSES, CounterLayout, MetricsSchema
from service.observability.prediction_stats import PendingPredictions

ITEM_BYTES = 8
IN_FLIGHT = 1  # offset in the header; the process id is at 0
UNATTRIBUTED = 2
HEADER = UNATTRIBUTED + len(STATUSES)

log = logging.getLogger(__name__)


class SharedCounters:
    """The counters of some models, in a block for each worker; created before the fork, so that workers share them.

    `layouts` are relative to the model's part of a block.
    """

    def __init__(self, schemas: Mapping[ModelId, MetricsSchema], blocks: int = 1) -> None:
        self.schemas = dict(schemas)
        self.layouts = {model_id: CounterLayout(schema) for model_id, schema in self.schemas.items()}
        self._offsets: dict[ModelId, int] = {}
        end = HEADER
        for model_id, layout in self.layouts.items():
            self._offsets[model_id], end = end, end + layout.size
        self._block_size = end
        self.blocks = blocks
        memory = mmap.mmap(-1, blocks * self._block_size * ITEM_BYTES)
        self.cells = memoryview(memory).cast("q")
        self.cell_array = np.frombuffer(memory, np.int64)  # the same memory, for operations on many counters

    def cover(self, schemas: Mapping[ModelId, MetricsSchema]) -> bool:
        """Whether all of these models have counters. One whose bundle has been mended since has others."""
        return self.schemas.items() >= schemas.items()

    def worker(self, block: int = 0) -> "WorkerCounters":
        """Write access to one block. Resets the requests in flight, which were of the block's previous process."""
        return WorkerCounters(self, block)

    def block_offset(self, block: int) -> int:
        """Where a block begins."""
        return block * self._block_size

    def model_offset(self, model_id: ModelId, block: int) -> int:
        """Where a model's part of a block begins."""
        return block * self._block_size + self._offsets[model_id]

    def total(self, model_id: ModelId) -> list[int]:
        """A model's counters, summed over all workers.

        While requests are being counted, the latest may be in some of the counters only. The time of the last inference
        is no sum: see `last_inference_ms`.
        """
        size = self.layouts[model_id].size
        starts = (self.model_offset(model_id, block) for block in range(self.blocks))
        return [sum(column) for column in zip(*(self.cells[at : at + size] for at in starts), strict=True)]

    def last_inference_ms(self, model_id: ModelId) -> int:
        """When the model last predicted: Unix time in milliseconds, 0 for never."""
        offset = self.layouts[model_id].last_ms
        return max(self.cells[self.model_offset(model_id, block) + offset] for block in range(self.blocks))

    def processes(self) -> list[tuple[int, int, int]]:
        """Block, process id and requests in flight of each worker that has started."""
        starts = [(block, self.block_offset(block)) for block in range(self.blocks)]
        return [(block, self.cells[at], self.cells[at + IN_FLIGHT]) for block, at in starts if self.cells[at]]

    def unattributed(self) -> list[int]:
        """Requests that concerned no model, for each of `STATUSES`."""
        starts = (self.block_offset(block) + UNATTRIBUTED for block in range(self.blocks))
        return [sum(column) for column in zip(*(self.cells[at : at + len(STATUSES)] for at in starts), strict=True)]


class WorkerCounters:
    """Write access to one worker's block; `lock` must be held for each change. Its layouts are of the whole memory."""

    def __init__(self, shared: SharedCounters, block: int) -> None:
        self.shared = shared
        self.cells = shared.cells
        self.pending = PendingPredictions(shared.cell_array)
        self.lock = threading.Lock()
        self.header_offset = shared.block_offset(block)
        self.cells[self.header_offset], self.cells[self.header_offset + IN_FLIGHT] = os.getpid(), 0
        self.absolute_layouts = {
            model_id: CounterLayout(schema, shared.model_offset(model_id, block))
            for model_id, schema in shared.schemas.items()
        }

    def flush(self) -> None:
        """Count the predictions that are still pending."""
        with self.lock:
            self.pending.flush()


_assigned: tuple[SharedCounters, int] | None = None


def assign_block(shared: SharedCounters, block: int) -> None:
    """Called in a worker process after the fork: the block that this process is to write to."""
    global _assigned  # noqa: PLW0603 - it is of the process, as the fork is
    _assigned = shared, block


def worker_counters(schemas: Mapping[ModelId, MetricsSchema]) -> WorkerCounters:
    """The block that this process was assigned; without one, or if a model is missing from it, counters of its own."""
    if _assigned is None:
        return SharedCounters(schemas).worker()
    shared, block = _assigned
    if block < shared.blocks and shared.cover(schemas):
        return shared.worker(block)
    log.warning("More workers or other models than at the start: the metrics of this worker are its own")
    return SharedCounters(schemas).worker()
