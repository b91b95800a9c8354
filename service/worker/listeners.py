"""The listening sockets of a worker: when it accepts connections, and how many in a row."""

import contextlib
import errno
import logging
import math
import os
import select
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.worker.balancing import ConnectionCounts

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
OUT_OF_RESOURCES_PAUSE = 1.0  # seconds
SEND_BUFFER = 2**17  # bytes, which the kernel doubles
MAX_ACCEPTS = 128  # connections accepted in a row, which takes one or two milliseconds
ACCEPT_BACKOFF = 0.005  # seconds for which new connections are left to workers that have fewer

log = logging.getLogger("gunicorn.error")


class Listeners:
    """Accepts connections for the event loop of an `epoll` object, and only on the leader's thread.

    `add(sock, peer, template)` takes a connection, and pauses where there is no room for another one; `template` is the
    part of the WSGI environment that all requests to the listening socket share.
    """

    def __init__(
        self,
        listeners: Sequence[Any],
        epoll: select.epoll,
        counts: ConnectionCounts,
        clock: Callable[[], float],
        add: Callable[[Any, Any, WSGIEnvironment], None],
    ) -> None:
        self.is_accepting = False
        self.paused_until = math.inf  # when to look whether connections may be accepted again
        self.events_since_accept = 0  # of connections
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._templates = {fd: _environ_template(listener.getsockname()) for fd, listener in self._listeners.items()}
        self._epoll = epoll
        self._counts = counts
        self._clock = clock
        self._add = add
        self._backoff_until = 0.0  # 0: not backing off
        for listener in listeners:
            listener.settimeout(0)
            # Connections inherit it. By default the kernel buffers up to 4 MB of each, which no budget would count.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def __contains__(self, fd: int) -> bool:
        """Whether this is the file descriptor of a listening socket."""
        return fd in self._listeners

    def resume(self) -> None:
        """Accept connections, unless `stop` has been called."""
        self.paused_until = math.inf
        if self._listeners and not self.is_accepting:
            self.is_accepting = True
            self._register()

    def pause(self, until: float) -> None:
        """Leave new connections to other workers, or in the kernel's queue, until this time or `resume`."""
        self.paused_until = until
        self._counts.withdraw()
        if self.is_accepting:
            self.is_accepting, self._backoff_until = False, 0.0
            self._unregister()

    def stop(self) -> None:
        """Accept the backlog and close the listening sockets: later clients are refused instead of queued."""
        self.accept_backlog()
        self.pause(until=math.inf)
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def back_off(self, timeout: float) -> float:
        """Continue to accept once other workers have caught up, or had time to; otherwise return a shorter timeout."""
        if not self._backoff_until:
            return timeout
        is_overloaded = self._counts.is_overloaded()
        if is_overloaded and self._clock() < self._backoff_until:
            return min(timeout, ACCEPT_BACKOFF / 5)
        self._backoff_until = 0.0
        self._register()
        if is_overloaded:  # no other worker has accepted them: it may hang
            self.accept_backlog()
        return timeout

    def accept_backlog(self) -> None:
        """Accept what waits, up to a limit."""
        for fd in self._listeners:
            for _ in range(MAX_ACCEPTS):
                if not (self.is_accepting and self._accept(fd)):
                    break

    def accept_ready(self, fd: int) -> None:
        """Accept one connection, or as many as there were events since the last time; then back off if overloaded.

        A busy worker sees the event of a listener once in a round of all connections that are ready. If it accepted
        one connection each time, new clients would wait for many rounds.
        """
        events, self.events_since_accept = self.events_since_accept, 0
        for _ in range(min(max(events, 1), MAX_ACCEPTS)):
            if not (self.is_accepting and self._accept(fd)):
                break
            if self.is_accepting and self._counts.is_overloaded():
                self._backoff_until = self._clock() + ACCEPT_BACKOFF
                self._unregister()
                break

    def _accept(self, fd: int) -> bool:
        """Accept one connection. Returns False if there is none, or no resources for one."""
        try:
            sock, peer = self._listeners[fd].accept()
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:
                log.warning("accepting connections is paused for up to a second: %s", error)
                self.pause(self._clock() + OUT_OF_RESOURCES_PAUSE)
            return False  # otherwise another worker was faster, or the client is gone
        self._add(sock, peer, self._templates[fd])
        return True

    def _register(self) -> None:
        for fd in self._listeners:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def _unregister(self) -> None:
        for fd in self._listeners:
            with contextlib.suppress(FileNotFoundError):  # it is backing off
                self._epoll.unregister(fd)


def _environ_template(address: Any) -> WSGIEnvironment:
    """The part of the environment that all requests to a listening socket share (PEP 3333)."""
    # A Unix socket has a path and no port; PEP 3333 wants both not to be empty.
    host, port = address[:2] if isinstance(address, tuple) else (os.fsdecode(address), 80)
    server = {"SERVER_SOFTWARE": "gunicorn", "SERVER_NAME": host, "SERVER_PORT": str(port), "SCRIPT_NAME": ""}
    run = {"wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False}
    streams = {"wsgi.input_terminated": True, "wsgi.errors": sys.stderr}
    return {"wsgi.version": (1, 0), "wsgi.url_scheme": "http"} | server | run | streams
