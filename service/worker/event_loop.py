"""The sockets of a worker, and what is waited for on each of them."""

import contextlib
import errno
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.worker.balancing import Share
from service.worker.connection import Connection

FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
AT_ONCE = 2**18  # bytes that are read
FEW = 8  # connections that are taken from the kernel's queue at once: who just misses many would wait for all of them
MOST_LET_IN = 128  # connections at once: it takes a millisecond or two
REST = 0.005  # seconds for which new connections are left to workers that have fewer

log = logging.getLogger(__name__)


class Sockets:
    """Those that listen, and the connections: at most so `many`, whose bodies are so `large` at most.

    What is `shared` is in all environments. One thread polls; any may close a connection, or wait for something on it.
    """

    def __init__(
        self, listeners: Sequence[Any], waker: int, share: Share, many: int, large: int, shared: WSGIEnvironment
    ) -> None:
        self.connections: dict[int, Connection] = {}
        self._waker = waker
        self._share = share
        self._many = many
        self._large = large
        self._buffer = memoryview(bytearray(AT_ONCE))
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._templates = {fd: _template(listener.getsockname()) | shared for fd, listener in self._listeners.items()}
        for listener in listeners:
            listener.settimeout(0)
        self._listens = False
        self._rests_until = 0.0
        self._round = 0  # connections that were ready since a listener was
        self._poll = select.epoll()
        self._poll.register(waker, select.EPOLLIN)  # written to where the one who polls shall look up
        self.listen(on=True)

    def poll(self, seconds: float) -> Iterator[Connection]:
        """The connections on which something has happened, new ones accepted meanwhile."""
        for fd, _ in self._poll.poll(self._rested(seconds) if self._rests_until else seconds, FEW):
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
        """Accept connections, unless there are too many, or none. Called at least once a second."""
        on = on and len(self.connections) < self._many
        self._share.look()
        self._share.tell(len(self.connections)) if on else self._share.leave()
        if on != self._listens:
            self._listens, self._rests_until = on, 0.0
            self._attend(on=on)

    def leave(self) -> None:
        """Take who waits already, and close the doors: who comes later is refused at once, and not kept waiting."""
        self._let_all_in()
        self.listen(on=False)
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

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
        if self._listens:
            self._share.tell(len(self.connections))
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

    def _attend(self, *, on: bool) -> None:
        for fd in self._listeners:
            if on:
                self._poll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                with contextlib.suppress(FileNotFoundError):  # it rested
                    self._poll.unregister(fd)

    def _rested(self, seconds: float) -> float:
        """Go on listening once others have caught up, or it is time to; else how long to wait at most."""
        in_vain = self._share.is_ahead()
        if in_vain and time.monotonic() < self._rests_until:
            return min(seconds, REST / 5)
        self._rests_until = 0.0
        self._attend(on=True)
        if in_vain:  # nobody has taken those who wait
            self._let_all_in()
        return seconds

    def _let_all_in(self) -> None:
        for fd in self._listeners:
            for _ in range(MOST_LET_IN):
                if not (self._listens and self._accept(fd)):
                    break

    def _let_in(self, fd: int) -> None:
        """Accept one, or as many as were ready since the last time: a listener comes once a round of all of them.

        Who has more connections than another worker rests then, so that the kernel wakes the other for the next.
        """
        ready, self._round = self._round, 0
        for _ in range(min(max(ready, 1), MOST_LET_IN)):
            if not (self._listens and self._accept(fd)):
                break
            if self._listens and self._share.is_ahead():
                self._rests_until = time.monotonic() + REST
                self._attend(on=False)
                break

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
        self._share.tell(len(self.connections))
        self.wait_for(connection, select.EPOLLIN)
        if len(self.connections) >= self._many:
            self.listen(on=False)
        return True


def _template(name: Any) -> WSGIEnvironment:
    """What all environments of a listener share (PEP 3333)."""
    host, port = name[:2] if isinstance(name, tuple) else (name, "")
    server = {"SERVER_SOFTWARE": "gunicorn", "SERVER_NAME": host, "SERVER_PORT": str(port), "SCRIPT_NAME": ""}
    run = {"wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False}
    streams = {"wsgi.input_terminated": True, "wsgi.errors": sys.stderr}
    return {"wsgi.version": (1, 0), "wsgi.url_scheme": "http"} | server | run | streams
