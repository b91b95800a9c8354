"""One connection of HTTP/1.1: a socket that does not block. Whoever calls it does the waiting.

A request is whole before the application hears of it: a slow sender holds nobody up.
"""

import contextlib
import socket
import time
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.worker.http_parser import Reader

MOST_DISCARDED = 4  # times the largest body
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(Reader):
    """What comes from a socket, and what is still to be sent. It reads into a `buffer` that may be others' too."""

    def __init__(
        self, sock: socket.socket, peer: Any, template: WSGIEnvironment, largest: int, buffer: memoryview
    ) -> None:
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        port = str(peer[1]) if isinstance(peer, tuple) else ""
        super().__init__(template | {"REMOTE_ADDR": self.peer, "REMOTE_PORT": port}, largest)
        self.sock = sock
        self.fd = sock.fileno()
        self.unsent = memoryview(b"")
        self.events = 0  # of epoll that are waited for
        self.last = False  # there will be no other answer
        self._buffer = buffer
        self._discarded = 0
        self._finished = False

    @property
    def is_idle(self) -> bool:
        """Between two requests, with nothing to send."""
        return not (self._begun or self.requests or self.unsent or self.discards)

    def finish(self) -> None:
        """The last answer was sent. What still comes is thrown away: closed now, the answer might not be seen."""
        self.requests.clear()
        if not self._finished:
            self.discards = self._finished = True
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    def invite(self) -> None:
        """Tell a client that asks before it sends a body to go on, once all before it is answered."""
        if self._continues and self._in_body and not self.requests and not self.unsent:
            self._continues = False
            self.send(CONTINUE)

    def receive(self) -> None:
        """Read what is there; whole requests are appended to `requests`."""
        try:
            count = self.sock.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:  # it is gone, and so is whoever waited for answers
            self.requests.clear()
            self._begun, self.ends = False, True
            return
        if not count:
            self.cut(EOFError())
        elif self.discards:
            self.since = time.monotonic()
            self._discarded += count
            self.ends = self._discarded > MOST_DISCARDED * self._largest
        else:
            self.feed(self._buffer[:count])
            self.invite()

    def send(self, data: bytes) -> None:
        """As much as the socket takes now; the rest stays in `unsent`."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.ends, sent = True, len(data)
            self.requests.clear()
        if sent < len(data):
            self.unsent = memoryview(data)[sent:]
            self.since = time.monotonic()

    def flush(self) -> None:
        """Send of the rest what the socket takes now."""
        rest, self.unsent = self.unsent, memoryview(b"")
        self.send(rest)  # type: ignore[arg-type]  # sockets take any buffer
