"""The sockets of a worker: accepting, limits, waiting for too long, addresses, balance between workers."""

import contextlib
import errno
import logging
import math
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
from service.worker.connection import LINGER, SPARE_SECONDS, State
from service.worker.event_loop import BUSY_EVENTS, EVICT_AFTER, FEW_EVENTS, SPARE_CONNECTIONS
from service.worker.listeners import ACCEPT_BACKOFF, MAX_ACCEPTS
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


def test_when_all_connections_are_in_use_the_idle_ones_are_closed_the_oldest_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with SteppedWorker(max_connections=3) as worker:
        oldest = worker.client()
        worker.clock.advance(EVICT_AFTER)
        begun = worker.client()
        begun.send(GET[:-2])
        worker.clock.advance(1)
        recent = worker.client()
        recent.exchange(GET)
        assert oldest.receive() == b""
        assert oldest.is_closed, "it has been idle for longest"
        worker.clock.advance(EVICT_AFTER)
        assert recent.exchange(GET).status == 200
        later = worker.client()
        assert begun.receive() == b""
        assert begun.is_closed, "its head has not arrived for long"
        assert recent.exchange(GET).status == 200
        assert later.exchange(GET).status == 200
    assert caplog.text.count("all 3 connections are in use; idle ones are closed") == 1, "in a minute"


def test_while_no_connection_is_idle_spare_ones_are_for_health_checks() -> None:
    """Those with a safe method; each is closed after its response."""
    with SteppedWorker(max_connections=2) as worker:
        for _ in range(2):
            worker.client().send(POST + b"Content-Length: 900\r\n\r\nhel")
        probe, other = worker.client(), worker.client()
        response = probe.exchange(GET)
        assert (response.status, response.fields["connection"]) == (200, "close")
        assert probe.receive() == b""
        assert probe.is_closed
        response = other.exchange(POST + b"Content-Length: 5\r\n\r\nhello")
        assert (response.status, response.fields["retry-after"]) == (503, "1")
        assert response.fields["connection"] == "close"
        assert b"all connections of this worker are in use (max_connections)" in response.body


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", POST + b"Content-Length: 900\r\n\r\nx"])
def test_connections_that_are_of_no_use_make_room_for_others(sent: bytes) -> None:
    """Those that only discard what arrives, and those whose body hardly does."""
    with SteppedWorker(max_connections=2) as worker:
        for _ in range(2):
            worker.client().send(sent)
        worker.clock.advance(EVICT_AFTER + 0.1)
        worker.client()
        assert len(worker.connections) == 1


def test_a_spare_connection_may_be_open_for_a_second_only() -> None:
    with SteppedWorker(max_connections=1) as worker:
        worker.client().send(POST + b"Content-Length: 5\r\n\r\nhel")
        spare = worker.client()
        worker.clock.advance(SPARE_SECONDS)
        worker.expire()
        assert len(worker.connections) == 2
        worker.clock.advance(0.1)
        worker.expire()
        assert len(worker.connections) == 1
        spare.receive()
        assert spare.is_closed


def test_no_more_connections_than_the_limit_and_the_spare_ones() -> None:
    """The next one waits in the kernel's queue until one of them is closed."""
    with SteppedWorker(max_connections=1) as worker:
        clients = [worker.client() for _ in range(SPARE_CONNECTIONS + 2)]
        waiting = clients[-1]
        waiting.send(GET)
        assert len(worker.connections) == SPARE_CONNECTIONS + 1
        worker.loop.resume_accepting()
        worker.step()
        assert waiting.response() is None, "the limit still holds"
        clients[0].close()
        worker.step()
        worker.loop.resume_accepting()
        worker.step()
        assert waiting.response()


def test_after_stop_listening_the_backlog_is_served_and_later_clients_are_refused(worker: SteppedWorker) -> None:
    address = worker.listener.getsockname()
    waiting = Client(worker, address)
    worker.loop.listeners.stop()
    with pytest.raises(ConnectionRefusedError):
        Client(worker, address)
    assert waiting.exchange(GET).status == 200
    waiting.close()


@pytest.mark.parametrize(("ready", "taken"), [(3, 3), (BUSY_EVENTS, FEW_EVENTS), (BUSY_EVENTS + 1, BUSY_EVENTS + 1)])
def test_few_connections_are_taken_at_a_time_unless_many_are_ready(
    worker: SteppedWorker, ready: int, taken: int
) -> None:
    """One that becomes ready meanwhile would wait for all of them, and for all of the next time."""
    with contextlib.ExitStack() as stack:
        clients = [Client(worker, worker.listener.getsockname()) for _ in range(ready)]
        for client in clients:
            stack.callback(client.close)
        while len(worker.connections) < ready:
            worker.step()
        for client in clients:
            client.socket.send(b"x")
        assert len(list(worker.loop.poll(0))) == taken
        assert worker.loop.is_busy == (ready > BUSY_EVENTS)


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
        worker.loop.listeners.accept_backlog()
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
    ("beginning", "words"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHos", "head of the request has not arrived within 60 s", id="head"),
        pytest.param(POST + b"Content-Length: 5\r\n\r\nhel", "too slow after 3 bytes", id="body"),
        pytest.param(POST + b"Content-Length: 9999\r\n\r\nhel", "too slow after 3 bytes", id="long body"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "too slow after 3 bytes", id="chunk"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y", "too slow after 0 bytes", id="trailer"),
    ],
)
def test_a_request_must_arrive_within_the_request_timeout(beginning: bytes, words: str) -> None:
    """Counted from its first byte, however many arrive meanwhile."""
    with SteppedWorker(options=WorkerOptions(request_timeout=60)) as worker:
        stops_within(worker, beginning, words)


def stops_within(worker: SteppedWorker, beginning: bytes, words: str) -> None:
    """A client that sends slowly gets 408 after the timeout; another one is served."""
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
    assert response
    assert (response.status, response.fields["connection"]) == (408, "close")
    assert words in response.body.decode()
    assert "(request_timeout)" in response.body.decode()
    assert client.receive() == b""
    assert client.is_closed
    assert other.exchange(GET).status == 200
    assert worker.loop.memory.bodies == 0


def test_a_slow_body_passes_if_it_is_steady() -> None:
    """By the rate that is asked for, in each period; for however many periods."""
    options = WorkerOptions(request_timeout=60, min_rate=10)
    with SteppedWorker(options=options) as worker:
        client = worker.client()
        client.send(POST + b"Content-Length: 9000\r\n\r\n")
        for _ in range(15):
            client.send(b"x" * 600)
            worker.clock.advance(60.1)
            worker.expire()
        response = client.response()
        assert response
        assert response.status == 413, "of the application: it has arrived"


def test_a_body_that_stops_half_way_is_cut_off() -> None:
    """What has come before does not count."""
    options = WorkerOptions(request_timeout=60, min_rate=10)
    with SteppedWorker(options=options) as worker:
        client = worker.client()
        client.send(POST + b"Content-Length: 9000\r\n\r\n" + b"x" * 8999)
        worker.clock.advance(61)
        worker.expire()
        assert client.response() is None
        worker.clock.advance(61)
        worker.expire()
        response = client.response()
        assert response
        assert response.status == 408


def unread(worker: SteppedWorker) -> Client:
    """A client that has not read its response, of which the socket has taken a part."""
    client = worker.client()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.send(b"GET /" + b"x" * 30_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n" + GET * 2000)
    assert [one for one in worker.connections if one.write_buffer]
    return client


def test_a_client_that_stops_reading_is_closed_after_the_request_timeout() -> None:
    with SteppedWorker(options=WorkerOptions(request_timeout=60, min_rate=1)) as worker:
        client = unread(worker)
        assert worker.loop.memory.responses > 0
        worker.clock.advance(59)
        worker.expire()
        client.receive()
        worker.step()
        worker.clock.advance(2)
        worker.expire()
        assert worker.connections, "it has read meanwhile"
        worker.clock.advance(60)
        worker.expire()
        assert not worker.connections
        assert worker.loop.memory.responses == 0


def test_a_client_that_reads_too_slowly_is_closed() -> None:
    with SteppedWorker(options=WorkerOptions(request_timeout=60, min_rate=10_000)) as worker:
        client = unread(worker)
        client.receive()
        worker.step()
        worker.clock.advance(61)
        worker.expire()
        assert not worker.connections


def test_after_the_last_response_a_client_has_a_moment_to_read_it(worker: SteppedWorker) -> None:
    client = worker.client()
    client.send(b"nonsense\r\n\r\n")
    worker.clock.advance(1)
    client.send(b"more nonsense")
    worker.clock.advance(LINGER - 0.5)
    worker.expire()
    assert worker.connections
    worker.clock.advance(1)
    worker.expire()
    assert not worker.connections
    response = client.response()
    assert response
    assert response.status == 400


def test_what_is_discarded_after_the_last_response_may_not_go_on_for_ever(worker: SteppedWorker) -> None:
    client = worker.client()
    client.send(b"nonsense\r\n\r\n")
    for _ in range(60):
        worker.clock.advance(1)
        client.send(b"x")
        worker.expire()
    assert worker.connections
    worker.clock.advance(1)
    worker.expire()
    assert not worker.connections


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
            worker.loop.clock = worker.loop.listeners._clock = clock
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
        second.loop.listeners.pause(math.inf)
        assert rounds(first) == 20


def test_a_worker_that_is_backing_off_can_pause_and_stop() -> None:
    with two_workers() as (first, second, clock), contextlib.ExitStack() as stack:
        connect(stack, first, 20)
        assert rounds(first) == 3
        first.loop.listeners.pause(math.inf)
        clock.advance(1)
        assert rounds(first) == 3
        first.loop.resume_accepting()
        assert rounds(first) == 4
        second.loop.listeners.stop()
        assert len(second.connections) == 16, "the backlog"
        first.loop.listeners.stop()


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


def test_a_connection_may_be_closed_twice_and_while_others_are_looked_through(worker: SteppedWorker) -> None:
    """A thread that has run a slow request closes its connection if the client has gone."""
    for _ in range(5):
        worker.client()
    for connection in worker.connections:
        worker.loop.close(connection)
        worker.loop.close(connection)
    assert not worker.connections


def test_a_connection_that_is_being_run_is_not_polled(worker: SteppedWorker) -> None:
    client = worker.client()
    (connection,) = worker.connections
    worker.loop.register(connection, 0)
    connection.state = State.RUNNING
    client.socket.send(GET)
    assert list(worker.loop.poll(0)) == []
    worker.clock.advance(1000)
    worker.expire()
    assert worker.connections, "nor is it closed for having waited"
    worker.loop.register(connection, select.EPOLLIN)
    assert list(worker.loop.poll(0)) == [connection]
