"""The sockets of a worker, and for which events each is registered with epoll.

Only the leader polls and accepts. Any thread may register or close the connection whose request it has run.
"""

import contextlib
import errno
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.worker.balancing import ConnectionCounts
from service.worker.connection import Connection

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
RECV_SIZE = 2**18  # bytes that one read may return
MAX_EVENTS = 8  # of one poll: few, so that a connection that becomes ready meanwhile does not wait for a long batch
MAX_ACCEPTS = 128  # connections accepted in a row, which takes one or two milliseconds
ACCEPT_BACKOFF = 0.005  # seconds for which new connections are left to workers that have fewer

log = logging.getLogger("gunicorn.error")


class EventLoop:
    """At most `max_connections` at a time, accepted from `listeners`; request bodies of at most `max_body` bytes.

    `wakeup_pipe` holds the two ends of a non-blocking pipe; a byte in it ends a poll early.
    """

    def __init__(
        self,
        listeners: Sequence[Any],
        wakeup_pipe: tuple[int, int],
        counts: ConnectionCounts,
        max_connections: int,
        max_body: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connections: dict[int, Connection] = {}
        self.clock = clock
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._templates = {fd: _environ_template(listener.getsockname()) for fd, listener in self._listeners.items()}
        self._wakeup_read, self._wakeup_write = wakeup_pipe
        self._counts = counts
        self._max_connections = max_connections
        self._max_body = max_body
        self._recv_buffer = memoryview(bytearray(RECV_SIZE))  # one for all: only the leader reads
        self._is_accepting = False
        self._backoff_until = 0.0  # 0: not backing off
        self._events_since_accept = 0
        self._epoll = select.epoll()
        self._epoll.register(self._wakeup_read, select.EPOLLIN)
        for listener in listeners:
            listener.settimeout(0)
        self.resume_accepting()

    def poll(self, timeout: float) -> Iterator[Connection]:
        """Yield the connections that are ready, and accept new ones; wait for at most `timeout` seconds."""
        for fd, _ in self._epoll.poll(self._back_off(timeout) if self._backoff_until else timeout, MAX_EVENTS):
            connection = self.connections.get(fd)
            if connection is not None:
                self._events_since_accept += 1
                yield connection
            elif fd in self._listeners:
                self._accept_ready(fd)
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup_read, 4096)

    def wake(self) -> None:
        """End the poll that the leader is in."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full: the leader will wake anyway
            os.write(self._wakeup_write, b".")

    def register(self, connection: Connection, events: int) -> None:
        """Wait for these events of a connection and no others; 0 for none."""
        before, connection.events = connection.events, events  # first: afterwards another thread may serve it
        if before == events:
            return
        with contextlib.suppress(OSError):  # it is closed already
            if not before:
                self._epoll.register(connection.fd, events)
            elif events:
                self._epoll.modify(connection.fd, events)
            else:
                self._epoll.unregister(connection.fd)

    def close(self, connection: Connection) -> None:
        """Close a connection and forget it."""
        self.register(connection, 0)
        self.connections.pop(connection.fd, None)
        if self._is_accepting:
            self._counts.publish(len(self.connections))
        connection.sock.close()

    def expire(self, keepalive: float, request_timeout: float, drain_grace: float) -> Iterator[Connection]:
        """Close connections that were idle, or whose client has not read, for too long.

        Cut off requests that have not arrived in time, and yield their connections, so that they get a response.
        """
        now = self.clock()
        for connection in list(self.connections.values()):
            age = now - connection.waiting_since
            if not connection.events:
                continue  # its request is being run
            if connection.is_idle:
                if age > keepalive:
                    self.close(connection)
            elif connection.write_buffer or connection.discarding:
                if age > (drain_grace if connection.close_after_write else request_timeout):
                    self.close(connection)
            elif age > request_timeout:
                connection.eof(EOFError())
                yield connection

    # Accepting.

    def resume_accepting(self) -> None:
        """Accept connections, unless there are too many. Called at least once a second."""
        if len(self.connections) >= self._max_connections:
            return
        self._counts.heartbeat()
        self._counts.publish(len(self.connections))
        if not self._is_accepting:
            self._is_accepting = True
            self._register_listeners()

    def pause_accepting(self) -> None:
        """Leave new connections to other workers, or in the kernel's queue, until `resume_accepting`."""
        self._counts.withdraw()
        if self._is_accepting:
            self._is_accepting, self._backoff_until = False, 0.0
            self._unregister_listeners()

    def stop_listening(self) -> None:
        """Accept the backlog and close the listening sockets: later clients are refused instead of queued."""
        self._accept_backlog()
        self.pause_accepting()
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def _register_listeners(self) -> None:
        for fd in self._listeners:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def _unregister_listeners(self) -> None:
        for fd in self._listeners:
            with contextlib.suppress(FileNotFoundError):  # it is backing off
                self._epoll.unregister(fd)

    def _back_off(self, timeout: float) -> float:
        """Continue to accept once other workers have caught up, or had time to; otherwise return a shorter timeout."""
        is_overloaded = self._counts.is_overloaded()
        if is_overloaded and self.clock() < self._backoff_until:
            return min(timeout, ACCEPT_BACKOFF / 5)
        self._backoff_until = 0.0
        self._register_listeners()
        if is_overloaded:  # no other worker has accepted them: it may hang
            self._accept_backlog()
        return timeout

    def _accept_backlog(self) -> None:
        for fd in self._listeners:
            for _ in range(MAX_ACCEPTS):
                if not (self._is_accepting and self._accept(fd)):
                    break

    def _accept_ready(self, fd: int) -> None:
        """Accept one connection, or as many as there were events since the last time; then back off if overloaded.

        A busy worker sees the event of a listener once in a round of all connections that are ready. If it accepted
        one connection each time, new clients would wait for many rounds.
        """
        events, self._events_since_accept = self._events_since_accept, 0
        for _ in range(min(max(events, 1), MAX_ACCEPTS)):
            if not (self._is_accepting and self._accept(fd)):
                break
            if self._is_accepting and self._counts.is_overloaded():
                self._backoff_until = self.clock() + ACCEPT_BACKOFF
                self._unregister_listeners()
                break

    def _accept(self, fd: int) -> bool:
        """Accept one connection. Returns False if there is none, or no resources for one."""
        try:
            sock, peer = self._listeners[fd].accept()
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:
                log.warning("accepting connections is paused for up to a second: %s", error)
                self.pause_accepting()
            return False  # otherwise another worker was faster, or the client is gone
        sock.settimeout(0)
        if isinstance(peer, tuple):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, peer, self._templates[fd], self._max_body, self._recv_buffer, self.clock)
        self.connections[connection.fd] = connection
        self._counts.publish(len(self.connections))
        self.register(connection, select.EPOLLIN)
        if len(self.connections) >= self._max_connections:
            self.pause_accepting()
        return True


def _environ_template(address: Any) -> WSGIEnvironment:
    """The part of the environment that all requests to a listening socket share (PEP 3333)."""
    # A Unix socket has a path and no port; PEP 3333 wants both not to be empty.
    host, port = address[:2] if isinstance(address, tuple) else (os.fsdecode(address), 80)
    server = {"SERVER_SOFTWARE": "gunicorn", "SERVER_NAME": host, "SERVER_PORT": str(port), "SCRIPT_NAME": ""}
    run = {"wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False}
    streams = {"wsgi.input_terminated": True, "wsgi.errors": sys.stderr}
    return {"wsgi.version": (1, 0), "wsgi.url_scheme": "http"} | server | run | streams
