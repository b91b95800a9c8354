"""Leader and followers, timeouts, draining, and what Gunicorn sees: threads that wait for events, never for a time."""

import ast
import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from gunicorn.config import Config
from gunicorn.errors import ConfigError
from running_service import ROOT
from stepped_worker import DEADLINE, MAX_BODY, Client, Clock, SteppedWorker, echo, unix_listener

from service import gunicorn_conf
from service.settings import Settings
from service.worker.estimates import UNKNOWN_QUICK_BITS
from service.worker.leader import LONG_AFTER, InFlight, LeaderElection
from service.worker.options import WorkerOptions
from service.worker.siblings import FAILED, READY, SIGNAL_DELAY, Siblings
from service.worker.worker import DRAIN_GRACE, LEADERLESS_LIMIT, MAX_START, Worker
from service.worker.wsgi import ParsedRequest

GET = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /quick HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = b"POST /slow HTTP/1.1\r\nHost: x\r\n\r\n"


class Gate:
    """An application in which a request to /slow waits until it is let through."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self._through = threading.Semaphore(0)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            self.entered.release()
            assert self._through.acquire(timeout=DEADLINE)
        return echo(environ, start_response)

    def let_through(self, count: int = 1) -> None:
        self._through.release(count)


def run_slowly(worker: SteppedWorker, gate: Gate, client: Client, request: bytes = SLOW) -> threading.Thread:
    """Let another thread lead until it is in the application; then promote the test's thread."""
    client.socket.send(request)

    def lead() -> None:
        for connection in worker.loop.poll(0):
            if not worker.runner.serve(connection):
                return
        worker.runner.run_queued()

    thread = threading.Thread(target=lead)
    thread.start()
    assert gate.entered.acquire(timeout=DEADLINE)
    assert worker.election.current
    worker.election.promote_follower(worker.election.current)
    assert worker.election.acquire()
    return thread


# Leader and followers.


def test_others_are_served_while_one_request_is_slow() -> None:
    gate = Gate()
    with SteppedWorker(gate) as worker:
        client, other = worker.client(), worker.client()
        thread = run_slowly(worker, gate, client)
        for request in (GET, POST) * 5:
            assert other.exchange(request).status == 200
        client.socket.send(GET)  # it waits for the response before it
        worker.step()
        assert client.response() is None
        gate.let_through()
        thread.join()
        response = client.response()
        assert response
        assert response.environ["PATH_INFO"] == "/slow"
        worker.step()
        response = client.response()
        assert response
        assert response.environ["PATH_INFO"] == "/quick"
        assert not worker.election.slow


def test_a_pipelined_request_runs_after_a_slow_one() -> None:
    gate = Gate()
    with SteppedWorker(gate) as worker:
        client = worker.client()
        thread = run_slowly(worker, gate, client, SLOW + GET)
        gate.let_through()
        thread.join()
        assert list(worker.runner._next_turn) == worker.connections
        worker.step()
        found = [client.response() for _ in range(2)]
        assert [one and one.environ["PATH_INFO"] for one in found] == ["/slow", "/quick"]


def test_when_all_threads_are_slow_safe_methods_are_served_and_others_wait() -> None:
    """With 2 threads for slow requests there is a third one, for a request that was taken for quick."""
    gate = Gate()
    with SteppedWorker(gate, threads=2) as worker:
        threads = [run_slowly(worker, gate, worker.client()) for _ in range(3)]
        assert worker.election.is_exhausted
        waiting, other = worker.client(), worker.client()
        waiting.send(POST)
        for method in (b"GET", b"HEAD", b"OPTIONS"):
            other.send(method + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert other.response(has_body=method != b"HEAD")
        assert waiting.response() is None
        gate.let_through()
        worker.step_until(waiting.receive)
        assert waiting.response()
        gate.let_through(2)
        for thread in threads:
            thread.join()


def test_a_request_with_a_large_body_is_taken_for_slow_until_it_is_known() -> None:
    seen: list[bool] = []

    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(worker.election.current is None and len(worker.election.slow) == 1)
        start_response("200 OK", [])
        return []

    small, large = 2**UNKNOWN_QUICK_BITS - 1, 2**UNKNOWN_QUICK_BITS
    with SteppedWorker(application, options=WorkerOptions()) as worker:
        client = worker.client()
        for size in (small, large, large):
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
            assert client.response()
    assert seen == [False, True, False], "the clock stands still: a second one is known to be quick"


def begin(election: LeaderElection, connection: Any) -> InFlight:
    return election.begin(connection, ParsedRequest({}, keep_alive=True), 0.0)


def slow_requests(election: LeaderElection) -> list[Any]:
    return list(election.slow)


def test_a_request_that_is_finished_is_not_slow() -> None:
    unregistered: list[Any] = []
    election = LeaderElection(WorkerOptions(), 1, unregistered.append, Clock())
    quick = begin(election, "a")
    assert election.finish(quick)
    election.promote_follower(quick)
    assert (slow_requests(election), unregistered) == ([], [])
    slow = begin(election, "b")
    election.promote_follower(slow)
    assert not election.finish(slow)
    assert (slow_requests(election), unregistered) == (["b"], ["b"])
    assert election.claim_response(slow.connection)
    assert not election.claim_response(slow.connection)


def test_no_follower_is_promoted_when_no_thread_is_left() -> None:
    """With 2 for slow requests there are four; a fourth slow request leaves none to lead, a fifth cannot run."""
    clock = Clock()
    election = LeaderElection(WorkerOptions(), 2, lambda _connection: None, clock)
    saturated, exhausted = [], []
    for name in "abcd":
        election.promote_follower(begin(election, name))
        clock.advance(LONG_AFTER)
        saturated.append(election.is_saturated)
        exhausted.append(election.is_exhausted)
    assert slow_requests(election) == ["a", "b", "c", "d"]
    assert (saturated, exhausted) == ([False, True, True, True], [False, False, True, True])
    last = begin(election, "e")
    election.promote_follower(last)
    assert slow_requests(election) == ["a", "b", "c", "d"]
    assert election.finish(last)


def test_slow_requests_run_one_after_the_other_unless_they_take_long() -> None:
    """On one core; with two cores, two at a time. Never more than there are threads."""
    for cores in (1, 2):
        clock = Clock()
        election = LeaderElection(WorkerOptions(cores=cores), 3, lambda _connection: None, clock)
        found = []
        for name in "ab":
            found.append(election.is_saturated)
            election.promote_follower(election.begin(name, ParsedRequest({}, keep_alive=True), clock.now))  # type: ignore[arg-type]
        found.append(election.is_saturated)
        clock.advance(LONG_AFTER)
        found.append(election.is_saturated)
        election.promote_follower(election.begin("c", ParsedRequest({}, keep_alive=True), clock.now))  # type: ignore[arg-type]
        clock.advance(LONG_AFTER)
        found.append(election.is_saturated)
        assert found == [False, cores == 1, True, False, True]


# Timeouts.


def timed_out(on_response: Callable[..., Iterable[tuple[str, str]]]) -> tuple[SteppedWorker, Client, Gate]:
    gate = Gate()
    options = WorkerOptions(response_timeout=60, max_body_bytes=MAX_BODY, on_response=on_response)
    worker = SteppedWorker(gate, options=options)
    client = worker.client()
    return worker, client, gate


def test_a_request_without_a_response_gets_504_and_the_worker_drains(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[tuple[WSGIApplication, str, int]] = []

    def on_response(application: WSGIApplication, environ: WSGIEnvironment, status: int) -> Iterable[tuple[str, str]]:
        calls.append((application, environ["PATH_INFO"], status))
        yield "X-Request-ID", "7"

    worker, client, gate = timed_out(on_response)
    with worker:
        thread = run_slowly(worker, gate, client, SLOW + GET)
        worker.clock.advance(60)
        worker.runner.time_out_stuck()
        assert client.response() is None
        assert not worker.runner.responder.draining
        worker.clock.advance(1)
        worker.runner.time_out_stuck()
        response = client.response()
        assert response
        assert (response.status, response.body) == (
            504,
            b'{"error": "no response within 60 seconds (response_timeout)"}',
        )
        assert (response.fields["x-request-id"], response.fields["connection"]) == ("7", "close")
        assert calls == [(gate, "/slow", 504)]
        assert "/slow: no response within 60 seconds (response_timeout); this worker is replaced" in caplog.text
        assert (worker.election.stuck_threads, worker.election.slow) == (1, {})

        gate.let_through()  # too late
        thread.join()
        worker.step()
        assert client.receive() == b""
        assert client.is_closed
        assert worker.client().exchange(GET).fields["connection"] == "close", "the worker drains"


def cannot_count(_application: WSGIApplication, _environ: WSGIEnvironment, _status: int) -> Iterable[tuple[str, str]]:
    raise RuntimeError("cannot count")


def breaks_a_line(_application: WSGIApplication, _environ: WSGIEnvironment, _status: int) -> Iterable[tuple[str, str]]:
    return [("X-A", "cannot count\r\n")]


@pytest.mark.parametrize("hook", [cannot_count, breaks_a_line])
def test_a_failure_of_the_hook_on_response_is_logged(
    caplog: pytest.LogCaptureFixture, hook: Callable[..., Iterable[tuple[str, str]]]
) -> None:
    worker, client, gate = timed_out(hook)
    with worker:
        thread = run_slowly(worker, gate, client)
        worker.clock.advance(61)
        worker.runner.time_out_stuck()
        response = client.response()
        assert response
        assert response.status == 504
        assert "the hook on_response failed" in caplog.text
        assert "Traceback" in caplog.text
        gate.let_through()
        thread.join()


def test_the_limit_of_requests_is_noticed_once(caplog: pytest.LogCaptureFixture) -> None:
    """Although threads count at the same time, and go over it."""

    def count() -> None:
        for _ in range(500):
            worker.runner.responder._count_request()

    with SteppedWorker() as worker, caplog.at_level(logging.INFO, "gunicorn.error"):
        worker.runner.responder.max_requests = 1000
        switch = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=count) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(switch)
        assert next(worker.runner.responder._numbers) == 2001  # each thread has taken numbers of its own
        assert worker.runner.responder.draining
        assert [record.getMessage() for record in caplog.records if "max_requests" in record.getMessage()] == [
            "max_requests is reached: this worker is replaced after 1000 requests"
        ]


def test_the_last_request_closes_its_connection() -> None:
    with SteppedWorker() as worker:
        worker.runner.responder.max_requests = 3
        client = worker.client()
        client.send(GET * 5)
        found = [client.response() for _ in range(3)]
        assert [one and one.fields.get("connection") for one in found] == [None, None, "close"]
        assert client.receive() == b""
        assert client.is_closed


# The whole worker, with its threads, and a clock that stands still.


class RunningWorker:
    """A worker that runs in threads of this process; its `parent` is the process that it takes for Gunicorn's."""

    def __init__(self, application: WSGIApplication, options: WorkerOptions, **settings: object) -> None:
        self.listener = unix_listener()
        self.address = self.listener.getsockname()
        cfg = Config()
        cfg.set("keepalive", 3600)  # a test moves the clock by minutes, and its connections are to outlive that
        for name, value in settings.items():
            cfg.set(name, value)
        kind = type("WorkerOfATest", (Worker,), {"options": options, "clock": Clock(), "siblings": Siblings()})
        log = logging.getLogger("gunicorn.error")
        self.worker = kind(1, os.getppid(), [self.listener], None, 30, cfg, log)
        self.worker.wsgi = application
        self.worker.PIPE = os.pipe()
        for end in self.worker.PIPE:
            os.set_blocking(end, False)
        self.clock: Clock = self.worker.clock
        self.thread = threading.Thread(target=self.worker.run, daemon=True)
        self.thread.start()
        wait_until(lambda: hasattr(self.worker, "_runner"))

    def connect(self) -> socket.socket:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(DEADLINE)
        try:
            one.connect(self.address)
        except OSError:
            one.close()
            raise
        return one

    def tick(self, seconds: float = 0) -> None:
        """Move the clock, and let the leader look at it."""
        self.clock.advance(seconds)
        self.worker._loop.wake()

    def ends(self) -> bool:
        """Whether the worker comes to its end. Connections must have been closed, or their time must be over."""
        self.thread.join(DEADLINE)
        return not self.thread.is_alive()

    def close(self) -> None:
        self.worker.siblings.stop()
        while self.thread.is_alive():
            self.tick(100)
            self.thread.join(0.05)
        self.listener.close()
        self.worker.tmp.close()
        self.worker._loop._epoll.close()
        for end in self.worker.PIPE:
            os.close(end)


@contextlib.contextmanager
def running(
    application: WSGIApplication = echo, options: WorkerOptions | None = None, **settings: object
) -> Iterator[RunningWorker]:
    worker = RunningWorker(application, options or WorkerOptions(max_body_bytes=MAX_BODY), **settings)
    try:
        yield worker
    finally:
        worker.close()


def exchange(client: socket.socket, request: bytes = GET) -> bytes:
    client.sendall(request)
    return client.recv(2**16)


def is_last(response: bytes) -> bool:
    return response.startswith(b"HTTP/1.1 200 OK") and b"\r\nConnection: close\r\n" in response


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_slow_requests_run_at_the_same_time() -> None:
    """The watchdog promotes the next thread: each of three requests waits for the two others."""
    barrier = threading.Barrier(3)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        barrier.wait(DEADLINE)
        return echo(environ, start_response)

    with running(application, threads=3) as worker, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(worker.connect()) for _ in range(3)]
        for client in clients:
            client.sendall(POST)
        assert all(client.recv(2**16).startswith(b"HTTP/1.1 200 OK") for client in clients)


def test_a_worker_whose_parent_has_died_ends() -> None:
    with running() as worker, worker.connect() as client:
        assert exchange(client).startswith(b"HTTP/1.1 200")
        worker.worker.ppid = 0
        worker.tick(2)
        wait_until(lambda: worker.worker._runner.responder.draining)
        assert is_last(exchange(client))
        client.close()
        assert worker.ends()


def test_a_worker_that_is_told_to_stop_serves_what_has_begun_and_idle_connections_for_a_moment() -> None:
    gate = Gate()
    with (
        running(gate, threads=2) as worker,
        worker.connect() as slow,
        worker.connect() as begun,
        worker.connect() as kept,
        worker.connect() as idle,
    ):
        for client in (slow, begun, kept, idle):
            assert b"\r\nConnection: close" not in exchange(client)
        slow.sendall(SLOW)
        begun.sendall(POST[:-5])
        assert gate.entered.acquire(timeout=DEADLINE)
        worker.worker.siblings.stop()  # as the parent does on SIGTERM

        def is_refused() -> bool:
            with contextlib.suppress(ConnectionRefusedError):
                worker.connect().close()
                return False
            return True

        wait_until(is_refused)
        assert is_last(exchange(kept))
        worker.tick(DRAIN_GRACE + 1)
        assert idle.recv(1) == b"", "closed"
        assert is_last(exchange(begun, POST[-5:]))
        assert worker.thread.is_alive()
        gate.let_through()
        assert is_last(slow.recv(2**16))
        for client in (slow, begun, kept):
            client.close()
        assert worker.ends()


def test_a_worker_says_that_it_is_shutting_down_and_serves_until_the_drain_delay_is_over() -> None:
    told: list[WSGIApplication] = []
    options = WorkerOptions(drain_delay=30, on_shutdown=told.append)
    with running(options=options, max_requests=1000) as worker, worker.connect() as client:
        assert worker.worker._runner.responder.max_requests == 1000
        worker.worker.siblings.stop()
        wait_until(lambda: told)
        assert worker.worker._runner.responder.max_requests == sys.maxsize
        worker.tick(29)
        for _ in range(3):
            assert b"Connection: close" not in exchange(client)
            with worker.connect() as new:
                assert exchange(new).startswith(b"HTTP/1.1 200")
        worker.tick(1)
        wait_until(lambda: worker.worker._runner.responder.draining)
        assert is_last(exchange(client))
    assert told == [echo]


def test_a_worker_that_is_replaced_serves_until_the_younger_one_is_ready_and_does_not_say_that_it_ends() -> None:
    told: list[WSGIApplication] = []
    with running(options=WorkerOptions(on_shutdown=told.append)) as worker, worker.connect() as client:
        worker.worker.siblings.set_starting(2)
        worker.worker.alive = False  # as Gunicorn's handler of SIGTERM does
        wait_until(lambda: worker.worker._drain_decision._told_at)
        worker.tick(600)
        assert b"Connection: close" not in exchange(client)
        worker.worker.siblings.set_ready(2)
        wait_until(lambda: worker.worker._runner.responder.draining)
        assert is_last(exchange(client))
    assert told == []


def test_a_worker_goes_on_when_the_younger_ones_have_failed(caplog: pytest.LogCaptureFixture) -> None:
    with running() as worker, worker.connect() as client:
        worker.worker.siblings.set_starting(2)
        worker.worker.siblings.set_ended(2)
        assert set(worker.worker.siblings.younger(1).values()) == {FAILED}
        worker.worker.alive = False
        wait_until(lambda: worker.worker._drain_decision._told_at)
        worker.tick(SIGNAL_DELAY)
        wait_until(lambda: worker.worker.alive)
        assert b"Connection: close" not in exchange(client)
    assert "cannot start: it goes on" in caplog.text


def test_a_start_may_take_ten_minutes_and_a_worker_that_runs_reports_to_gunicorn() -> None:
    """Gunicorn kills a worker whose last report is longer ago than its timeout."""
    with running() as worker:
        started = time.monotonic()
        worker.tick()
        wait_until(lambda: worker.worker._last_housekeeping)
        wait_until(lambda: worker.worker.tmp.last_update() < started + 60)
        assert worker.worker.siblings.younger(0) == {1: READY}
        cfg, log = worker.worker.cfg, worker.worker.log
        starting = type(worker.worker)(2, os.getppid(), [], None, 30, cfg, log)
        assert starting.tmp.last_update() > started + MAX_START - 1
        starting.tmp.close()


def test_a_hook_that_fails_every_second_never_ends_a_worker(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[WSGIApplication] = []

    def every_second(application: WSGIApplication) -> None:
        seen.append(application)
        raise RuntimeError("cannot count")

    with running(options=WorkerOptions(every_second=every_second)) as worker, worker.connect() as client:
        for i in range(1, 4):
            worker.tick()
            wait_until(lambda count=i: len(seen) >= count)  # type: ignore[misc]
            assert exchange(client).startswith(b"HTTP/1.1 200")
            worker.tick(1)
        assert worker.worker.alive
    assert seen[0] is echo
    assert caplog.text.count("the hook every_second failed") == len(seen)
    assert "cannot count" in caplog.text


def test_the_hook_is_called_once_a_second_and_a_last_time_at_the_end() -> None:
    seen: list[int] = []

    def every_second(_application: WSGIApplication) -> None:
        seen.append(len(worker.worker._loop.connections))

    with running(options=WorkerOptions(every_second=every_second)) as worker, worker.connect() as client:
        worker.tick()
        for _ in range(20):
            exchange(client)
        assert seen == [1]
    assert seen[-1] == 0


def test_a_thread_that_fails_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Gunicorn then starts another worker; without a leader, this one would serve no client."""
    codes: list[int] = []
    monkeypatch.setattr("service.worker.worker.os._exit", codes.append)

    def fail(_timeout: float) -> None:
        raise RuntimeError("a bug")

    with running() as worker:
        worker.tick()
        wait_until(lambda: worker.worker._last_housekeeping)
        monkeypatch.setattr(worker.worker._loop, "poll", fail)
        worker.tick()
        wait_until(lambda: codes)
        worker.worker._done.set()
    assert codes == [1]
    assert "a thread of the worker failed" in caplog.text


def test_a_worker_whose_threads_are_all_stuck_ends() -> None:
    """Its stuck requests have had their 504; the process must not wait for their threads."""
    with running() as worker:
        worker.tick()
        wait_until(lambda: worker.worker._last_housekeeping)
        one = worker.worker
        one._election.stuck_threads = 3
        one._watch(None)
        assert not one._done.is_set()
        one._last_housekeeping -= LEADERLESS_LIMIT + 1
        one._watch(None)
        assert one._done.is_set()
        one._election.stuck_threads = 0  # or it would end the process of this test
        one._election.close()


# Gunicorn's options.


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [("certfile", __file__, "this worker has no TLS"), ("accesslog", "-", "this worker writes no access log")],
)
def test_an_option_that_the_worker_does_not_have_is_an_error_of_gunicorns(setting: str, value: str, words: str) -> None:
    cfg = Config()
    cfg.set(setting, value)
    with pytest.raises(ConfigError, match=words) as caught:
        Worker.check_config(cfg, None)
    assert isinstance(caught.value, RuntimeError), "Gunicorn prints these in one line"
    Worker.check_config(Config(), None)


def test_the_services_worker_has_its_settings_and_works_with_any_application() -> None:
    """Another WSGI application has no middleware to count for."""
    options = gunicorn_conf.Worker.options
    assert options.response_timeout == 60
    assert options.request_timeout == 30
    assert options.queue_timeout == 1.0
    assert options.max_body_bytes == 16 * 2**20
    assert options.memory_budget_bytes == 256 * 2**20
    assert {options.name(one) for one in options.names} <= {name for name, _, _ in Settings.documentation_rows()}
    options.every_second(echo)
    assert list(options.on_response(echo, {}, 504)) == []


def test_the_worker_imports_only_gunicorn_and_httptools() -> None:
    """So that it could be published alone. Nothing else of the service either."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "service/worker").glob("*.py")):
        names: list[str] = []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, path
                names.append(str(node.module))
        outside = {name.partition(".")[0] for name in names if not f"{name}.".startswith("service.worker.")}
        found[path.name] = outside - sys.stdlib_module_names
    assert {Path(name).stem: outside for name, outside in found.items() if outside} == {
        "http_parser": {"httptools"},
        "worker": {"gunicorn"},
    }
