"""One request, from its first byte to its answer: its stages, what the network said, and how it ended."""

import time
from bisect import bisect_left

from service.bundle.signature import Arrays
from service.observability.counter_layout import DURATIONS, PROTOCOLS, REASONS, ROWS, STATUSES, Layout
from service.observability.shared_counters import Recorder, Title

STATUS_PLACES = {status: place for place, status in enumerate(STATUSES)}
PROTOCOL_PLACES = {protocol: place * len(STATUSES) for place, protocol in enumerate(PROTOCOLS)}
REASON_PLACES = {reason: place for place, reason in enumerate(REASONS)}


class Watch:
    """It is told when decoding begins and ends, what the network answered, and the status of the answer."""

    __slots__ = ("_inputs", "_outputs", "_recorder", "decoded_at", "ended_at", "predicted_at", "protocol", "read_at",
                 "reason", "request_id", "rows", "stages", "started_at", "title")  # fmt: skip

    def __init__(self, recorder: Recorder, request_id: str) -> None:
        self.request_id = request_id
        self._recorder = recorder
        self.title: Title | None = None
        self.protocol = ""
        self._inputs: Arrays = {}
        self._outputs: Arrays = {}
        self.reason = ""
        self.rows = 0
        self.started_at = time.perf_counter_ns()
        self.stages = (0, 0, 0, 0)  # nanoseconds of decoding, inference, encoding, and of the whole, once it is ended
        self.read_at = self.decoded_at = self.predicted_at = self.ended_at = 0
        with recorder.lock:
            recorder.numbers[recorder.header + 1] += 1

    def of(self, title: Title, protocol: str) -> None:
        """The model is found; a failure from here on is one of its own."""
        self.title, self.protocol = title, protocol

    def read(self) -> None:
        """The body is there: decoding begins."""
        self.read_at = time.perf_counter_ns()

    def decoded(self) -> None:
        """The arrays are there."""
        self.decoded_at = time.perf_counter_ns()

    def predicted(self, inputs: Arrays, outputs: Arrays) -> None:
        """The network has answered."""
        self.predicted_at, self._inputs, self._outputs = time.perf_counter_ns(), inputs, outputs
        self.rows = len(next(iter(outputs.values())))

    def timing(self) -> str:
        """What `Server-Timing` says of it: milliseconds; of a refusal the whole alone."""
        decode, infer, encode, total = self.stages
        if not self.predicted_at:
            return f"total;dur={total / 1e6:.3f}"
        return (
            f"decode;dur={decode / 1e6:.3f}, infer;dur={infer / 1e6:.3f}, encode;dur={encode / 1e6:.3f}, "
            f"total;dur={total / 1e6:.3f}"
        )

    def ended(self, status: int) -> bool:
        """There is an answer, or there will be none: count it; whether it had not ended before."""
        if self.ended_at:
            return False
        end = self.ended_at = time.perf_counter_ns()
        self.stages = (
            self.decoded_at - self.read_at, self.predicted_at - self.decoded_at, end - self.predicted_at,
            end - self.started_at,
        )  # fmt: skip
        recorder = self._recorder
        numbers, place = recorder.numbers, recorder.places.get(self.title) if self.title else None
        with recorder.lock:
            numbers[recorder.header + 1] -= 1
            if place is None:
                numbers[recorder.header + 2 + _status(status)] += 1
                return True
            numbers[place.requests + PROTOCOL_PLACES[self.protocol] + _status(status)] += 1
            if status == STATUSES[0] and self._outputs:
                self._succeeded(numbers, place)
            else:
                numbers[place.failure_ns] += self.ended_at - self.started_at
                if self.reason in REASON_PLACES:
                    numbers[place.refused + REASON_PLACES[self.reason]] += 1
        return True

    def _succeeded(self, numbers: memoryview, place: Layout) -> None:
        numbers[place.last_ms] = time.time_ns() // 1_000_000
        for histogram, duration in zip(place.stages, self.stages, strict=True):
            numbers[histogram + bisect_left(DURATIONS, duration)] += 1
            numbers[histogram + len(DURATIONS) + 1] += duration
        numbers[place.rows + bisect_left(ROWS, self.rows)] += 1
        numbers[place.rows + len(ROWS) + 1] += self.rows
        self._recorder.contents.keep(place, self._inputs, self._outputs, self.rows, self.ended_at)
        self._inputs = self._outputs = {}


def _status(status: int) -> int:
    """Where a status stands among the known ones; another counts as 200, 400 or 500."""
    found = STATUS_PLACES.get(status)
    return STATUS_PLACES[200 if status < 400 else 400 if status < 500 else 500] if found is None else found
