"""One request, from the call of the application to its response: durations, predictions, and how it ended."""

import time
from bisect import bisect_left

from service.bundle.manifest import ModelId
from service.bundle.signature import Arrays, batch_size
from service.observability.counter_layout import (
    DURATION_BOUNDS,
    PROTOCOLS,
    REASONS,
    ROWS_BOUNDS,
    STATUSES,
    CounterLayout,
)
from service.observability.shared_counters import IN_FLIGHT, UNATTRIBUTED, WorkerCounters

STATUS_OFFSETS = {status: offset for offset, status in enumerate(STATUSES)}
PROTOCOL_OFFSETS = {protocol: i * len(STATUSES) for i, protocol in enumerate(PROTOCOLS)}
REASON_OFFSETS = {reason: offset for offset, reason in enumerate(REASONS)}


class RequestTimer:
    """Views mark the end of each stage; `finish` counts the request, once."""

    __slots__ = ("_counters", "_inputs", "_outputs", "decoded_at", "durations_ns", "finished_at", "model_id",
                 "model_key", "predicted_at", "protocol", "read_at", "reason", "request_id", "rows",
                 "started_at")  # fmt: skip

    def __init__(self, counters: WorkerCounters, request_id: str) -> None:
        self.request_id = request_id
        self._counters = counters
        self.model_id: ModelId | None = None
        self.model_key = ""
        self.protocol = ""
        self._inputs: Arrays = {}
        self._outputs: Arrays = {}
        self.reason = ""
        self.rows = 0
        self.started_at = time.perf_counter_ns()
        self.durations_ns = (
            0,
            0,
            0,
            0,
        )  # of `STAGES`, once finished; zeros but the total without a prediction
        self.read_at = self.decoded_at = self.predicted_at = self.finished_at = 0
        with counters.lock:
            counters.cells[counters.header_offset + IN_FLIGHT] += 1

    def set_model(self, model_id: ModelId, key: str, protocol: str) -> None:
        """The request is for this model and content: success or failure is counted for it from here on."""
        self.model_id, self.model_key, self.protocol = model_id, key, protocol

    def mark_read(self) -> None:
        """The body has been read: decoding begins."""
        self.read_at = time.perf_counter_ns()

    def mark_decoded(self) -> None:
        """The inputs are arrays: inference begins."""
        self.decoded_at = time.perf_counter_ns()

    def mark_predicted(self, inputs: Arrays, outputs: Arrays) -> None:
        """Inference is done: encoding begins."""
        self.predicted_at, self._inputs, self._outputs = time.perf_counter_ns(), inputs, outputs
        self.rows = batch_size(outputs)

    def server_timing(self) -> str:
        """The value of the `Server-Timing` header, in milliseconds; without stages if nothing was predicted."""
        decode, infer, encode, total = self.durations_ns
        if not self.predicted_at:
            return f"total;dur={total / 1e6:.3f}"
        return (
            f"decode;dur={decode / 1e6:.3f}, infer;dur={infer / 1e6:.3f}, encode;dur={encode / 1e6:.3f}, "
            f"total;dur={total / 1e6:.3f}"
        )

    def finish(self, status: int) -> bool:
        """Count the request. False if it is finished already: a timeout and a late response may race."""
        end = time.perf_counter_ns()
        counters = self._counters
        with counters.lock:
            if self.finished_at:
                return False
            self.finished_at = end
            counters.cells[counters.header_offset + IN_FLIGHT] -= 1
            if self.predicted_at:
                decode, infer = self.decoded_at - self.read_at, self.predicted_at - self.decoded_at
                self.durations_ns = (decode, infer, end - self.predicted_at, end - self.started_at)
            else:
                self.durations_ns = (0, 0, 0, end - self.started_at)
            self._count(counters, status)
        return True

    def _count(self, counters: WorkerCounters, status: int) -> None:
        cells, layout = counters.cells, counters.absolute_layouts.get(self.model_key)
        if layout is None:
            cells[counters.header_offset + UNATTRIBUTED + _status_offset(status)] += 1
            return
        cells[layout.requests + PROTOCOL_OFFSETS[self.protocol] + _status_offset(status)] += 1
        if status == STATUSES[0] and self._outputs:
            self._count_success(cells, layout)
        else:
            cells[layout.failure_ns] += self.finished_at - self.started_at
            if self.reason in REASON_OFFSETS:
                cells[layout.rejections + REASON_OFFSETS[self.reason]] += 1

    def _count_success(self, cells: memoryview, layout: CounterLayout) -> None:
        cells[layout.last_ms] = time.time_ns() // 1_000_000
        for histogram, duration in zip(layout.stages, self.durations_ns, strict=True):
            cells[histogram + bisect_left(DURATION_BOUNDS, duration)] += 1
            cells[histogram + len(DURATION_BOUNDS) + 1] += duration
        cells[layout.rows + bisect_left(ROWS_BOUNDS, self.rows)] += 1
        cells[layout.rows + len(ROWS_BOUNDS) + 1] += self.rows
        self._counters.pending.add(layout, self._inputs, self._outputs, self.rows, self.finished_at)
        self._inputs = self._outputs = {}


def _status_offset(status: int) -> int:
    """The offset of a status among the counted ones; any other counts as 200, 400 or 500."""
    found = STATUS_OFFSETS.get(status)
    return STATUS_OFFSETS[200 if status < 400 else 400 if status < 500 else 500] if found is None else found
