"""What the leader does with a connection: read, admit its requests, run them in order, write the responses.

Of the connections that are ready, a few are read, and then their requests run. But requests with a safe method (health,
the status of models) run as soon as they are read; those that take over a millisecond (metrics) once the others have
been read. All others wait for their turn if there are any before them: quick ones are run by the leader itself, between
two reads; slow ones each get a thread. A method that returns a bool tells whether the calling thread is still the
leader. If it is not, a follower was promoted while the application ran, and the thread must not touch the event loop's
state any more.
"""

import functools
import select
import threading
from collections.abc import Callable
from wsgiref.types import WSGIApplication

from service.worker.admission import QUICK, Admission, Line
from service.worker.connection import Connection, State
from service.worker.event_loop import EventLoop
from service.worker.leader import InFlight, LeaderElection, Waiting
from service.worker.options import WorkerOptions
from service.worker.request_head import Overloaded, Rejected
from service.worker.response_sender import SAFE_METHODS, ResponseSender
from service.worker.wsgi import ParsedRequest

MAX_IN_A_ROW = 4  # requests of one connection that run before others have their turn
SAFE_AT_ONCE = 0.001  # seconds: a request with a safe method that takes more waits until others have been read
RUN_PERIOD = 0.005  # seconds for which quick requests run before the leader reads again


class RequestRunner(ResponseSender):
    """Runs the requests of all connections of a worker."""

    def __init__(
        self,
        application: WSGIApplication,
        loop: EventLoop,
        election: LeaderElection,
        options: WorkerOptions,
    ) -> None:
        super().__init__(application, loop, election, options)
        self.admission = Admission(options, election, loop.clock)

    @property
    def has_runnable(self) -> bool:
        """Whether a request could be run now."""
        admission, election = self.admission, self._election
        if self._next_turn:
            return True
        if admission.quick.connections and not election.is_exhausted:
            return True
        return bool(admission.slow.connections) and not election.is_saturated

    def serve(self, connection: Connection) -> bool:
        """Read from or write to a connection whose socket is ready, and go on with its requests."""
        if connection.state is not State.READING:
            if connection.state is State.QUEUED:
                self._check_queued(connection)
            else:
                self._check_waiting(connection)
            return True
        if not self._attempt(connection, connection.flush if connection.write_buffer else connection.receive):
            return True
        if self._loop.has_several and connection.requests and not _has_safe_method(connection.requests[0]):
            self._continue_later(connection)  # to read all, and then to run all, is faster than to alternate
            return True
        return self.advance(connection)

    def advance(self, connection: Connection, *, has_turn: bool = False) -> bool:
        """Respond to the first requests of a connection, or let them wait; without any, wait for more.

        `has_turn`: a request that takes some time, and has a safe method, has waited for this.
        """
        for _ in range(MAX_IN_A_ROW):
            must_parse = connection.unparsed and not (connection.requests or connection.write_buffer)
            if must_parse and not self._attempt(connection, connection.parse_unparsed):
                return True
            if connection.write_buffer or not connection.requests:
                self._rearm(connection)
                return True
            request = connection.requests[0]
            is_suspect = request.rejection or connection.is_spare
            if is_suspect and (rejection := self._rejection(connection, request)):
                self._reject(connection, rejection)
                continue
            try:
                if not self._may_run_at_once(connection, request, has_turn=has_turn):
                    self._let_wait(connection, request)
                    return True
            except Overloaded as overloaded:
                self._reject(connection, overloaded)
                continue
            has_turn = False
            if not self._run(connection, request, is_slow=False):
                return False
        self._continue_later(connection)  # other connections have their turn
        return True

    def run_queued(self) -> bool:
        """Run requests that wait for their turn: all slow ones for which there is a thread, quick ones for a moment."""
        admission, clock = self.admission, self._loop.clock
        if self._next_turn and not self._take_turns(clock() + RUN_PERIOD):
            return False
        if self._loop.memory.is_exceeded:
            self._loop.free_memory()
        if admission.is_empty:
            return True
        self._reject_expired()
        while admission.slow.connections and not self._election.is_saturated:
            if not self._run_first(admission.slow, is_slow=True):
                return False
        end = clock() + RUN_PERIOD
        while admission.quick.connections and not self._election.is_exhausted and clock() <= end:
            if not self._run_first(admission.quick, is_slow=False):
                return False
        return True

    def _take_turns(self, end: float) -> bool:
        """Go on with the connections that wait for their turn, until then."""
        for _ in range(len(self._next_turn)):
            connection = self._next_turn.popleft()
            connection.state = State.READING
            is_open = self._loop.connections.get(connection.fd) is connection
            if is_open and not self.advance(connection, has_turn=True):
                return False
            if self._loop.clock() > end:
                break
        return True

    def _may_run_at_once(self, connection: Connection, request: ParsedRequest, *, has_turn: bool) -> bool:
        """Whether a request need not wait: it takes hardly any time, or no others wait or will."""
        connection.queued_at = self._loop.clock()
        estimate = self.admission.estimate(connection)
        if _has_safe_method(request):
            return has_turn or estimate <= SAFE_AT_ONCE
        return estimate <= QUICK and self.admission.is_empty and not (self._loop.is_busy or self._election.is_exhausted)

    def _let_wait(self, connection: Connection, request: ParsedRequest) -> None:
        """A prediction waits in its line; a page of the service, such as the metrics, only until others are read."""
        if _has_safe_method(request):
            self._continue_later(connection)
        else:
            self.admission.queue(connection)

    def _wait(self, in_flight: InFlight, done: threading.Event, may_give_up: Callable[[], bool], seconds: float) -> str:
        """Called by the application: let others run until the event is set, and return nothing.

        If it would take too long, as is expected in seconds, or does, or if the client hangs up, give up unless
        `may_give_up` returns False; return why.
        """
        if (overloaded := self.admission.too_long(seconds)) and may_give_up():
            return str(overloaded)
        started, deadline = self._loop.clock(), in_flight.request.environ["worker.deadline"]
        in_flight.waiting = Waiting(done, may_give_up)
        self._election.promote_follower(in_flight)
        self._loop.register(in_flight.connection, select.EPOLLRDHUP | select.EPOLLONESHOT)
        if self.has_runnable:
            self._loop.wake()
        if not done.wait(max(deadline - started, 0)):
            in_flight.waiting.give_up(f"no batch in time ({self._options.name('queue_timeout')}): try again later")
            done.wait()
        reason, in_flight.waiting = in_flight.waiting.reason, None
        in_flight.waited = max(self._loop.clock() - started, 1e-9)
        return reason

    def _check_waiting(self, connection: Connection) -> None:
        """The client of a request that runs has closed its end: if the request waits for others, it is dropped."""
        in_flight = self._election.slow.get(connection)
        waiting = in_flight.waiting if in_flight else None
        if waiting and connection.has_hung_up():
            waiting.give_up("the client has closed the connection while its request was waiting")

    def _check_queued(self, connection: Connection) -> None:
        """The client of a request that waits for its turn has sent more, or has hung up: then it is dropped."""
        if connection.events != select.EPOLLRDHUP and not connection.has_hung_up():
            self._loop.register(connection, select.EPOLLRDHUP)
            return
        self.admission.remove(connection)
        connection.closing = True
        message = "the client has closed the connection while its request was waiting"
        self._reject(connection, Rejected("503 Service Unavailable", message))
        self._rearm(connection)

    def _reject_expired(self) -> None:
        """Reject what has waited for too long."""
        while (found := self.admission.take_expired()) is not None:
            connection, rejection = found
            self._reject(connection, rejection)
            self._continue_later(connection)

    def _run_first(self, line: Line, *, is_slow: bool) -> bool:
        """Run the first request of a line, and go on with its connection."""
        connection = line.take()
        return self._run(connection, connection.requests[0], is_slow=is_slow) and self.advance(connection)

    def _run(self, connection: Connection, request: ParsedRequest, *, is_slow: bool) -> bool:
        """Run a request and send its response; a slow one lets another thread lead meanwhile."""
        election, kind = self._election, connection.kind
        connection.state = State.RUNNING
        request.environ["worker.deadline"] = connection.queued_at + self._options.queue_timeout
        in_flight = election.begin(connection, request, self._loop.clock())
        if self._options.waiting_threads:
            request.environ["worker.wait"] = functools.partial(self._wait, in_flight)
        if is_slow:
            election.promote_follower(in_flight)
        running: float = election.running if election.slow else 1
        response = self.responder.respond(request)
        request.environ.pop("worker.wait", None)  # it refers to the request: only the garbage collector would free both
        seconds = self._loop.clock() - in_flight.started_at - in_flight.waited
        is_as_expected = connection.estimate / 2 < seconds < min(2 * connection.estimate, QUICK)
        if not is_as_expected and response.is_success:
            if seconds > QUICK or in_flight.waited:  # otherwise hardly anything has changed meanwhile
                running = (running + election.running) / 2
            self.admission.estimates.learn(kind, seconds, running)
        if election.finish(in_flight):
            connection.state = State.READING
            self._send(connection, response)
            return True
        if is_slow:
            self.admission.finish_slow(connection)
        if election.claim_response(connection):  # otherwise it has timed out
            self._send(connection, response)
            self._hand_over(connection)
        return False

    def _hand_over(self, connection: Connection) -> None:
        """Leave a connection to the leader, after the response to a slow request, on the thread that has run it."""
        if (connection.requests or connection.unparsed) and not connection.write_buffer:
            self._continue_later(connection)
        else:
            self._rearm(connection)
        if self.has_runnable:
            self._loop.wake()


def _has_safe_method(request: ParsedRequest) -> bool:
    """Whether it asks for something, and changes nothing; one that could not be parsed may have no method."""
    return request.environ.get("REQUEST_METHOD") in SAFE_METHODS
