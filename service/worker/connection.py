"""One HTTP/1.1 connection: a non-blocking socket, the parser of what arrives, and what is still to be written.

A request is complete before the application is called, so a slow sender never occupies a thread.
"""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.worker.http_parser import RequestParser
from service.worker.memory import MemoryBudget
from service.worker.options import WorkerOptions

MAX_DISCARD_FACTOR = 4  # times the largest body: a client that sends more than this after its last response is cut off
LINGER = 2.0  # seconds without a byte from the client after which a connection that is only discarding is closed
SPARE_SECONDS = 1.0  # that a spare connection may be open
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
RECV_SIZE = 2**18  # bytes that one read may return,
HEAD_READ = 2**14  # where requests may follow, as what is read ahead of a response must be kept


class State(Enum):
    """Who goes on with a connection, and when."""

    READING = auto()  # the leader, when its socket is ready
    QUEUED = auto()  # its first request waits in a line of `admission`
    NEXT_TURN = auto()  # the leader, in its next round: it has had responses, and other connections had none
    RUNNING = auto()  # the thread that runs its first request


@dataclass(frozen=True)
class Shared:
    """What all connections of a worker share. One receives at a time, so one buffer is enough."""

    options: WorkerOptions
    memory: MemoryBudget
    clock: Callable[[], float]
    recv_buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(RECV_SIZE)))


class Connection(RequestParser):
    """Its methods never wait; the event loop calls them when the socket is ready."""

    def __init__(self, sock: socket.socket, peer: Any, template: WSGIEnvironment, shared: Shared) -> None:
        host, port = peer[:2] if isinstance(peer, tuple) else ("", "")  # a Unix socket's client has no address
        client = {"REMOTE_ADDR": str(host), "REMOTE_PORT": str(port), "worker.memory": shared.memory}
        super().__init__(template | client, shared.options, shared.memory, shared.clock)
        self.peer = str(host) or "a Unix socket"
        self.sock = sock
        self.fd = sock.fileno()
        self.write_buffer = memoryview(b"")  # what the socket has not taken yet
        self.events = 0  # of epoll, for which it is registered
        self.state = State.READING
        self.kind = ("", "", 0)  # of its first request, for estimates,
        self.estimate = 0.0  # seconds that it is expected to take,
        self.queued_at = 0.0  # and since when it waits
        self.close_after_write = False  # the last response of the connection is written or in the buffer
        self._recv_buffer = shared.recv_buffer
        self._head_buffer = shared.recv_buffer[:HEAD_READ]
        self._unsent_bytes = 0  # of memory that `write_buffer` keeps
        self._written = 0  # bytes, of all responses
        self._accepted_at = shared.clock()
        self._discarded = 0
        self._discarding_since = 0.0
        self._half_closed = False

    @property
    def is_idle(self) -> bool:
        """Between two requests, with nothing to write."""
        return not (self._started or self.requests or self.unparsed or self.write_buffer or self.discarding)

    @property
    def is_evictable(self) -> bool:
        """Whether the connection may be closed to make room for another one: there is nothing to lose, or hardly."""
        return self.state is State.READING and (self.is_idle or self.is_in_head or self._half_closed)

    @property
    def is_in_body(self) -> bool:
        """A part of the body of a request is there, or none yet."""
        return self.state is State.READING and self._in_body and not self.requests

    def body_rate(self, now: float) -> float:
        """Bytes a second of the body, in the present period."""
        return (self._body.received - self._period_progress) / max(now - self.waiting_since, 1e-3)

    @property
    def is_in_head(self) -> bool:
        """A part of a request is there, and not all of its head."""
        return self._started and not (self._in_body or self.requests)

    def receive(self) -> None:
        """Read what is there; complete requests are appended to `requests`."""
        free = self._body.free if self._in_body else None
        buffer = self._recv_buffer if self.discarding else self._head_buffer
        try:
            count = self.sock.recv_into(buffer if free is None else free)
        except BlockingIOError:
            return
        except OSError:  # a reset: the client is gone
            self.drop_requests()
            self.closing = True
            return
        if not count:
            free = None  # or its buffer could not be cut to what has arrived
            self.eof(EOFError())
        elif self.discarding:
            self._discard(count)
        elif free is None:
            self.feed(buffer[:count])
            if self.expects_continue:
                self.send_continue()
        else:
            free = None
            self.fill(count)

    def send(self, data: bytes | memoryview) -> None:
        """Write as much as the socket takes now; the rest stays in `write_buffer`."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # a reset: there is nothing more to do
            self.closing, sent = True, len(data)
            self.drop_requests()
        self._written += sent
        if sent < len(data):
            if not self._unsent_bytes:
                self._unsent_bytes = len(data)
                self._memory.add_response(len(data))
                self._start_period(self._written)
            self.write_buffer = memoryview(data)[sent:]
        elif self._unsent_bytes:
            self._memory.release_response(self._unsent_bytes)
            self._unsent_bytes = 0

    def flush(self) -> None:
        """Write what the socket takes now of `write_buffer`."""
        data, self.write_buffer = self.write_buffer, memoryview(b"")
        self.send(data)

    def send_continue(self) -> None:
        """Send 100 Continue, for which the client waits, when all earlier responses are written."""
        if self._in_body and not self.requests and not self.write_buffer:
            self.expects_continue = False
            self.send(CONTINUE)

    def half_close(self) -> None:
        """Stop writing, and discard what still arrives.

        A close would make the kernel send a reset while the client is still sending, and a reset deletes what the
        client has not read yet: the response.
        """
        self.drop_requests()
        if not self._half_closed:
            self.discarding = self._half_closed = True
            self.waiting_since = self._discarding_since = self._clock()
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    def has_hung_up(self) -> bool:
        """Whether the client has closed the connection, although it waits for a response."""
        return self._peek() == b""

    def has_unread(self) -> bool:
        """Whether bytes have arrived since the last read: the connection is not idle, although it seems so."""
        return bool(self._peek())

    def close(self) -> None:
        """Close the socket, and give back all memory."""
        self.drop_requests()
        if self._unsent_bytes:
            self._memory.release_response(self._unsent_bytes)
            self._unsent_bytes = 0
        del self._parser  # it refers to the connection: only the garbage collector would free the two
        self.sock.close()

    # Time limits.

    def has_expired(self, now: float, keepalive: float) -> bool:
        """Whether the connection is to be closed: idle for too long, its last response read, or not read in time."""
        age = now - self.waiting_since
        if self.is_spare and now - self._accepted_at > SPARE_SECONDS:
            return True
        if self.write_buffer:
            return self.is_too_slow(now)
        if self.discarding:
            return age > LINGER or now - self._discarding_since > self._options.request_timeout
        return self.is_idle and age > keepalive

    def is_too_slow(self, now: float) -> bool:
        """Whether a request arrives, or a response is read, too slowly. Asked about once a second.

        In each period of `request_timeout` seconds, a head must be complete, and a body or a response must go on by
        `min_rate` bytes a second, or come to its end.
        """
        seconds = self._options.request_timeout
        is_under_way = self.write_buffer or not (self.is_idle or self.discarding)
        if not is_under_way or now - self.waiting_since <= seconds:
            return False
        progress = self._written if self.write_buffer else self._body.received
        too_slow = progress - self._period_progress < seconds * self._options.min_rate
        self._start_period(progress)
        return too_slow

    def _peek(self) -> bytes | None:
        """The next byte that is there; none at the end, None if nothing has arrived."""
        try:
            return self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:  # a reset
            return b""

    def _start_period(self, progress: int) -> None:
        self.waiting_since, self._period_progress = self._clock(), progress

    def _discard(self, count: int) -> None:
        self.waiting_since = self._clock()
        self._discarded += count
        self.closing = self._discarded > MAX_DISCARD_FACTOR * self._options.max_body_bytes
