"""Dynamic batching: rows of several requests that run as one batch.

It pays where a batch takes hardly longer than a row: for networks whose weights do not fit into the processor's cache,
so that reading them takes most of the time. For others it only adds a delay.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from service.bundle.signature import Arrays
from service.errors import ServiceOverloaded
from service.inference.runtimes import Runtime

MAX_BATCHES_WAITING = 4  # of the largest size: more rows than that get 503

Wait = Callable[[threading.Event], bool]  # until the event is set, or returns False: the caller's client has gone


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
    is_abandoned: bool = False


def wait_for(done: threading.Event) -> bool:
    """Wait for as long as it takes."""
    return done.wait()


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
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def run(self, inputs: Arrays, wait: Wait = wait_for) -> Arrays:
        """Outputs for inputs that fit the signature.

        Raises `ServiceOverloaded` if too many rows wait already, or if the client has gone meanwhile, as `wait` says.
        """
        rows = _rows(inputs)
        if rows >= self.options.max_rows:
            return self._runtime.run(inputs)
        call = _Call(inputs, rows, self._clock())
        self._queue(call)
        if not wait(call.done):
            call.is_abandoned = True
            raise ServiceOverloaded("the client has closed the connection while its request was waiting")
        if isinstance(call.outcome, Exception):
            raise call.outcome
        return call.outcome or {}

    def _queue(self, call: _Call) -> None:
        with self._changed:
            limit = MAX_BATCHES_WAITING * self.options.max_rows
            if self._rows + call.rows > limit:
                raise ServiceOverloaded(
                    f"{self._rows} rows are waiting for a batch, and at most {limit} may: try again"
                )
            self._calls.append(call)
            self._rows += call.rows
            if self._thread is None:  # not before: a thread would not survive the fork of a worker
                self._thread = threading.Thread(target=self._run_batches, daemon=True, name="batching")
                self._thread.start()
            self._changed.notify()

    def _run_batches(self) -> None:
        while True:
            calls = [call for call in self._next_batch() if not call.is_abandoned]
            if calls:
                self._run_batch(calls)

    def _next_batch(self) -> list[_Call]:
        """Wait for the first call, and then until the batch is full or that call has waited for long enough."""
        with self._changed:
            while not self._calls:
                self._changed.wait()
            end = self._calls[0].queued_at + self.options.max_delay
            while self._rows < self.options.max_rows and (left := end - self._clock()) > 0:
                self._changed.wait(left)
            calls, rows = [], 0
            while self._calls and rows + self._calls[0].rows <= self.options.max_rows:
                calls.append(self._calls.popleft())
                rows += calls[-1].rows
            self._rows -= rows
        return calls

    def _run_batch(self, calls: list[_Call]) -> None:
        try:
            names = calls[0].inputs
            inputs = {name: np.concatenate([call.inputs[name] for call in calls]) for name in names}
            outputs = self._runtime.run(inputs if len(calls) > 1 else calls[0].inputs)
            start = 0
            for call in calls:
                call.outcome = {name: array[start : start + call.rows] for name, array in outputs.items()}
                start += call.rows
        except Exception as error:  # noqa: BLE001 - it is raised where the request is handled
            if len(calls) > 1:
                for call in calls:
                    self._run_batch([call])
                return
            calls[0].outcome = error
        for call in calls:
            call.done.set()


def _rows(inputs: Arrays) -> int:
    return len(next(iter(inputs.values())))
