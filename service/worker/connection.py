"""One HTTP/1.1 connection: a non-blocking socket, the parser of what arrives, and what is still to be written.

A request is complete before the application is called, so a slow sender never occupies a thread.
"""

import contextlib
import socket
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.worker.http_parser import RequestParser

MAX_DISCARD_FACTOR = 4  # times the largest body: a client that sends more than this after its last response is cut off
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(RequestParser):
    """Its methods never wait; the event loop calls them when the socket is ready. `recv_buffer` may be shared."""

    def __init__(
        self,
        sock: socket.socket,
        peer: Any,
        template: WSGIEnvironment,
        max_body: int,
        recv_buffer: memoryview,
        clock: Callable[[], float],
    ) -> None:
        host, port = peer[:2] if isinstance(peer, tuple) else ("", "")  # a Unix socket's client has no address
        super().__init__(template | {"REMOTE_ADDR": str(host), "REMOTE_PORT": str(port)}, max_body, clock)
        self.peer = str(host) or "a Unix socket"
        self.sock = sock
        self.fd = sock.fileno()
        self.write_buffer = memoryview(b"")  # what the socket has not taken yet
        self.events = 0  # of epoll, for which it is registered
        self.close_after_write = False  # the last response of the connection is written or in the buffer
        self._recv_buffer = recv_buffer
        self._discarded = 0
        self._half_closed = False

    @property
    def is_idle(self) -> bool:
        """Between two requests, with nothing to write."""
        return not (self._started or self.requests or self.write_buffer or self.discarding)

    def receive(self) -> None:
        """Read what is there; complete requests are appended to `requests`."""
        try:
            count = self.sock.recv_into(self._recv_buffer)
        except BlockingIOError:
            return
        except OSError:  # a reset: the client is gone
            self.requests.clear()
            self._started, self.closing = False, True
            return
        if not count:
            self.eof(EOFError())
        elif self.discarding:
            self.waiting_since = self._clock()
            self._discarded += count
            self.closing = self._discarded > MAX_DISCARD_FACTOR * self._max_body
        else:
            self.feed(self._recv_buffer[:count])
            self.send_continue()

    def send(self, data: bytes | memoryview) -> None:
        """Write as much as the socket takes now; the rest stays in `write_buffer`."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # a reset: there is nothing more to do
            self.closing, sent = True, len(data)
            self.requests.clear()
        if sent < len(data):
            self.write_buffer = memoryview(data)[sent:]
            self.waiting_since = self._clock()

    def flush(self) -> None:
        """Write what the socket takes now of `write_buffer`."""
        data, self.write_buffer = self.write_buffer, memoryview(b"")
        self.send(data)

    def send_continue(self) -> None:
        """Send 100 Continue when the client waits for it and all earlier responses are written."""
        if self._expects_continue and self._in_body and not self.requests and not self.write_buffer:
            self._expects_continue = False
            self.send(CONTINUE)

    def half_close(self) -> None:
        """Stop writing, and discard what still arrives.

        A close would make the kernel send a reset while the client is still sending, and a reset deletes what the
        client has not read yet: the response.
        """
        self.requests.clear()
        if not self._half_closed:
            self.discarding = self._half_closed = True
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
