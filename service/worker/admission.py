"""Whether a request can be handled in time: decided when it has arrived, before it waits for its turn.

How long a request will take is not known, so it is estimated by earlier ones of the same path and about the same size.
What a request takes is measured as a share: a request that took 60 ms while three ran has taken 20 ms of the worker. So
the estimates stay the same however many requests run at once, and the wait of a new one is the sum of the estimates
before it. While requests wait, the time between two ends is compared with the estimates: on a machine that is busy with
other things, all takes longer.
"""

import math
from collections import deque
from collections.abc import Callable

from service.worker.connection import Connection
from service.worker.leader import InFlight, LeaderElection
from service.worker.options import WorkerOptions
from service.worker.request_head import Overloaded
from service.worker.wsgi import ParsedRequest

QUICK = 0.005  # seconds: a request for which more is estimated runs on a thread of its own from the start
UNKNOWN_QUICK_BITS = 16  # of its body's size: a larger one of unknown duration is not taken for quick
UNKNOWN_QUICK, UNKNOWN_SLOW = 0.001, 0.02  # seconds, estimated where nothing is known
ADMITTED_SHARE = 0.4  # of the time that a request may wait: it is rejected if it would wait for longer, as estimated
WEIGHT_OF_MORE, WEIGHT_OF_LESS = 0.2, 0.5  # of the latest measurement in an estimate: the first one is often too long
PACE_MEMORY = 0.9  # of earlier comparisons of time with estimates, at each new one
MAX_PACE = 10.0
MAX_ESTIMATES = 1000  # paths and sizes that are remembered

Kind = tuple[str, int]  # a path, and the power of two of the body's size


class Line:
    """Connections whose first request waits, in order of arrival."""

    def __init__(self) -> None:
        self.connections: deque[Connection] = deque()
        self.seconds = 0.0  # estimated, of all of them

    def __len__(self) -> int:
        """How many wait."""
        return len(self.connections)

    def add(self, connection: Connection, estimate: float, now: float) -> None:
        """Let a connection wait."""
        connection.is_queued, connection.queued_at, connection.estimate = True, now, estimate
        self.connections.append(connection)
        self.seconds += estimate

    def take(self) -> Connection:
        """Remove the first one."""
        connection = self.connections.popleft()
        self._forget(connection)
        return connection

    def remove(self, connection: Connection) -> None:
        """Remove one that may be in the middle; raises `ValueError` if it does not wait here."""
        self.connections.remove(connection)
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        connection.is_queued = False
        self.seconds = self.seconds - connection.estimate if self.connections else 0.0


class Admission:
    """The requests of a worker that wait for their turn: quick ones, and those that need a thread of their own."""

    def __init__(self, options: WorkerOptions, election: LeaderElection, clock: Callable[[], float]) -> None:
        self.quick = Line()
        self.slow = Line()
        self._options = options
        self._election = election
        self._clock = clock
        self._estimates: dict[Kind, float] = {}
        self._passed = self._estimated = 0.0  # seconds, of slow requests that have ended while others waited
        self._slow_since: float | None = None  # slow requests wait, and one of them ended then

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self.quick) + len(self.slow)

    def estimate(self, request: ParsedRequest) -> float:
        """Seconds that a request is expected to take if it runs alone."""
        kind = _kind(request)
        found = self._estimates.get(kind)
        if found is None:
            return UNKNOWN_QUICK if kind[1] <= UNKNOWN_QUICK_BITS else UNKNOWN_SLOW
        return found

    def learn(self, request: ParsedRequest, seconds: float, running: float) -> None:
        """A request has taken so long, while so many ran at once on average, itself included."""
        kind, found = _kind(request), seconds / running
        before = self._estimates.get(kind)
        if before is not None:
            self._estimates[kind] = before + (WEIGHT_OF_MORE if found > before else WEIGHT_OF_LESS) * (found - before)
        elif len(self._estimates) < MAX_ESTIMATES:
            self._estimates[kind] = found

    def finish_slow(self, connection: Connection) -> None:
        """A request that was taken for slow has ended; called on the thread that has run it."""
        now, since = self._clock(), self._slow_since
        if since is not None:
            self._passed = PACE_MEMORY * self._passed + (now - since)
            self._estimated = PACE_MEMORY * self._estimated + connection.estimate
        self._slow_since = now if self.slow else None

    def queue(self, connection: Connection) -> None:
        """Let the first request of a connection wait for its turn.

        Raises `Rejected` if it would wait for too long, or too many others do.
        """
        now = self._clock()
        estimate = self.estimate(connection.requests[0])
        line = self.quick if estimate <= QUICK else self.slow
        wait = self._expected_wait(line, now)
        if wait > ADMITTED_SHARE * self._options.queue_timeout:
            raise self._too_long(f"{len(self)} requests are waiting, which takes some {wait:.1f} seconds", wait)
        if len(self) >= self._options.max_queued:
            raise Overloaded(self._options.name("max_queued"), f"{len(self)} requests are waiting, and no more may")
        line.add(connection, estimate, now)

    def remove(self, connection: Connection) -> None:
        """Remove a connection, wherever it waits."""
        (self.quick if connection in self.quick.connections else self.slow).remove(connection)

    def take_expired(self) -> tuple[Connection, Overloaded] | None:
        """Remove a connection whose request has waited for too long, or will have: all takes longer than expected."""
        now = self._clock()
        for line in (self.quick, self.slow):
            if line and now > self.deadline(line.connections[0]):
                connection = line.take()
                waited = now - connection.queued_at
                return connection, self._too_long(f"the request has waited for {waited:.1f} seconds", waited)
        if self.slow:
            last = self.slow.connections[-1]
            wait = self._expected_wait(self.slow, now) - self._pace * last.estimate
            if now + wait > self.deadline(last):
                self.slow.remove(last)
                return last, self._too_long(f"{len(self)} requests wait before this one, some {wait:.1f} seconds", wait)
        return None

    def deadline(self, connection: Connection) -> float:
        """When the handling of its request must have begun."""
        return connection.queued_at + self._options.queue_timeout

    @property
    def _pace(self) -> float:
        """Seconds that pass while what is estimated to take a second is done."""
        return min(max(self._passed / self._estimated, 1.0), MAX_PACE) if self._estimated else 1.0

    def _expected_wait(self, line: Line, now: float) -> float:
        """Seconds until another request of a line would have its turn."""
        if line is self.quick:  # they run one after the other, beside the slow ones
            return line.seconds * (1 + len(self._election.slow))
        if not self._election.is_saturated:
            return 0.0
        running = tuple(self._election.slow.values())
        remaining = sum([_remaining_seconds(one, now, len(running)) for one in running])
        return self._pace * (line.seconds + remaining)

    def _too_long(self, situation: str, wait: float) -> Overloaded:
        message = f"{situation}, and {self._options.queue_timeout:g} seconds are allowed"
        return Overloaded(self._options.name("queue_timeout"), message, retry_after=max(1, math.ceil(wait)))


def _kind(request: ParsedRequest) -> Kind:
    """Requests of the same kind are expected to take the same time."""
    received = request.body.received if request.body else 0
    return request.environ["PATH_INFO"], received.bit_length()


def _remaining_seconds(in_flight: InFlight, now: float, running: int) -> float:
    """What is still to be spent on a request that runs beside others, by its estimate; at least a tenth of that."""
    estimate = in_flight.connection.estimate
    return max(estimate - (now - in_flight.started_at) / running, estimate / 10)
