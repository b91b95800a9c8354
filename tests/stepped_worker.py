"""The parts of a worker without its threads and its clock: each step is taken by the test, so nothing depends on time.

Clients connect over a Unix socket, unless a test gives another listener: what is sent over it can be read at once.
"""

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, NamedTuple, Self
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from service.worker.balancing import ConnectionCounts, map_counts
from service.worker.connection import Connection
from service.worker.event_loop import EventLoop
from service.worker.leader import LeaderElection
from service.worker.options import WorkerOptions
from service.worker.request_runner import RequestRunner

MAX_BODY = 1000  # bytes
DEADLINE = 60  # seconds of real time after which a test that waits for a real socket fails


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Response(NamedTuple):
    """`fields` are the header fields, with lower-case names."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def environ(self) -> dict[str, Any]:
        """What `echo` has seen."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def sent_body(self) -> str:
        """The request's body, as `echo` has seen it."""
        return str(self.environ["body"])


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Respond with the environment and the body as JSON: 200, 413 for a body over the limit, 400 for a broken one."""
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    length = environ.get("CONTENT_LENGTH", "")
    try:
        body = environ["wsgi.input"].read(MAX_BODY + 1)
        is_short = length.isdecimal() and len(body) < min(int(length), MAX_BODY + 1)
        status = "400 too short" if is_short else "413 too long" if len(body) > MAX_BODY else "200 OK"
        if length.isdecimal() and int(length) > MAX_BODY:
            status = "413 too long"
    except (EOFError, ValueError) as error:
        body, status = repr(error).encode(), "400 broken"
    content = json.dumps(seen | {"body": body.decode("latin1")}).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
    return [content]


def unix_listener() -> socket.socket:
    """A listening Unix socket without a file: the kernel gives it a name."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen(1000)
    return listener


class SteppedWorker:
    """An event loop, a leader election and a request runner; the test's own thread is the leader."""

    def __init__(
        self,
        application: WSGIApplication = echo,
        listener: Any = None,
        *,
        threads: int = 2,
        max_connections: int = 100,
        options: WorkerOptions | None = None,
        counts: ConnectionCounts | None = None,
    ) -> None:
        self.clock = Clock()
        self.listener = listener or unix_listener()
        self.options = options or WorkerOptions(max_body_bytes=MAX_BODY)
        counts = counts or ConnectionCounts(map_counts(), 0, self.clock)
        self.pipe = os.pipe()
        for end in self.pipe:
            os.set_blocking(end, False)
        self.loop = EventLoop([self.listener], self.pipe, counts, max_connections, self.options, self.clock)
        self.election = LeaderElection(
            self.options, threads, lambda connection: self.loop.register(connection, 0), self.clock
        )
        self.runner = RequestRunner(application, self.loop, self.election, self.options)
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.close()
        self.loop.listeners.stop()
        for connection in self.connections:
            self.loop.close(connection)
        self.listener.close()
        for end in self.pipe:
            os.close(end)

    @property
    def connections(self) -> list[Connection]:
        return list(self.loop.connections.values())

    def client(self) -> "Client":
        """Connect, and let the worker accept."""
        client = Client(self, self.listener.getsockname())
        self._resources.callback(client.close)
        self.step()
        return client

    def poll(self) -> int:
        """One round of the leader, without waiting; returns how many connections were ready or new, or 1 for others."""
        before, ready = len(self.loop.connections), 0
        for connection in self.loop.poll(0):
            ready += 1
            self.serve(connection)
        had_runnable = self.runner.has_runnable
        if not self.runner.run_queued():
            assert self.election.acquire()
        return ready + abs(len(self.loop.connections) - before) or int(had_runnable)

    def serve(self, connection: Connection) -> None:
        """Serve one connection; if a follower was promoted meanwhile, the test takes its place."""
        if not self.runner.serve(connection):
            assert self.election.acquire()

    def step(self) -> None:
        """Rounds of the leader, until there is nothing that it could do."""
        while self.poll():
            pass

    def step_until(self, condition: Callable[[], object]) -> None:
        """Rounds of the leader until something is so: for sockets over which bytes do not arrive at once."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline
            self.step()

    def expire(self, keepalive: float = 75) -> None:
        """What housekeeping does about connections that have waited for too long."""
        for connection in self.loop.expire(keepalive):
            self.runner.advance(connection)


class Client:
    """The other end of a connection."""

    def __init__(self, worker: SteppedWorker, address: Any) -> None:
        self.socket = socket.socket(worker.listener.family)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(0)
        self.is_closed = False  # by the worker
        self._worker = worker
        self._received = b""

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send, and let the worker do all that it can."""
        while data:
            data = data[self.socket.send(data) :]
            self._worker.step()

    def receive(self) -> bytes:
        """All bytes that are there and that no response has been read from."""
        try:
            while data := self.socket.recv(2**20):
                self._received += data
            self.is_closed = True
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.is_closed = True
        return self._received

    def response(self, *, has_body: bool = True) -> Response | None:
        """The next response, if it has arrived completely."""
        head, end, rest = self.receive().partition(b"\r\n\r\n")
        if not end:
            return None
        status, *lines = head.decode("latin1").split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) .+", status)
        assert found, status
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(fields.get("content-length", 0)) if has_body else 0
        if len(rest) < length:
            return None
        self._received = rest[length:]
        return Response(int(found[1]), fields, rest[:length])

    def exchange(self, data: bytes) -> Response:
        """Send, and return the response, which is complete."""
        self.send(data)
        response = self.response()
        assert response is not None, self._received
        return response
