"""Which requests wait, and which are rejected because they would wait for too long; a clock that stands still."""

import logging
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import cast
from unittest.mock import Mock
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from stepped_worker import DEADLINE, Client, Clock, SteppedWorker, echo

from service.worker.admission import MAX_PACE, QUICK, Admission
from service.worker.connection import Connection
from service.worker.estimates import MAX_ESTIMATES, UNKNOWN_QUICK_BITS, WEIGHT_OF_LESS, WEIGHT_OF_MORE, Estimates
from service.worker.http_parser import MAX_AHEAD
from service.worker.leader import LONG_AFTER, InFlight, LeaderElection
from service.worker.options import WorkerOptions
from service.worker.request_body import RequestBody
from service.worker.request_head import Overloaded
from service.worker.request_runner import MAX_IN_A_ROW
from service.worker.wsgi import ParsedRequest

POST = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = 2**UNKNOWN_QUICK_BITS


class Timed:
    """An application in which a request takes as many seconds as its path says, on the worker's clock.

    A request to /gate waits until it is let through.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.entered = threading.Semaphore(0)
        self.through = threading.Semaphore(0)
        self.paths: list[str] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        name = environ["PATH_INFO"][1:]
        self.paths.append(name)
        if name == "gate":
            self.entered.release()
            assert self.through.acquire(timeout=DEADLINE)
        elif name != "health":
            self.clock.advance(float(name))
        return echo(environ, start_response)


class OverloadedWorker(SteppedWorker):
    """One slow request runs in a thread, and no other slow one may: what comes now has to wait."""

    def __init__(self, **options: float) -> None:
        self.application = Timed()
        super().__init__(self.application, threads=1, options=WorkerOptions(**options))  # type: ignore[arg-type]
        self.clock = self.loop.clock = self.runner.admission._clock = self.application.clock
        self.election._clock = self.clock
        self.loop.limit_log._clock = self.clock

    def learn(self, path: bytes) -> None:
        """Run a request once, so that the next one of its kind is known."""
        response = self.client().exchange(POST % path)
        assert response.status == 200
        self.application.paths.clear()

    def block(self, client: Client | None = None) -> threading.Thread:
        """Let a request in that is slow, on another thread; by default one of another client."""
        if client is None:
            self.client().socket.send(POST % b"gate")
        thread = threading.Thread(target=self._lead)
        thread.start()
        assert self.application.entered.acquire(timeout=DEADLINE)
        if self.election.current:
            self.election.promote_follower(self.election.current)
        assert self.election.acquire()
        return thread

    def unblock(self, thread: threading.Thread) -> None:
        self.application.through.release()
        thread.join()
        self.step()

    def _lead(self) -> None:
        is_leader = True
        while is_leader:
            is_leader = all(self.runner.serve(connection) for connection in self.loop.poll(0))
            is_leader = is_leader and self.runner.run_queued()


@pytest.fixture
def worker() -> Iterator[OverloadedWorker]:
    with OverloadedWorker(queue_timeout=1.0) as one:
        yield one


def error(client: Client) -> str:
    response = client.response()
    assert response
    assert response.status == 503
    return response.body.decode()


def test_a_request_that_is_known_to_be_slow_waits_for_a_thread_and_a_quick_one_does_not(
    worker: OverloadedWorker,
) -> None:
    for path in (b"0.1", b"0.001"):
        worker.learn(path)
    thread = worker.block()
    slow, quick = worker.client(), worker.client()
    slow.send(POST % b"0.1")
    assert slow.response() is None
    assert quick.exchange(POST % b"0.001").status == 200
    worker.unblock(thread)
    assert slow.response()
    assert worker.application.paths == ["gate", "0.001", "0.1"]


def test_a_request_that_would_wait_for_too_long_is_rejected_at_once(worker: OverloadedWorker) -> None:
    """Each takes 0.2 seconds: a fourth one would have to wait for 0.6. Its connection stays open.

    Half of the time that a request may wait is left for errors of the estimates.
    """
    worker.learn(b"0.2")
    thread = worker.block()
    clients = [worker.client() for _ in range(4)]
    for client in clients:
        client.send(POST % b"0.2")
    assert [client.response() for client in clients[:3]] == [None] * 3
    response = clients[3].response()
    assert response
    assert (response.status, response.fields["retry-after"]) == (503, "1")
    assert b"the request would wait for some 0.6 s" in response.body
    assert b"0.5 of 1 s are allowed (queue_timeout)" in response.body
    assert clients[3].exchange(GET).status == 200
    worker.unblock(thread)
    assert [client.response() is not None for client in clients[:3]] == [True] * 3


def test_what_a_running_request_still_takes_is_counted(worker: OverloadedWorker) -> None:
    worker.learn(b"0.2")
    worker.runner.admission.estimates._seconds["POST", "/gate", 0] = 0.2
    thread = worker.block()
    clients = [worker.client() for _ in range(3)]
    for client in clients:
        client.send(POST % b"0.2")
    assert "the request would wait for some 0.6 s" in error(clients[2])
    worker.clock.advance(0.15)
    clients[2].send(POST % b"0.2")
    assert clients[2].response() is None, "0.45 now"
    worker.unblock(thread)
    assert all(client.response() for client in clients)


def test_a_request_that_has_waited_for_too_long_is_rejected(worker: OverloadedWorker) -> None:
    worker.learn(b"0.1")
    thread = worker.block()
    client = worker.client()
    client.send(POST % b"0.1")
    worker.clock.advance(0.9)
    worker.runner.admission.estimates._seconds["POST", "/gate", 0] = 0.0
    worker.runner.run_queued()
    assert client.response() is None
    worker.clock.advance(0.2)
    worker.runner.run_queued()
    assert "the request has waited for 1.1 s, and 1 s are allowed" in error(client)
    assert client.exchange(GET).status == 200
    worker.unblock(thread)
    assert "0.1" not in worker.application.paths


def test_a_request_that_will_have_waited_for_too_long_is_rejected_before(worker: OverloadedWorker) -> None:
    """The last one: those before it take longer than was expected."""
    worker.learn(b"0.2")
    thread = worker.block()
    clients = [worker.client() for _ in range(3)]
    for client in clients:
        client.send(POST % b"0.2")
    worker.runner.admission._passed, worker.runner.admission._estimated = 4.0, 1.0
    worker.step()
    assert "the request would wait for some 1.6 s" in error(clients[2])
    assert [client.response() for client in clients[:2]] == [None, None]
    worker.unblock(thread)


def test_no_more_requests_wait_than_the_limit() -> None:
    with OverloadedWorker(max_queued=2) as worker:
        worker.runner.admission.estimates._seconds["POST", "/0.1", 0] = 2 * QUICK
        thread = worker.block()
        clients = [worker.client() for _ in range(3)]
        for client in clients:
            client.send(POST % b"0.1")
        assert "2 requests are waiting, and no more may (max_queued)" in error(clients[2])
        worker.unblock(thread)


def test_health_is_served_while_others_wait_and_when_they_are_rejected(worker: OverloadedWorker) -> None:
    worker.learn(b"0.4")
    thread = worker.block()
    clients = [worker.client() for _ in range(10)]
    for client in clients:
        client.send(POST % b"0.4")
        assert worker.client().exchange(GET).status == 200
    worker.unblock(thread)


def test_a_client_that_hangs_up_while_it_waits_is_forgotten(worker: OverloadedWorker) -> None:
    """Its request is never run, and what others have to wait for is less."""
    worker.learn(b"0.3")
    thread = worker.block()
    gone, rejected, served = (worker.client() for _ in range(3))
    gone.send(POST % b"0.3")
    rest = worker.client()
    rest.send(POST % b"0.3")
    rejected.send(POST % b"0.3")
    assert error(rejected)
    gone.close()
    worker.step()
    served.send(POST % b"0.3")
    worker.unblock(thread)
    assert served.response()
    assert worker.application.paths == ["gate", "0.3", "0.3"]


def test_a_client_that_closes_its_side_while_it_waits_is_told_so(worker: OverloadedWorker) -> None:
    worker.learn(b"0.3")
    thread = worker.block()
    client = worker.client()
    client.send(POST % b"0.3")
    client.socket.shutdown(socket.SHUT_WR)
    worker.step()
    assert "the client has closed the connection while its request was waiting" in error(client)
    assert client.receive() == b""
    assert client.is_closed
    worker.unblock(thread)


def test_a_client_that_sends_more_while_it_waits_has_its_responses_in_order(worker: OverloadedWorker) -> None:
    worker.learn(b"0.3")
    thread = worker.block()
    client = worker.client()
    client.send(POST % b"0.3")
    client.socket.send(GET)
    for _ in range(3):
        worker.poll()
    client.socket.send(POST % b"0.25")
    worker.poll()
    assert client.response() is None
    worker.unblock(thread)
    paths = []
    for _ in range(3):
        response = client.response()
        assert response
        paths.append(response.environ["PATH_INFO"])
    assert paths == ["/0.3", "/health", "/0.25"]


def test_what_arrives_before_the_next_turn_of_a_connection_waits_for_it() -> None:
    """After many requests in a row, say: the connection must not be read, and run, a second time meanwhile."""
    with SteppedWorker() as worker:
        client = worker.client()
        client.socket.send(GET * MAX_IN_A_ROW)
        for connection in worker.loop.poll(0):
            worker.serve(connection)
        client.socket.send(POST % b"0")
        worker.step()
        for _ in range(MAX_IN_A_ROW + 1):
            assert client.response()
        assert client.exchange(GET).status == 200


def test_what_arrives_after_a_request_has_expired_waits_for_the_next_turn(worker: OverloadedWorker) -> None:
    worker.learn(b"0.1")
    thread = worker.block()
    client = worker.client()
    client.send(POST % b"0.1")
    worker.clock.advance(1.1)
    worker.runner.run_queued()
    assert error(client)
    client.socket.send(POST % b"0.001")
    worker.unblock(thread)
    assert client.response()
    assert worker.application.paths == ["gate", "0.001"]


def test_requests_that_were_not_parsed_yet_are_run_after_a_slow_one(worker: OverloadedWorker) -> None:
    """Their heads are so long that they are parsed one at a time, and the last one that is parsed ahead is slow."""
    client, head = worker.client(), b"X-A: " + b"a" * 600
    long_request = (POST % b"%s").replace(b"Host: x", b"Host: x\r\n" + head)
    client.socket.send(b"".join(long_request % path for path in [b"0"] * (MAX_AHEAD - 1) + [b"gate", b"0", b"0"]))
    thread = worker.block(client)
    worker.unblock(thread)
    for _ in range(MAX_AHEAD + 2):
        assert client.response()
    assert worker.poll() == 0, "nothing is left to do"
    client.close()
    worker.step()
    assert not worker.connections


def test_a_page_that_takes_some_time_waits_until_others_have_been_read(worker: OverloadedWorker) -> None:
    """Metrics, say: many of them at once must not keep health checks waiting."""
    page = b"GET /0.007 HTTP/1.1\r\nHost: x\r\n\r\n"
    clients = [worker.client() for _ in range(4)]
    assert clients[0].exchange(page).status == 200
    for client in clients[:3]:
        client.socket.send(page)
    clients[3].socket.send(GET)
    worker.application.paths.clear()
    for connection in worker.loop.poll(0):
        worker.serve(connection)
    assert worker.application.paths == ["health"]
    worker.step()
    assert worker.application.paths == ["health"] + ["0.007"] * 3


def test_of_several_that_are_ready_all_are_read_before_one_runs(worker: OverloadedWorker) -> None:
    """Which is faster than to alternate. They run in the order in which they were read."""
    clients = [worker.client() for _ in range(4)]
    for number, client in enumerate(clients):
        client.socket.send(POST % b"0.00%d" % number)
    for connection in worker.loop.poll(0):
        worker.serve(connection)
    assert worker.application.paths == []
    worker.step()
    assert worker.application.paths == ["0.000", "0.001", "0.002", "0.003"]


def test_a_slow_request_waits_although_its_connection_has_its_next_turn(worker: OverloadedWorker) -> None:
    """A client that pipelines must not get round the line in which others wait."""
    worker.learn(b"0.1")
    thread = worker.block()
    client = worker.client()
    client.send(GET * MAX_IN_A_ROW + POST % b"0.1")
    assert [response and response.status for response in (client.response() for _ in range(MAX_IN_A_ROW + 1))] == [
        *[200] * MAX_IN_A_ROW,
        None,
    ]
    worker.unblock(thread)
    assert client.response()


def test_reaching_a_limit_is_logged_once_a_minute(worker: OverloadedWorker, caplog: pytest.LogCaptureFixture) -> None:
    worker.learn(b"0.4")
    thread = worker.block()
    with caplog.at_level(logging.WARNING, "gunicorn.error"):
        for seconds in (0, 59, 2):
            worker.clock.advance(seconds)
            for _ in range(4):
                worker.client().send(POST % b"0.4")
    records = [record.getMessage() for record in caplog.records]
    assert len(records) == 2, records
    assert all("limit reached (" in record and "(queue_timeout)" in record for record in records)
    worker.unblock(thread)


# Estimates.


def request(path: str, size: int = 0) -> ParsedRequest:
    body = RequestBody(None)  # type: ignore[arg-type]  # nothing is reserved
    body.append(bytes(size))
    return ParsedRequest({"REQUEST_METHOD": "POST", "PATH_INFO": path}, keep_alive=True, body=body)


def test_an_estimate_follows_what_requests_take_by_path_and_size() -> None:
    estimates = Estimates()
    a, b, large = (estimates.kind(request(*one)) for one in (("/a", 100), ("/b", 100), ("/b", LARGE)))
    estimates.learn(a, 0.1, 1)
    assert estimates.seconds(a) == 0.1
    assert estimates.kind(request("/a", 120)) == a, "of about the same size"
    assert estimates.kind(request("/a", 300)) != a
    assert estimates.seconds(b) < QUICK, "nothing is known"
    assert estimates.seconds(large) > QUICK
    estimates.learn(a, 0.2, 1)
    assert estimates.seconds(a) == pytest.approx(0.1 + WEIGHT_OF_MORE * 0.1)
    estimates.learn(b, 1.0, 1)
    estimates.learn(b, 0.2, 1)
    assert estimates.seconds(b) == pytest.approx(1.0 - WEIGHT_OF_LESS * 0.8), "falls sooner than rises"


def test_what_requests_take_beside_others_is_shared() -> None:
    estimates = Estimates()
    estimates.learn(("POST", "/a", 0), 0.4, 4)
    assert estimates.seconds(("POST", "/a", 0)) == 0.1


def test_a_few_kinds_of_requests_are_remembered_and_the_oldest_forgotten() -> None:
    estimates = Estimates()
    for number in range(MAX_ESTIMATES + 1):
        estimates.learn(("POST", f"/{number}", 0), 0.1, 1)
    assert len(estimates._seconds) == MAX_ESTIMATES
    assert estimates.seconds(("POST", "/0", 0)) < QUICK
    assert estimates.seconds(("POST", f"/{MAX_ESTIMATES}", 0)) == 0.1


def test_nothing_is_learned_from_requests_that_fail() -> None:
    """Or clients could fill the memory with paths, and make the estimate of a slow kind of request too small."""

    def not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("404 Not Found" if environ["PATH_INFO"] == "/nothing" else "200 OK", [])
        return []

    with SteppedWorker(not_found) as worker:
        client = worker.client()
        for path in (b"POST /nothing", b"GET /model", b"POST /model"):
            client.exchange(path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert list(worker.runner.admission.estimates._seconds) == [("GET", "/model", 0), ("POST", "/model", 0)]


def test_where_all_takes_longer_than_estimated_fewer_requests_may_wait() -> None:
    """On a machine that is busy with other things, say: the time from one end to the next one tells."""
    clock = Clock()
    election = LeaderElection(WorkerOptions(), 1, lambda _connection: None, clock)
    admission = Admission(WorkerOptions(queue_timeout=1.0), election, clock)
    admission.estimates.learn(("POST", "/a", 0), 0.1, 1)
    running, waiting, late = (connection_with(request("/a")) for _ in range(3))
    for one in (running, waiting, late):
        admission.estimate(one)
    election.promote_follower(election.begin(running, request("/a"), clock.now))
    admission.queue(waiting)
    admission.finish_slow(running)
    for _ in range(100):
        clock.advance(0.3)
        admission.finish_slow(running)
    assert admission._pace == pytest.approx(3, rel=0.01)
    election.slow[running] = InFlight(running, request("/a"), clock.now)
    with pytest.raises(Overloaded, match=r"the request would wait for some 0\.[56] s, and 0\.5 of 1 s are allowed"):
        admission.queue(late)
    for _ in range(100):
        clock.advance(1000)
        admission.finish_slow(running)
    assert admission._pace == MAX_PACE


def test_a_request_that_takes_long_keeps_others_waiting_for_a_moment_only() -> None:
    """Another one may start beside it then, as long as there is a thread."""
    clock = Clock()
    election = LeaderElection(WorkerOptions(), 4, lambda _connection: None, clock)
    admission = Admission(WorkerOptions(queue_timeout=1.0), election, clock)
    admission.estimates.learn(("POST", "/a", 0), 20.0, 1)
    running, waiting = (connection_with(request("/a")) for _ in range(2))
    admission.estimate(running)
    election.promote_follower(election.begin(running, request("/a"), clock.now))
    assert admission.estimate(waiting) == LONG_AFTER
    admission.queue(waiting)
    assert election.is_saturated
    clock.advance(LONG_AFTER)
    assert not election.is_saturated


def connection_with(first: ParsedRequest) -> Connection:
    found = Mock(spec_set=["requests", "state", "queued_at", "estimate", "kind"])
    found.requests = [first]
    return cast(Connection, found)
