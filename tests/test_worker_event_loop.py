"""The sockets of a worker: accepting, limits, waiting for too long, addresses, balance between workers."""

import contextlib
import errno
import logging
import os
import select
import socket
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from stepped_worker import Client, Clock, SteppedWorker, unix_listener

from service.worker import balancing
from service.worker.balancing import ConnectionCounts, map_counts
from service.worker.event_loop import ACCEPT_BACKOFF, MAX_ACCEPTS
from service.worker.options import WorkerOptions

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def worker() -> Iterator[SteppedWorker]:
    with SteppedWorker(max_connections=1000, options=WorkerOptions(request_timeout=60, max_body_bytes=1000)) as one:
        yield one


# Accepting.


class FailingListener:
    """A listening socket whose `accept` fails as long as there is an `error`."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.failures = 0
        self.socket = unix_listener()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.socket, name)

    def accept(self) -> tuple[socket.socket, Any]:
        if self.error:
            self.failures += 1
            raise self.error
        return self.socket.accept()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_file_descriptors_accepting_is_paused_and_resumed(
    caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """The client waits in the kernel's queue meanwhile, and connections that are open are served."""
    listener = FailingListener()
    with SteppedWorker(listener=listener) as worker:
        before = worker.client()
        listener.error = OSError(number, os.strerror(number))
        with caplog.at_level(logging.WARNING, "gunicorn.error"):
            waiting = worker.client()
            waiting.send(GET)
        assert waiting.response() is None
        assert before.exchange(GET).status == 200
        assert listener.failures == 1, "it does not spin"
        assert f"paused for up to a second: [Errno {number}]" in caplog.text

        worker.loop.resume_accepting()
        worker.step()
        assert listener.failures == 2
        listener.error = None
        worker.loop.resume_accepting()
        worker.step()
        response = waiting.response()
        assert response
        assert response.status == 200


def test_another_worker_may_be_faster(caplog: pytest.LogCaptureFixture) -> None:
    listener = FailingListener()
    with SteppedWorker(listener=listener) as worker:
        listener.error = BlockingIOError(errno.EAGAIN, "again")
        client = Client(worker, listener.getsockname())
        worker.poll()
        assert not worker.connections
        listener.error = None
        assert client.exchange(GET).status == 200
        client.close()
    assert not caplog.records


def test_no_more_connections_than_the_limit() -> None:
    with SteppedWorker(max_connections=2) as worker:
        first, second, third = (worker.client() for _ in range(3))
        third.send(GET)
        assert len(worker.connections) == 2
        assert third.response() is None
        assert second.exchange(GET).status == 200
        worker.loop.resume_accepting()
        worker.step()
        assert third.response() is None, "the limit still holds"
        first.close()
        worker.step()
        worker.loop.resume_accepting()
        worker.step()
        assert third.response()
        assert len(worker.connections) == 2


def test_after_stop_listening_the_backlog_is_served_and_later_clients_are_refused(worker: SteppedWorker) -> None:
    address = worker.listener.getsockname()
    waiting = Client(worker, address)
    worker.loop.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        Client(worker, address)
    assert waiting.exchange(GET).status == 200
    waiting.close()


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_busy_worker_accepts_many_connections_in_a_row(
    worker: SteppedWorker,
    is_busy: bool,  # noqa: FBT001
) -> None:
    """Its listener is ready once a round of all connections that are ready; an idle worker leaves some to others."""
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            client = Client(worker, worker.listener.getsockname())
            stack.callback(client.close)
            client.socket.send(b"x" if is_busy else b"")
        rounds = ready = 0
        while len(worker.connections) < 150:
            before = len(worker.connections)
            ready += len(list(worker.loop.poll(0)))  # none is served: each stays ready
            rounds += len(worker.connections) > before
        assert rounds < 50 if is_busy else rounds == 150
        assert ready < 1000  # with one connection a round, it would be 11,000


def test_a_long_backlog_is_accepted_in_parts() -> None:
    with SteppedWorker(max_connections=1000) as worker, contextlib.ExitStack() as stack:
        for _ in range(MAX_ACCEPTS + 1):
            stack.callback(Client(worker, worker.listener.getsockname()).close)
        worker.loop._accept_backlog()
        assert len(worker.connections) == MAX_ACCEPTS


def test_a_byte_in_the_pipe_ends_a_poll(worker: SteppedWorker) -> None:
    for _ in range(3):
        worker.loop.wake()
    assert list(worker.loop.poll(60)) == []
    for _ in range(2**17):  # more than a pipe holds
        worker.loop.wake()
    assert list(worker.loop.poll(60)) == []


# Connections that wait for too long.


def test_idle_connections_are_closed_after_keepalive(worker: SteppedWorker) -> None:
    new, used = worker.client(), worker.client()
    worker.clock.advance(50)
    assert used.exchange(GET).status == 200
    worker.clock.advance(50)
    worker.expire(keepalive=75)
    assert new.receive() == b""
    assert (new.is_closed, used.is_closed) == (True, False)
    assert used.exchange(GET).status == 200
    worker.clock.advance(76)
    worker.expire(keepalive=75)
    assert used.receive() == b""
    assert used.is_closed
    assert not worker.connections


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHos", None, id="in the head"),
        pytest.param(POST + b"Content-Length: 5\r\n\r\nhel", 400, id="in the body"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", 400, id="in a chunk"),
    ],
)
def test_a_request_must_arrive_within_the_request_timeout(
    worker: SteppedWorker, beginning: bytes, status: int | None
) -> None:
    """Counted from its first byte, however many arrive meanwhile; a head alone gets no response."""
    client, other = worker.client(), worker.client()
    worker.clock.advance(1000)
    for byte in beginning:
        client.send(bytes([byte]))
        worker.clock.advance(59 / len(beginning))
        worker.expire(keepalive=10_000)
    assert client.receive() == b""
    assert not client.is_closed
    worker.clock.advance(2)
    worker.expire(keepalive=10_000)
    response = client.response()
    assert (response and response.status) == status
    assert client.receive() == b""
    assert client.is_closed
    assert len(worker.connections) == 1
    assert other.exchange(GET).status == 200


def test_a_client_that_stops_reading_is_closed_after_the_request_timeout(worker: SteppedWorker) -> None:
    client = worker.client()
    client.send(GET * 2000)
    worker.clock.advance(59)
    worker.expire()
    (connection,) = worker.connections
    assert connection.write_buffer
    client.receive()
    worker.step()
    worker.clock.advance(59)
    worker.expire()
    assert worker.connections, "it has read meanwhile"
    worker.clock.advance(2)
    worker.expire()
    assert not worker.connections


def test_after_the_last_response_a_client_has_a_moment_to_read_it(worker: SteppedWorker) -> None:
    client = worker.client()
    client.send(b"nonsense\r\n\r\n")
    worker.clock.advance(1)
    client.send(b"more nonsense")
    worker.clock.advance(1.5)
    worker.expire(drain_grace=2)
    assert worker.connections
    worker.clock.advance(1)
    worker.expire(drain_grace=2)
    assert not worker.connections
    response = client.response()
    assert response
    assert response.status == 400


# Addresses.


def test_a_unix_socket_has_a_name_and_a_port(worker: SteppedWorker) -> None:
    environ = worker.client().exchange(GET).environ
    name = os.fsdecode(worker.listener.getsockname())
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, "80")
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("", "")


def test_a_unix_socket_may_be_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("s") / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with SteppedWorker(listener=listener) as worker:
            assert worker.client().exchange(GET).environ["SERVER_NAME"] == str(path)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_addresses_of_tcp(family: socket.AddressFamily, host: str) -> None:
    listener = socket.socket(family)
    try:
        listener.bind((host, 0))
    except OSError:
        pytest.skip(f"{host} is not there")
    listener.listen()
    with SteppedWorker(listener=listener) as worker:
        client = Client(worker, listener.getsockname())
        client.socket.send(GET)
        worker.step_until(client.receive)
        response = client.response()
        assert response
        environ = response.environ
        assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (host, str(listener.getsockname()[1]))
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (host, str(client.socket.getsockname()[1]))
        (connection,) = worker.connections
        assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        client.close()


@pytest.mark.parametrize("sent", [b"", b"GET /", GET, POST + b"Content-Length: 5\r\n\r\nhel"])
def test_a_reset_over_tcp_leaves_nothing_behind(caplog: pytest.LogCaptureFixture, sent: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with SteppedWorker(listener=listener) as worker:
        raw = socket.create_connection(listener.getsockname())
        worker.step_until(lambda: worker.connections)
        raw.send(sent)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        raw.close()
        worker.step_until(lambda: not worker.connections)
    assert not caplog.records


# Balance between workers.


@contextlib.contextmanager
def two_workers(first: int = 1, second: int = 2) -> Iterator[tuple[SteppedWorker, SteppedWorker, Clock]]:
    """Two workers that accept from one listener and share a clock."""
    memory, clock = map_counts(), Clock()
    with unix_listener() as listener, contextlib.ExitStack() as stack:
        workers = []
        for number in (first, second):
            counts = ConnectionCounts(memory, number, clock)
            worker = stack.enter_context(SteppedWorker(listener=listener.dup(), counts=counts))
            worker.loop.clock = clock
            workers.append(worker)
        yield workers[0], workers[1], clock


def connect(stack: contextlib.ExitStack, worker: SteppedWorker, count: int) -> None:
    """Open connections that no worker accepts yet."""
    for _ in range(count):
        client = Client(worker, worker.listener.getsockname())
        stack.callback(client.close)


def rounds(worker: SteppedWorker, count: int = 20) -> int:
    """So many rounds of its leader; returns how many connections it has then."""
    for _ in range(count):
        worker.poll()
    return len(worker.connections)


def test_a_worker_leaves_new_connections_to_one_that_has_fewer() -> None:
    with two_workers() as (first, second, _), contextlib.ExitStack() as stack:
        connect(stack, first, 20)
        assert rounds(first) == 3, "it has over 2 more than the other, and backs off"
        assert rounds(second) == 6, "it has got ahead itself"
        assert rounds(first) == 10, "the other has caught up, so it continues"
        assert rounds(second) == 10


def test_a_worker_accepts_the_whole_backlog_if_the_other_one_does_not() -> None:
    with two_workers() as (first, _, clock), contextlib.ExitStack() as stack:
        connect(stack, first, 20)
        assert rounds(first) == 3
        clock.advance(ACCEPT_BACKOFF * 0.9)
        assert rounds(first) == 3
        clock.advance(ACCEPT_BACKOFF * 0.2)
        assert rounds(first, 1) == 20


def test_a_worker_does_not_wait_for_one_that_has_stopped_accepting() -> None:
    with two_workers() as (first, second, _), contextlib.ExitStack() as stack:
        connect(stack, first, 20)
        assert rounds(first) == 3
        second.loop.pause_accepting()
        assert rounds(first) == 20


def test_a_worker_that_is_backing_off_can_pause_and_stop() -> None:
    with two_workers() as (first, second, clock), contextlib.ExitStack() as stack:
        connect(stack, first, 20)
        assert rounds(first) == 3
        first.loop.pause_accepting()
        clock.advance(1)
        assert rounds(first) == 3
        first.loop.resume_accepting()
        assert rounds(first) == 4
        second.loop.stop_listening()
        assert len(second.connections) == 16, "the backlog"
        first.loop.stop_listening()


def test_a_worker_without_a_heartbeat_is_not_counted_on() -> None:
    memory, clock = map_counts(), Clock()
    alive, silent = ConnectionCounts(memory, 3, clock), ConnectionCounts(memory, 4, clock)
    for counts, count in ((alive, 9), (silent, 0)):
        counts.heartbeat()
        counts.publish(count)
    assert alive.is_overloaded()
    clock.advance(balancing.STALE_AFTER - 1)
    alive.heartbeat()
    assert alive.is_overloaded()
    clock.advance(2)
    alive.heartbeat()
    assert not alive.is_overloaded()


@pytest.mark.parametrize(
    ("own", "other", "is_overloaded"),
    [(2, 0, False), (3, 0, True), (3, 1, False), (16, 12, False), (17, 12, True), (80, 69, False), (80, 67, True)],
)
def test_how_many_more_connections_a_worker_may_have(
    own: int,
    other: int,
    is_overloaded: bool,  # noqa: FBT001
) -> None:
    memory = map_counts()
    mine, others = ConnectionCounts(memory, 0, Clock()), ConnectionCounts(memory, 1, Clock())
    mine.publish(own)
    others.publish(other)
    assert mine.is_overloaded() == is_overloaded
    assert not others.is_overloaded()


def test_counts_are_seen_by_other_processes() -> None:
    memory = map_counts()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: this one only writes and ends
        child = os.fork()
    if child == 0:
        ConnectionCounts(memory, 1, Clock()).publish(7)
        os._exit(0)
    os.waitpid(child, 0)
    mine = ConnectionCounts(memory, 0, Clock())
    mine.publish(20)
    assert mine.is_overloaded()
    mine.publish(7)
    assert not mine.is_overloaded()


def test_a_connection_that_is_being_run_is_not_polled(worker: SteppedWorker) -> None:
    client = worker.client()
    (connection,) = worker.connections
    worker.loop.register(connection, 0)
    client.socket.send(GET)
    assert list(worker.loop.poll(0)) == []
    worker.clock.advance(1000)
    worker.expire()
    assert worker.connections, "nor is it closed for having waited"
    worker.loop.register(connection, select.EPOLLIN)
    assert list(worker.loop.poll(0)) == [connection]
