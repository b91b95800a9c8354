"""The sockets of a worker, and what is waited for on each of them."""

import contextlib
import errno
import logging
import os
import select
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.server.connection import Connection

FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
AT_ONCE = 2**18  # bytes that are read
FEW = 8  # connections that are taken from the kernel's queue at once: who just misses many would wait for all of them
FEWEST = 16  # ready connections: up to so many new ones are accepted one at a time, so that each worker gets some
MOST_LET_IN = 128  # connections: it takes a millisecond or two

log = logging.getLogger(__name__)


class Sockets:
    """Those that listen, and the connections: at most so `many`, whose bodies are so `large` at most.

    What is `shared` is in all environments. One thread polls; any may close a connection, or wait for something on it.
    """

    def __init__(self, listeners: Sequence[Any], waker: int, many: int, large: int, shared: WSGIEnvironment) -> None:
        self.connections: dict[int, Connection] = {}
        self._waker = waker
        self._many = many
        self._large = large
        self._buffer = memoryview(bytearray(AT_ONCE))
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._templates = {fd: _template(listener.getsockname()) | shared for fd, listener in self._listeners.items()}
        self._listens = False
        self._round = 0  # connections that were ready since a listener was
        self._poll = select.epoll()
        self._poll.register(waker, select.EPOLLIN)  # written to where the one who polls shall look up
        self.listen(on=True)

    def poll(self, seconds: float) -> Iterator[Connection]:
        """The connections on which something has happened, new ones accepted meanwhile."""
        for fd, _ in self._poll.poll(seconds, FEW):
            connection = self.connections.get(fd)
            if connection is not None:
                self._round += 1
                yield connection
            elif fd in self._listeners:
                self._let_in(fd)
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._waker, 4096)

    def listen(self, *, on: bool) -> None:
        """Accept connections, unless there are too many, or none."""
        on = on and len(self.connections) < self._many
        if on == self._listens:
            return
        for fd, listener in self._listeners.items():
            listener.settimeout(0)
            if on:
                self._poll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                self._poll.unregister(fd)
        self._listens = on

    def wait_for(self, connection: Connection, events: int) -> None:
        """Poll a connection for these events, and for no others; 0 is for none."""
        before, connection.events = connection.events, events  # first: another thread may serve it from here on
        if before == events:
            return
        with contextlib.suppress(OSError):  # it is closed already
            if not before:
                self._poll.register(connection.fd, events)
            elif events:
                self._poll.modify(connection.fd, events)
            else:
                self._poll.unregister(connection.fd)

    def close(self, connection: Connection) -> None:
        """The connection is over."""
        self.wait_for(connection, 0)
        self.connections.pop(connection.fd, None)
        connection.sock.close()

    def outlived(self, now: float, keepalive: float, patience: float, linger: float) -> Iterator[Connection]:
        """Close what was idle for so long; a request that has been coming for too long is cut, to be answered."""
        for connection in list(self.connections.values()):
            age = now - connection.since
            if not connection.events:
                continue  # it is being answered
            if connection.is_idle:
                if age > keepalive:
                    self.close(connection)
            elif age > (linger if connection.last else patience) and (connection.unsent or connection.discards):
                self.close(connection)
            elif age > patience:
                connection.cut(EOFError())
                yield connection

    def _let_in(self, fd: int) -> None:
        """As many as were ready since the last time: a listener comes once a round of all that are ready."""
        ready, self._round = self._round, 0
        for _ in range(min(ready, MOST_LET_IN) if ready > FEWEST else 1):
            if not (self._listens and self._accept(fd)):
                break
        if self._listens:  # the kernel wakes who has waited longest for this: now another worker
            self._poll.unregister(fd)
            self._poll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def _accept(self, fd: int) -> bool:
        """One connection; False where nobody waits for one, or there can be no more."""
        try:
            sock, peer = self._listeners[fd].accept()
        except OSError as error:
            if error.errno in FULL:
                log.warning("no more connections for a while: %s", error)
                self.listen(on=False)
            return False  # or another worker was faster, or whoever came is gone
        sock.settimeout(0)
        if isinstance(peer, tuple):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, peer, self._templates[fd], self._large, self._buffer)
        self.connections[connection.fd] = connection
        self.wait_for(connection, select.EPOLLIN)
        self.listen(on=True)
        return True


def _template(name: Any) -> WSGIEnvironment:
    """What all environments of a listener share (PEP 3333)."""
    host, port = name[:2] if isinstance(name, tuple) else (name, "")
    server = {"SERVER_SOFTWARE": "gunicorn", "SERVER_NAME": host, "SERVER_PORT": str(port), "SCRIPT_NAME": ""}
    run = {"wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False}
    streams = {"wsgi.input_terminated": True, "wsgi.errors": sys.stderr}
    return {"wsgi.version": (1, 0), "wsgi.url_scheme": "http"} | server | run | streams
