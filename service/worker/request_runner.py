"""What the leader does with a connection: read, run its requests in order, write the responses.

A method that returns a bool tells whether the calling thread is still the leader. If it is not, a follower was promoted
while the application ran, and the thread must not touch the event loop's state any more.
"""

import itertools
import logging
import select
import sys
from collections import deque
from wsgiref.types import WSGIApplication

from service.worker.connection import Connection
from service.worker.event_loop import EventLoop
from service.worker.leader import InFlight, LeaderElection
from service.worker.options import WorkerOptions
from service.worker.wsgi import ParsedRequest, error_bytes, run_wsgi, serialize

OFFLOAD_BODY_BYTES = 2**18  # a request with a larger body will be slow: a follower is promoted before it runs
MAX_PIPELINED = 16  # requests of one connection that run before other connections have their turn
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # run even when all other threads are busy: health checks are among them

log = logging.getLogger("gunicorn.error")


class RequestRunner:
    """Runs the requests of all connections of a worker.

    While it is `draining`, each response is the last one of its connection. It drains when it is told to, after
    `max_requests`, and when a request has timed out.
    """

    def __init__(
        self,
        application: WSGIApplication,
        loop: EventLoop,
        election: LeaderElection,
        options: WorkerOptions,
    ) -> None:
        self.runnable: deque[Connection] = deque()  # with requests that wait for a free thread, or for their turn
        self.draining = False
        self.max_requests = sys.maxsize
        self._application = application
        self._loop = loop
        self._election = election
        self._options = options
        self._numbers = itertools.count(1)  # gives each number once, also to several threads

    def serve(self, connection: Connection) -> bool:
        """Read from or write to a connection whose socket is ready, and run what has become complete."""
        try:
            connection.flush() if connection.write_buffer else connection.receive()
        except Exception:  # the failure concerns this connection only
            log.exception("the connection from %s failed and is closed", connection.peer)
            self._loop.close(connection)
            return True
        return self.run_requests(connection)

    def run_runnable(self) -> bool:
        """Give each connection that waits for a thread or for its turn another turn."""
        for _ in range(len(self.runnable)):
            if not self._election.is_saturated and not self.run_requests(self.runnable.popleft()):
                return False
        return True

    def run_requests(self, connection: Connection) -> bool:
        """Run the complete requests of a connection, and wait for more."""
        turns = 0
        while connection.requests and not connection.write_buffer:
            request = connection.requests[0]
            must_wait = self._election.is_saturated and request.environ["REQUEST_METHOD"] not in SAFE_METHODS
            if must_wait or turns == MAX_PIPELINED:
                self._loop.register(connection, 0)
                self.runnable.append(connection)
                return True
            turns += 1
            in_flight = self._election.begin(connection, request, self._loop.clock())
            if int(request.environ.get("CONTENT_LENGTH") or 0) > OFFLOAD_BODY_BYTES:
                self._election.promote_follower(in_flight)
            response, is_last = self._run(request)
            if not self._election.finish(in_flight):
                self._finish_slow(connection, response, is_last=is_last)
                return False
            self._send(connection, response, is_last=is_last)
        self._rearm(connection)
        return True

    def time_out_stuck(self) -> None:
        """Send 504 for requests past `response_timeout`, and drain the worker: a stuck thread cannot be cancelled."""
        for connection, in_flight in list(self._election.slow.items()):
            too_old = self._loop.clock() - in_flight.started_at > self._options.response_timeout
            if too_old and self._election.claim_response(connection):
                self._election.stuck_threads += 1
                self.draining = True
                self._send(connection, self._timeout_response(in_flight), is_last=True)
                self._rearm(connection)
                self._loop.wake()

    def _run(self, request: ParsedRequest) -> tuple[bytes, bool]:
        """The response, and whether it is the last one of its connection."""
        self._count_request()
        try:
            response = run_wsgi(self._application, request.environ)
            if self.draining:
                request = request._replace(keep_alive=False)
            return serialize(response, request), not request.keep_alive
        except Exception:
            log.exception("the application failed at %s", request.environ["PATH_INFO"])
            return error_bytes("500 Internal Server Error", "internal error"), True

    def _count_request(self) -> None:
        number = next(self._numbers)
        if number == self.max_requests:
            self.draining = True
            log.info("max_requests is reached: this worker is replaced after %d requests", number)

    def _send(self, connection: Connection, response: bytes, *, is_last: bool) -> None:
        connection.requests.popleft()
        connection.waiting_since = self._loop.clock()
        connection.send(response)
        if is_last:
            connection.requests.clear()
            connection.error_response, connection.close_after_write = b"", True

    def _rearm(self, connection: Connection) -> None:
        """Register a connection for what it waits for next, or close it."""
        if connection.error_response and not connection.write_buffer:
            message = connection.error_response.partition(b"\r\n\r\n")[2].decode()
            log.warning("an invalid request from %s: %s", connection.peer, message)
            connection.send(connection.error_response)
            connection.error_response, connection.close_after_write = b"", True
        connection.send_continue()
        if connection.close_after_write and not connection.write_buffer:
            connection.half_close()
        if connection.closing and not connection.write_buffer:
            self._loop.close(connection)
        else:
            self._loop.register(connection, select.EPOLLOUT if connection.write_buffer else select.EPOLLIN)

    def _finish_slow(self, connection: Connection, response: bytes, *, is_last: bool) -> None:
        """Send the response of a slow request, on the thread that ran it, which is no longer the leader."""
        if not self._election.claim_response(connection):
            return  # it has timed out
        self._send(connection, response, is_last=is_last)
        if connection.requests and not connection.write_buffer:
            self.runnable.append(connection)
        else:
            self._rearm(connection)
        if self.runnable:
            self._loop.wake()

    def _timeout_response(self, in_flight: InFlight) -> bytes:
        environ = in_flight.request.environ
        message = f"no response within {self._options.response_timeout} seconds"
        log.error("%s: %s; this worker is replaced", environ["PATH_INFO"], message)
        status = "504 Gateway Timeout"
        try:
            return error_bytes(status, message, self._options.on_timeout(self._application, environ, 504))
        except Exception:
            log.exception("the hook on_timeout failed")
            return error_bytes(status, message)
