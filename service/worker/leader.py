"""Which thread reads: the leader/followers pattern (Schmidt et al., Pattern-Oriented Software Architecture 2, 2000).

All threads share one set of connections. One thread, the leader, waits for events, reads, and runs complete requests
itself; the followers wait to be promoted. In the textbook, the leader promotes a follower before it runs anything, and
every request pays for a switch of threads. Here the leader keeps its role while it runs a request that is quick. If a
request outlasts one tick of the watchdog, the watchdog promotes a follower; the former leader finishes its request as
a slow one, sends the response itself, and becomes a follower.

So no request has to be classified in advance: a quick one costs no switch of threads, a slow one delays the others
by one tick.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.worker.connection import Connection
from service.worker.options import WorkerOptions
from service.worker.wsgi import ParsedRequest

_MISSING: Any = object()


@dataclass(eq=False, slots=True)
class InFlight:
    """A request that the application is running since `started_at`; for `waited` seconds it waited for others."""

    connection: Connection
    request: ParsedRequest
    started_at: float
    waited: float = 0.0
    waiting: "Waiting | None" = None


@dataclass(eq=False, slots=True)
class Waiting:
    """A request waits for an event; `reason` is why it has given up, if it has."""

    done: threading.Event
    may_give_up: Callable[[], bool]
    reason: str = ""

    def give_up(self, reason: str) -> None:
        """End the wait, unless what it waits for has begun."""
        if self.may_give_up():
            self.reason = reason
            self.done.set()


EXTRA_THREADS = 2  # threads beside those for slow requests: the leader, and one for a request that was taken for quick


LONG_AFTER = 0.25  # seconds that a slow request runs before another one may start beside it


class LeaderElection:
    """One leader among `threads` + `waiting_threads` + `EXTRA_THREADS` threads.

    `threads` may run requests that are known to be slow; the others are for requests that wait for each other.
    Of these, `cores` run at the same time as long as each takes less than `LONG_AFTER`: on the same core more of them
    would end none sooner, and would keep the leader from reading. One that takes longer keeps no others waiting.

    `unregister` is called for a connection whose request has become slow: nothing is read from it until the response.
    """

    def __init__(
        self, options: WorkerOptions, threads: int, unregister: Callable[[Connection], None], clock: Callable[[], float]
    ) -> None:
        self.current: InFlight | None = None  # what the leader is running
        self.slow: dict[Connection, InFlight] = {}
        self.stuck_threads = 0  # whose requests have timed out: they may never return
        self.total_threads = threads + options.waiting_threads + EXTRA_THREADS
        self._threads = threads
        self._cores = options.cores
        self._clock = clock
        self._unregister = unregister
        self._promotions: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._lock = threading.Lock()

    @property
    def is_saturated(self) -> bool:
        """Whether no other request that is known to be slow may start now."""
        if not self.slow:
            return self.stuck_threads >= self._threads
        since, running = self._clock() - LONG_AFTER, self.running_slow
        if self.is_exhausted or len(running) + self.stuck_threads >= self._threads:
            return True
        return sum([one.started_at > since for one in running]) >= self._cores

    @property
    def is_exhausted(self) -> bool:
        """Whether all threads but the leader run slow requests: the leader must not run one that may be slow too."""
        return len(self.slow) + self.stuck_threads > self.total_threads - EXTRA_THREADS

    @property
    def running(self) -> int:
        """How many requests run: those that do not wait, the leader's own among them."""
        return max(sum([one.waiting is None for one in tuple(self.slow.values())]) + (self.current is not None), 1)

    @property
    def running_slow(self) -> list[InFlight]:
        """The slow requests that run; one that waits for others, or has waited, only has its response to make."""
        return [one for one in tuple(self.slow.values()) if one.waiting is None and not one.waited]

    def begin(self, connection: Connection, request: ParsedRequest, now: float) -> InFlight:
        """The leader starts to run a request."""
        in_flight = self.current = InFlight(connection, request, now)
        return in_flight

    def finish(self, in_flight: InFlight) -> bool:
        """The request has a response. Returns whether its thread is still the leader."""
        with self._lock:
            is_leader = self.current is in_flight
            if is_leader:
                self.current = None
        return is_leader

    def promote_follower(self, in_flight: InFlight) -> None:
        """Make another thread the leader, unless this request is finished or no thread is left that could lead."""
        with self._lock:
            if self.current is not in_flight or len(self.slow) + self.stuck_threads >= self.total_threads:
                return
            self.current = None
            self.slow[in_flight.connection] = in_flight
            self._unregister(in_flight.connection)
        self.release()

    def claim_response(self, connection: Connection) -> bool:
        """Whether the caller is the first to respond to a slow request: its own thread, or the one that sends a 504."""
        return self.slow.pop(connection, _MISSING) is not _MISSING

    def release(self) -> None:
        """Let one follower lead."""
        self._promotions.put(item=True)

    def acquire(self) -> bool:
        """Wait until this thread is the leader. Returns False once the worker is done."""
        return self._promotions.get()

    def close(self) -> None:
        """Let all followers end."""
        for _ in range(self.total_threads):
            self._promotions.put(item=False)
