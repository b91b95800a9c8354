"""Labels, confidences and drift of predictions, counted for many requests at once.

Counting them request by request took longer than all other metrics, and it runs with cold CPU caches after a large
inference. So predictions are kept until there are many, or for about a second: the worker calls `WorkerCounters.flush`
once a second (other servers do not, and count at the next request). A killed worker loses these, and no other counts.
"""

import numpy as np
from numpy.typing import NDArray

from service.bundle.baseline import DIGIT_FEATURES
from service.bundle.signature import Arrays
from service.observability.counter_layout import CONFIDENCE_BOUNDS, CONFIDENCE_UNIT, CounterLayout
from service.observability.drift import bin_counts, monitored_values, subsample, top1

MAX_PENDING_REQUESTS, MAX_PENDING_ROWS = 64, 4096  # other requests wait while these are counted
MAX_AGE_NS = 1_000_000_000

CONFIDENCE_EDGES = np.array(CONFIDENCE_BOUNDS, np.float32)


class PendingPredictions:
    """Inputs and outputs of a worker's successful requests that are not counted yet. The caller holds the lock."""

    def __init__(self, cells: NDArray[np.int64]) -> None:
        self._cells = cells
        # Of each request: a sample of the inputs and of the outputs, and all outputs.
        self._pending: dict[CounterLayout, list[tuple[Arrays, Arrays, Arrays]]] = {}
        self._requests = self._rows = self._since = 0

    def add(self, layout: CounterLayout, inputs: Arrays, outputs: Arrays, rows: int, now: int) -> None:
        """Keep one request's, at this time in nanoseconds; flush if enough are pending."""
        if not layout.baseline and layout.labels == layout.labels_end:
            return  # a network of tensors: nothing of it is counted, and its inputs may be large
        if not self._pending:
            self._since = now
        samples = subsample(inputs, outputs) if layout.baseline else ({}, {})
        self._pending.setdefault(layout, []).append((*samples, outputs))
        self._requests += 1
        self._rows += rows
        if self._requests >= MAX_PENDING_REQUESTS or self._rows >= MAX_PENDING_ROWS or now - self._since > MAX_AGE_NS:
            self.flush()

    def flush(self) -> None:
        """Count all that are pending."""
        pending, self._pending, self._requests, self._rows = self._pending, {}, 0, 0
        for layout, requests in pending.items():
            if layout.labels < layout.labels_end:
                self._count_labels(layout, np.concatenate([outputs["probabilities"] for _, _, outputs in requests]))
            if not layout.baseline:
                continue
            sampled_inputs, sampled_outputs = (
                {name: np.concatenate([request[side][name] for request in requests]) for name in requests[0][side]}
                for side in (0, 1)
            )
            digits = layout.baseline[0].name in DIGIT_FEATURES
            values = monitored_values(sampled_inputs, sampled_outputs, digits=digits)
            for start, counts in zip(layout.drift_bins, bin_counts(layout.baseline, values), strict=True):
                self._add(start, counts)

    def _count_labels(self, layout: CounterLayout, probabilities: NDArray[np.float32]) -> None:
        labels, confidences = top1(probabilities)
        self._add(layout.labels, np.bincount(labels))
        self._add(layout.confidences, np.bincount(CONFIDENCE_EDGES.searchsorted(confidences)))
        total = round(float(confidences.sum(dtype=np.float64)) * CONFIDENCE_UNIT)
        self._cells[layout.confidences + len(CONFIDENCE_BOUNDS) + 1] += total

    def _add(self, start: int, counts: NDArray[np.int64]) -> None:
        self._cells[start : start + len(counts)] += counts
