"""Dynamic batching: rows of several requests that run as one batch.

It pays where a batch takes hardly longer than a row: for networks whose weights do not fit into the processor's cache,
so that reading them takes most of the time. For others it only adds a delay.
"""

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from service.bundle.signature import Arrays, batch_size
from service.errors import ServiceOverloaded
from service.inference.runtimes import Runtime

MAX_BATCHES_WAITING = 4  # of the largest size: more rows than that get 503
LATEST_WEIGHT = 0.2  # of the time of the latest batch in the average

# Waits until the event is set, which takes some seconds as expected. Or gives up, if the second argument agrees when it
# is called, and returns the reason.
Wait = Callable[[threading.Event, Callable[[], bool], float], str]


@dataclass(frozen=True)
class BatchingOptions:
    """A batch has at most `max_rows`; its first request waits at most `max_delay` seconds for others."""

    max_rows: int
    max_delay: float


@dataclass(eq=False)
class _Call:
    """The rows of one request, and then their outputs."""

    inputs: Arrays
    rows: int
    queued_at: float
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Arrays | Exception | None = None


def wait_for(done: threading.Event, _may_give_up: Callable[[], bool], _seconds: float) -> str:
    """Wait for as long as it takes."""
    done.wait()
    return ""


class BatchingRuntime:
    """A runtime whose callers, each on a thread of its own, wait while another thread runs their rows together.

    Each gets the outputs of its own rows. If a batch fails, its requests run one by one, and only those fail that fail
    by themselves.
    """

    def __init__(self, runtime: Runtime, options: BatchingOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self.options = options
        self._runtime = runtime
        self._clock = clock
        self._calls: deque[_Call] = deque()
        self._rows = 0  # of all calls that wait
        self._batch_seconds = 0.0  # that a batch takes, on average over the latest ones
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """Let the thread end when no request waits; one that comes later starts another."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def run(self, inputs: Arrays, wait: Wait = wait_for) -> Arrays:
        """Outputs for inputs that fit the signature.

        Raises `ServiceOverloaded` if too many rows wait already, or if `wait` gives up before its batch has begun.
        """
        rows = batch_size(inputs)
        if rows >= self.options.max_rows:
            return self._runtime.run(inputs)
        call = _Call(inputs, rows, self._clock())
        seconds = self._queue(call)
        if reason := wait(call.done, lambda: self._remove(call), seconds):
            raise ServiceOverloaded(reason)
        if isinstance(call.outcome, Exception):
            raise call.outcome
        return call.outcome or {}

    def _queue(self, call: _Call) -> float:
        """Let a call wait; returns after how many seconds its batch is expected to end."""
        with self._changed:
            limit = MAX_BATCHES_WAITING * self.options.max_rows
            if self._rows + call.rows > limit:
                raise ServiceOverloaded(
                    f"{self._rows} rows are waiting for a batch, and at most {limit} may: try again"
                )
            if self._thread is None:  # not before: a thread would not survive the fork of a worker
                thread = threading.Thread(target=self._run_batches, daemon=True, name="batching")
                thread.start()
                self._thread = thread
            self._calls.append(call)
            self._rows += call.rows
            self._changed.notify()
            return math.ceil(self._rows / self.options.max_rows) * self._batch_seconds

    def _remove(self, call: _Call) -> bool:
        """Take a call out of those that wait. Returns False if its batch has begun."""
        with self._changed:
            if call not in self._calls:
                return False
            self._calls.remove(call)
            self._rows -= call.rows
            return True

    def _run_batches(self) -> None:
        while calls := self._next_batch():
            started = self._clock()
            self._run_batch(calls)
            self._batch_seconds += LATEST_WEIGHT * (self._clock() - started - self._batch_seconds)

    def _next_batch(self) -> list[_Call]:
        """Wait for the first call, and then until the batch is full or that call has waited for long enough.

        Empty if the runtime is closed, and no call waits: then the thread ends.
        """
        with self._changed:
            while (left := self._seconds_left()) is None or left > 0:
                if left is None and self._closed:
                    self._thread = None
                    return []
                self._changed.wait(left)
            calls, rows = [], 0
            while self._calls and rows + self._calls[0].rows <= self.options.max_rows:
                calls.append(self._calls.popleft())
                rows += calls[-1].rows
            self._rows -= rows
        return calls

    def _seconds_left(self) -> float | None:
        """Seconds until the next batch begins: 0 if it is full, None if no request waits."""
        if not self._calls:
            return None
        if self._rows >= self.options.max_rows:
            return 0.0
        return self._calls[0].queued_at + self.options.max_delay - self._clock()

    def _run_batch(self, calls: list[_Call]) -> None:
        try:
            outcomes = self._outputs(calls)
        except Exception as error:  # noqa: BLE001 - it is raised where the request is handled
            if len(calls) > 1:
                for call in calls:
                    self._run_batch([call])
                return
            outcomes = [error]
        for call, outcome in zip(calls, outcomes, strict=True):
            call.outcome = outcome
            call.done.set()

    def _outputs(self, calls: list[_Call]) -> list[Arrays | Exception]:
        """Of each call, from one run."""
        if len(calls) == 1:
            return [self._runtime.run(calls[0].inputs)]
        inputs = {name: np.concatenate([call.inputs[name] for call in calls]) for name in calls[0].inputs}
        outputs = self._runtime.run(inputs)
        if any(len(array) != batch_size(inputs) for array in outputs.values()):
            raise RuntimeError("the network has an output that is not one of each row")
        ends = list(itertools.accumulate(call.rows for call in calls))
        return [
            {name: array[end - call.rows : end] for name, array in outputs.items()}
            for call, end in zip(calls, ends, strict=True)
        ]
