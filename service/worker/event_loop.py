"""The connections of a worker, and for which events each is registered with epoll.

Only the leader polls, accepts, and closes connections that wait. Any thread may register or close the connection whose
request it has run.
"""

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.worker.balancing import ConnectionCounts
from service.worker.connection import Connection, Shared, State
from service.worker.limit_log import LimitLog
from service.worker.listeners import Listeners
from service.worker.memory import MemoryBudget
from service.worker.options import WorkerOptions

FEW_EVENTS = 8  # of one poll: a connection that becomes ready meanwhile comes after all of the next poll
MANY_EVENTS = 64  # of one poll, if the worker is busy,
BUSY_EVENTS = 16  # as it is if more connections are ready: requests wait until all of them have been read
BUSY_INTERVAL = 0.005  # seconds between two checks of how many are ready
SPARE_CONNECTIONS = 16  # over the limit: for health checks, while all others are in use
EVICT_AT_ONCE = 64  # connections
EVICT_INTERVAL = 0.05  # seconds between two looks for connections that can be closed
SLOW_BODY_RATE, SLOW_BODY_AGE = 2**15, 2.0  # bytes a second, seconds: a slower one is cut off if others need its memory
EVICT_AFTER = 0.5  # seconds without a request, or with an incomplete head, after which one may be closed


class EventLoop:
    """At most `max_connections` at a time, accepted from `listeners`, and a few spare ones.

    `wakeup_pipe` holds the two ends of a non-blocking pipe; a byte in it ends a poll early.
    """

    def __init__(
        self,
        listeners: Sequence[Any],
        wakeup_pipe: tuple[int, int],
        counts: ConnectionCounts,
        max_connections: int,
        options: WorkerOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connections: dict[int, Connection] = {}
        self.clock = clock
        self.is_busy = False  # many connections were ready a moment ago
        self.has_several = False  # more than one was at the latest poll
        self._next_check = 0.0
        self.memory = MemoryBudget(options.memory_budget_bytes)
        self.limit_log = LimitLog(clock)
        self._options = options
        self._wakeup_read, self._wakeup_write = wakeup_pipe
        self._counts = counts
        self._max_connections = max_connections
        self._shared = Shared(options, self.memory, clock)
        self._next_eviction = 0.0
        self._epoll = select.epoll()
        self._epoll.register(self._wakeup_read, select.EPOLLIN)
        self.listeners = Listeners(listeners, self._epoll, counts, clock, self._add)
        self.resume_accepting()

    def poll(self, timeout: float) -> Iterator[Connection]:
        """Yield the connections that are ready, and accept new ones; wait for at most `timeout` seconds."""
        now = self.clock()
        if now >= self.listeners.paused_until:
            self.resume_accepting()
        timeout = self.listeners.back_off(min(timeout, max(self.listeners.paused_until - now, 0)))
        events = self._epoll.poll(timeout, MANY_EVENTS if self.is_busy else FEW_EVENTS)
        if len(events) >= FEW_EVENTS and not self.is_busy and now >= self._next_check:
            self._next_check = now + BUSY_INTERVAL
            ready = self._epoll.poll(0, MANY_EVENTS)  # these too, as nothing has been read from them
            events = ready if len(ready) > BUSY_EVENTS else events
        self.is_busy = len(events) > BUSY_EVENTS
        self.has_several = len(events) > 1
        for fd, _ in events:
            connection = self.connections.get(fd)
            if connection is not None:
                self.listeners.events_since_accept += 1
                yield connection
            elif fd in self.listeners:
                self.listeners.accept_ready(fd)
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

    def is_open(self, connection: Connection) -> bool:
        """Whether a connection has not been closed."""
        return self.connections.get(connection.fd) is connection

    def close(self, connection: Connection) -> None:
        """Close a connection and forget it."""
        if not self.is_open(connection):
            return
        self.register(connection, 0)
        self.connections.pop(connection.fd, None)
        connection.close()
        if self.listeners.is_accepting:
            self._counts.publish(len(self.connections))

    def expire(self, keepalive: float) -> Iterator[Connection]:
        """Close connections that were idle, or whose client has not read, for too long.

        Reject requests that have not arrived in time, and yield their connections, so that they get a response.
        """
        now = self.clock()
        for connection in list(self.connections.values()):
            if connection.state is not State.READING:
                continue  # its request is being run, or will be
            if connection.has_expired(now, keepalive):
                if not (connection.is_idle and connection.has_unread()):
                    self.close(connection)
            elif connection.is_too_slow(now):
                connection.reject_slow()
                yield connection

    # Room for connections and for what they hold.

    def resume_accepting(self) -> None:
        """Accept connections if there is room. Called at least once a second."""
        if self._has_room():
            self._counts.heartbeat()
            self.listeners.resume()
            self._counts.publish(len(self.connections))
        else:
            self.listeners.pause(self.clock() + EVICT_INTERVAL)

    def _has_room(self) -> bool:
        """Whether another connection may be opened, if need be instead of idle ones, or as one of the spare ones."""
        if len(self.connections) < self._max_connections:
            return True
        if self.clock() >= self._next_eviction:
            self._next_eviction = self.clock() + EVICT_INTERVAL
            self._evict_idle()
        return len(self.connections) < self._max_connections + SPARE_CONNECTIONS

    def free_memory(self) -> None:
        """Close connections whose client reads its response slowly, the slowest first, while these take too much."""
        while self.memory.is_exceeded:
            unread = [one for one in list(self.connections.values()) if one.write_buffer and one.state is State.READING]
            if not unread:
                return
            self.close(min(unread, key=lambda one: one.waiting_since))
            message = "the connection of a client that does not read its response is closed"
            self.limit_log.reached(self._options.name("memory_budget_bytes"), message)

    def slowest_body(self) -> Connection | None:
        """The connection whose body arrives most slowly, if that is so slow that others should have its memory."""
        now = self.clock()
        bodies = [one for one in list(self.connections.values()) if one.is_in_body]
        old = [one for one in bodies if now - one.waiting_since > SLOW_BODY_AGE]
        slowest = min(old, key=lambda one: one.body_rate(now), default=None)
        return slowest if slowest and slowest.body_rate(now) < SLOW_BODY_RATE else None

    def _is_slow_body(self, connection: Connection, now: float) -> bool:
        return connection.is_in_body and connection.body_rate(now) < self._options.min_rate

    def _evict_idle(self) -> None:
        """Close the connections that have been idle, or have kept the worker waiting for a request, for longest."""
        now = self.clock()
        evictable = [
            one
            for one in list(self.connections.values())  # a thread that has run a slow request may close its connection
            if (one.is_evictable or self._is_slow_body(one, now)) and now - one.waiting_since > EVICT_AFTER
        ]
        evictable.sort(key=lambda one: one.waiting_since)
        for connection in evictable[:EVICT_AT_ONCE]:
            if not (connection.is_idle and connection.has_unread()):
                self.close(connection)
        message = f"all {self._max_connections} connections are in use; idle ones are closed, the oldest first"
        self.limit_log.reached(self._options.name("max_connections"), message)

    def _add(self, sock: socket.socket, peer: Any, template: WSGIEnvironment) -> None:
        """Take a connection that was accepted."""
        sock.settimeout(0)
        if isinstance(peer, tuple):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, peer, template, self._shared)
        connection.is_spare = len(self.connections) >= self._max_connections
        self.connections[connection.fd] = connection
        self._counts.publish(len(self.connections))
        self.register(connection, select.EPOLLIN)
        if not self._has_room():
            self.listeners.pause(self.clock() + EVICT_INTERVAL)
