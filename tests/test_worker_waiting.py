"""Requests that wait for each other, as in a batch: others are served meanwhile, and a wait can come to nothing."""

import contextlib
import gc
import socket
import threading
import weakref
from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from stepped_worker import DEADLINE, MAX_BODY, echo
from test_worker_threads import GET, exchange, running, wait_until

from service.worker.leader import EXTRA_THREADS, LONG_AFTER, InFlight, LeaderElection, Waiting
from service.worker.options import WorkerOptions

WAIT = b"POST /wait HTTP/1.1\r\nHost: x\r\n\r\n"


class Batch:
    """An application in which a request to /wait waits until the batch is run, or gives up, and then says why."""

    def __init__(self) -> None:
        self.events: list[threading.Event] = []
        self.has_begun = False
        self.expected = 0.0  # seconds

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/wait":
            return echo(environ, start_response)
        done = threading.Event()
        self.events.append(done)
        reason = environ["worker.wait"](done, lambda: self._remove(done), self.expected)
        content = (reason or "done").encode()
        start_response("503 Service Unavailable" if reason else "200 OK", [("Content-Length", str(len(content)))])
        return [content]

    def _remove(self, done: threading.Event) -> bool:
        if self.has_begun or done not in self.events:
            return False
        self.events.remove(done)
        return True

    def run(self) -> None:
        for done in self.events:
            done.set()


def options(waiting_threads: int = 3, queue_timeout: float = DEADLINE) -> WorkerOptions:
    return WorkerOptions(max_body_bytes=MAX_BODY, waiting_threads=waiting_threads, queue_timeout=queue_timeout)


def test_others_are_served_while_requests_wait() -> None:
    batch = Batch()
    with running(batch, options(), threads=1) as worker, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(worker.connect()) for _ in range(3)]
        for client in clients:
            client.sendall(WAIT)
        wait_until(lambda: len(batch.events) == 3)
        with worker.connect() as other:
            assert exchange(other).startswith(b"HTTP/1.1 200")
            assert exchange(other, b"POST /quick HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")
        batch.run()
        assert all(client.recv(2**16).endswith(b"done") for client in clients)


def test_health_is_answered_when_all_threads_wait_and_the_rest_waits_its_turn() -> None:
    batch, threads = Batch(), 1
    with running(batch, options(), threads=threads) as worker, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(worker.connect()) for _ in range(8)]
        for client in clients:
            client.sendall(WAIT)
        wait_until(lambda: len(batch.events) >= 3 + threads)
        with worker.connect() as other:
            assert exchange(other).startswith(b"HTTP/1.1 200")
        assert len(batch.events) <= 3 + threads + EXTRA_THREADS - 1

        def run_batches() -> bool:
            batch.run()
            return len(batch.events) == 8

        wait_until(run_batches)
        batch.run()
        assert all(client.recv(2**16).endswith(b"done") for client in clients)


def test_a_client_that_hangs_up_ends_the_wait_and_its_connection() -> None:
    batch = Batch()
    with running(batch, options(), threads=1) as worker:
        client = worker.connect()
        client.sendall(WAIT)
        wait_until(lambda: batch.events)
        client.close()
        wait_until(lambda: not batch.events)
        wait_until(lambda: not worker.worker._loop.connections)


def test_a_wait_that_cannot_be_given_up_goes_on() -> None:
    """The client has shut its sending side down, and gets its response."""
    batch = Batch()
    batch.has_begun = True
    with running(batch, options(queue_timeout=0.01), threads=1) as worker, worker.connect() as client:
        client.sendall(WAIT)
        wait_until(lambda: batch.events)
        client.shutdown(socket.SHUT_WR)
        wait_until(lambda: worker.worker._election.slow)
        batch.run()
        assert client.recv(2**16).endswith(b"done")


def test_a_wait_ends_when_the_time_of_the_request_is_over() -> None:
    with running(Batch(), options(queue_timeout=0.01), threads=1) as worker, worker.connect() as client:
        response = exchange(client, WAIT)
        assert response.startswith(b"HTTP/1.1 503")
        assert response.endswith(b"no batch in time (queue_timeout): try again later")
        assert exchange(client).startswith(b"HTTP/1.1 200"), "the connection stays open"


def test_a_wait_that_will_be_too_long_does_not_begin() -> None:
    batch = Batch()
    batch.expected = 0.6
    with running(batch, options(queue_timeout=1.0), threads=1) as worker, worker.connect() as client:
        response = exchange(client, WAIT)
        assert response.startswith(b"HTTP/1.1 503")
        assert b"the request would wait for some 0.6 s, and 0.5 of 1 s are allowed (queue_timeout)" in response
        assert batch.events == []


def test_the_connection_serves_on_after_a_wait() -> None:
    batch = Batch()
    with running(batch, options(), threads=1) as worker, worker.connect() as client:
        for _ in range(3):
            client.sendall(WAIT)
            wait_until(lambda: batch.events)
            batch.run()
            assert client.recv(2**16).endswith(b"done")
            batch.events.clear()
        assert exchange(client).startswith(b"HTTP/1.1 200")


def test_a_request_that_has_waited_is_freed_without_the_garbage_collector() -> None:
    """It may hold a body of many megabytes."""
    batch, seen = Batch(), []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(weakref.ref(environ["wsgi.input"]))
        return batch(environ, start_response)

    gc.disable()
    try:
        with running(application, options(), threads=1) as worker, worker.connect() as client:
            client.sendall(WAIT)
            wait_until(lambda: batch.events)
            batch.run()
            assert client.recv(2**16).endswith(b"done")
            assert exchange(client, GET).startswith(b"HTTP/1.1 200")
            wait_until(lambda: seen[0]() is None)
    finally:
        gc.enable()


def in_flight(number: int, started_at: float = 0.0) -> InFlight:
    return InFlight(number, None, started_at)  # type: ignore[arg-type]  # the election only compares them


@pytest.mark.parametrize(("waiting", "is_saturated"), [(0, True), (1, False)])
def test_a_request_that_waits_keeps_no_slow_one_waiting(waiting: int, is_saturated: bool) -> None:  # noqa: FBT001
    election = LeaderElection(options(), 2, lambda _connection: None, lambda: LONG_AFTER / 2)
    one = in_flight(1)
    if waiting:
        one.waiting = Waiting(threading.Event(), _never)
    election.slow = {one.connection: one}
    assert election.is_saturated == is_saturated
    assert election.running == 1


_never: Callable[[], bool] = lambda: False  # noqa: E731


def test_no_slow_request_takes_the_last_thread_that_could_lead() -> None:
    election = LeaderElection(options(), 1, lambda _connection: None, lambda: 0.0)
    for number in range(election.total_threads - 1):
        one = in_flight(number)
        one.waiting = Waiting(threading.Event(), _never)
        election.slow[one.connection] = one
    assert election.is_exhausted
    assert election.is_saturated
