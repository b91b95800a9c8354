"""The end of a request: its response is sent, and its connection left in the state that follows."""

import logging
import select
from collections import deque
from collections.abc import Callable
from wsgiref.types import WSGIApplication

from service.worker.connection import Connection, State
from service.worker.event_loop import EventLoop
from service.worker.leader import LeaderElection
from service.worker.options import WorkerOptions
from service.worker.request_head import Overloaded, Rejected
from service.worker.responder import Responder, Response
from service.worker.wsgi import ParsedRequest

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

log = logging.getLogger("gunicorn.error")


class ResponseSender:
    """Sends the responses of a worker, the application's and its own."""

    def __init__(
        self, application: WSGIApplication, loop: EventLoop, election: LeaderElection, options: WorkerOptions
    ) -> None:
        self.responder = Responder(application, options)
        self._loop = loop
        self._election = election
        self._options = options
        self._next_turn: deque[Connection] = deque()  # have had responses, and other connections had none

    def time_out_stuck(self) -> None:
        """Send 504 for requests past `response_timeout`, and drain the worker: a stuck thread cannot be cancelled."""
        for connection, in_flight in list(self._election.slow.items()):
            too_old = self._loop.clock() - in_flight.started_at > self._options.response_timeout
            if too_old and self._election.claim_response(connection):
                self._election.stuck_threads += 1
                self.responder.draining = True
                name = self._options.name("response_timeout")
                message = f"no response within {self._options.response_timeout:g} seconds ({name})"
                log.error("%s: %s; this worker is replaced", in_flight.request.environ["PATH_INFO"], message)
                self._reject(connection, Rejected("504 Gateway Timeout", message))
                self._rearm(connection)
                self._loop.wake()

    def _attempt(self, connection: Connection, step: Callable[[], None]) -> bool:
        """Take a step that concerns one connection only. Returns False if it has failed: the connection is closed."""
        try:
            step()
        except Exception:
            log.exception("the connection from %s failed and is closed", connection.peer)
            self._loop.close(connection)
            return False
        return True

    def _rejection(self, connection: Connection, request: ParsedRequest) -> Rejected | None:
        """Why a request is rejected without waiting for its turn, if it is."""
        if request.rejection:
            if not isinstance(request.rejection, Overloaded):
                log.warning("an invalid request from %s: %s", connection.peer, request.rejection)
            return request.rejection
        if connection.is_spare and request.environ["REQUEST_METHOD"] not in SAFE_METHODS:
            return Overloaded(self._options.name("max_connections"), "all connections of this worker are in use")
        return None

    def _reject(self, connection: Connection, rejection: Rejected) -> None:
        """Respond to the first request of a connection in the application's place."""
        if isinstance(rejection, Overloaded):
            self._loop.limit_log.reached(rejection.limit, rejection)
            if rejection.limit == self._options.name("memory_budget_bytes"):
                self._cut_slowest_body()
        self._send(connection, self.responder.reject(connection.requests[0], rejection))

    def _cut_slowest_body(self) -> None:
        """Free the memory of a body that arrives slowly, so that a later request gets it."""
        if (slowest := self._loop.slowest_body()) is not None:
            slowest.reject_slow_body()
            self._continue_later(slowest)

    def _send(self, connection: Connection, response: Response) -> None:
        body = connection.requests.popleft().body
        if body is not None and body.reserved:
            body.release()
        connection.waiting_since = self._loop.clock()
        connection.send(response.content)
        if response.is_last:
            connection.drop_requests()
            connection.close_after_write = True

    def _rearm(self, connection: Connection) -> None:
        """Register a connection for what it waits for next, or close it."""
        if connection.expects_continue:
            connection.send_continue()
        if connection.close_after_write and not connection.write_buffer:
            connection.half_close()
        if connection.closing and not connection.write_buffer:
            self._loop.close(connection)
        else:
            self._loop.register(connection, select.EPOLLOUT if connection.write_buffer else select.EPOLLIN)
            connection.state = State.READING  # last: until then the leader leaves it alone, and sees its event again

    def _continue_later(self, connection: Connection) -> None:
        """Go on with a connection in the next round; nothing is read from it until then."""
        connection.state = State.NEXT_TURN
        self._next_turn.append(connection)
