"""What came of each exchange, and what explains it if it was not answered.

A request may be rejected with 503 during a burst, while a killed worker is replaced, and when the memory budget is
used up. A connection may be lost if a worker was killed meanwhile. Anything else is a failure.
"""

import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

DYING = 2.0  # seconds that a killed process may take to be gone; then its clients know
SETTLING = 3.0  # seconds after a burst, in which what has been queued is handled

RIGHT, RETRIED, REJECTED, LOST, FAILED = "right", "right after 503", "503 under load", "lost with its worker", "failed"
OUTCOMES = (RIGHT, RETRIED, REJECTED, LOST, FAILED)


class Journal:
    """Safe to use from several threads; times are those of `clock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)  # by kind of request, then by outcome
        self.milliseconds: dict[str, list[float]] = defaultdict(list)  # of right responses, by kind
        self.slowest: dict[str, tuple[float, str]] = {}  # milliseconds and name of one exchange of each kind
        self.failures: list[str] = []
        self.kills: list[float] = []
        self._overloads: list[tuple[float, float]] = []  # from when to when; one that lasts has no end yet
        self._lock = threading.Lock()

    def record(self, kind: str, outcome: str, count: int = 1) -> None:
        """Count what came of an exchange."""
        with self._lock:
            self.counts[kind][outcome] += count

    def record_right(self, kind: str, name: str, started: float, *, retried: bool = False) -> None:
        """Count an exchange that was answered as it should, and how long that took."""
        milliseconds = (self.clock() - started) * 1000
        self.record(kind, RETRIED if retried else RIGHT)
        with self._lock:
            self.milliseconds[kind].append(milliseconds)
            self.slowest[kind] = max(self.slowest.get(kind, (0.0, "")), (milliseconds, name))

    def fail(self, kind: str, description: str) -> None:
        """Count a failure that nothing explains."""
        self.record(kind, FAILED)
        with self._lock:
            self.failures.append(f"{kind}: {description}")

    def lose(self, kind: str, started: float, description: str) -> None:
        """Count an exchange without a response: as lost if a worker was killed meanwhile."""
        if self.was_killed_since(started):
            self.record(kind, LOST)
        else:
            self.fail(kind, description)

    def was_killed_since(self, started: float) -> bool:
        """Whether a worker was killed at about this time or later, and just now."""
        now = self.clock()
        return any(started - DYING <= kill and now - DYING <= kill <= now for kill in tuple(self.kills))

    def explains_rejection(self, response: httpx.Response, started: float) -> bool:
        """Whether there was reason for a 503."""
        is_overloaded = any(start <= self.clock() and started <= end for start, end in tuple(self._overloads))
        return is_overloaded or "DIGITALIS_MEMORY_BUDGET_BYTES" in response.text

    @contextmanager
    def overload(self) -> Iterator[None]:
        """More than the service can handle, for as long as the context lasts, and a moment longer."""
        index, start = len(self._overloads), self.clock()
        self._overloads.append((start, math.inf))
        yield
        self._overloads[index] = (start, self.clock() + SETTLING)

    def total(self, outcome: str) -> int:
        """How many exchanges of all kinds had this outcome."""
        with self._lock:
            return sum(counts[outcome] for counts in self.counts.values())
