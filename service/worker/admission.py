"""Whether a request can be handled in time: decided when it has arrived, before it waits for its turn.

The wait of a request is the sum of the estimates of those before it. While requests wait, the time between two ends is
compared with the estimates: on a machine that is busy with other things, all takes longer.
"""

import math
from collections import deque
from collections.abc import Callable

from service.worker.connection import Connection, State
from service.worker.estimates import Estimates
from service.worker.leader import LONG_AFTER, InFlight, LeaderElection
from service.worker.options import WorkerOptions
from service.worker.request_head import Overloaded

QUICK = 0.005  # seconds: a request for which more is estimated runs on a thread of its own from the start
ADMITTED_SHARE = 0.5  # of the time that a request may wait: it is rejected if it would wait for longer, as estimated
PACE_MEMORY = 0.9  # of earlier comparisons of time with estimates, at each new one
MAX_PACE = 10.0


class Line:
    """Connections whose first request waits, in order of arrival."""

    def __init__(self) -> None:
        self.connections: deque[Connection] = deque()
        self.seconds = 0.0  # estimated, of all of them

    def add(self, connection: Connection, now: float) -> None:
        """Let a connection wait."""
        connection.state, connection.queued_at = State.QUEUED, now
        self.connections.append(connection)
        self.seconds += connection.estimate

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
        connection.state = State.READING
        self.seconds = self.seconds - connection.estimate if self.connections else 0.0


class Admission:
    """The requests of a worker that wait for their turn: quick ones, and those that need a thread of their own.

    Its methods are called by the leader, but for `finish_slow`: there, a race between two threads makes an estimate a
    little worse, which does no harm.
    """

    def __init__(self, options: WorkerOptions, election: LeaderElection, clock: Callable[[], float]) -> None:
        self.quick = Line()
        self.slow = Line()
        self.estimates = Estimates()
        self._options = options
        self._election = election
        self._clock = clock
        self._passed = self._estimated = 0.0  # seconds, of slow requests that have ended while others waited
        self._slow_since: float | None = None  # slow requests wait, and one of them ended then

    @property
    def is_empty(self) -> bool:
        """Whether no request waits."""
        return not (self.quick.connections or self.slow.connections)

    def estimate(self, connection: Connection) -> float:
        """Seconds that the first request of a connection will take, as far as they delay others; kept for later."""
        connection.kind = self.estimates.kind(connection.requests[0])
        connection.estimate = min(self.estimates.seconds(connection.kind), LONG_AFTER)
        return connection.estimate

    def queue(self, connection: Connection) -> None:
        """Let the first request of a connection wait for its turn; it has been estimated.

        Raises `Overloaded` if it would wait for too long, or too many others do.
        """
        now = self._clock()
        line = self.quick if connection.estimate <= QUICK else self.slow
        if overloaded := self.too_long(self._expected_wait(line, now)):
            raise overloaded
        if len(self.quick.connections) + len(self.slow.connections) >= self._options.max_queued:
            message = f"{self._options.max_queued} requests are waiting, and no more may"
            raise Overloaded(self._options.name("max_queued"), message)
        line.add(connection, now)

    def too_long(self, wait: float) -> Overloaded | None:
        """Why a request that would wait for so many seconds is rejected at once, if it is."""
        return self._would_wait(wait) if wait > ADMITTED_SHARE * self._options.queue_timeout else None

    def remove(self, connection: Connection) -> None:
        """Remove a connection, wherever it waits."""
        (self.quick if connection in self.quick.connections else self.slow).remove(connection)

    def take_expired(self) -> tuple[Connection, Overloaded] | None:
        """Remove a connection whose request has waited for too long, or will have: all takes longer than expected."""
        now = self._clock()
        for line in (self.quick, self.slow):
            if line.connections and now > self.deadline(line.connections[0]):
                connection = line.take()
                waited, limit = now - connection.queued_at, self._options.queue_timeout
                message = f"the request has waited for {waited:.1f} s, and {limit:g} s are allowed"
                return connection, Overloaded(self._options.name("queue_timeout"), message, math.ceil(waited))
        if self.slow.connections:
            last = self.slow.connections[-1]
            wait = self._expected_wait(self.slow, now) - self._pace * last.estimate
            if now + wait > self.deadline(last):
                self.slow.remove(last)
                return last, self._would_wait(now - last.queued_at + wait)
        return None

    def deadline(self, connection: Connection) -> float:
        """When the handling of its request must have begun."""
        return connection.queued_at + self._options.queue_timeout

    def finish_slow(self, connection: Connection) -> None:
        """A request that was taken for slow has ended; called on the thread that has run it."""
        now, since = self._clock(), self._slow_since
        if since is not None:
            self._passed = PACE_MEMORY * self._passed + (now - since)
            self._estimated = PACE_MEMORY * self._estimated + connection.estimate
        self._slow_since = now if self.slow.connections else None

    @property
    def _pace(self) -> float:
        """Seconds that pass while what is estimated to take a second is done."""
        return min(max(self._passed / self._estimated, 1.0), MAX_PACE) if self._estimated else 1.0

    def _expected_wait(self, line: Line, now: float) -> float:
        """Seconds until another request of a line would have its turn."""
        if line is self.quick:  # they run one after the other, beside the slow ones
            return line.seconds * (1 + len(self._election.running_slow))
        if not self._election.is_saturated:
            return 0.0
        pace, running = self._pace, self._election.running_slow
        remaining = [pace * _remaining_seconds(one, now, len(running)) for one in running]
        return pace * line.seconds + sum([min(seconds, LONG_AFTER) for seconds in remaining])

    def _would_wait(self, wait: float) -> Overloaded:
        limit = self._options.queue_timeout
        message = f"the request would wait for some {wait:.1f} s, and {ADMITTED_SHARE:g} of {limit:g} s are allowed"
        return Overloaded(self._options.name("queue_timeout"), message, math.ceil(wait))


def _remaining_seconds(in_flight: InFlight, now: float, running: int) -> float:
    """What is still to be spent on a request that runs beside others, by its estimate; at least a tenth of that."""
    estimate = in_flight.connection.estimate
    return max(estimate - (now - in_flight.started_at) / running, estimate / 10)
