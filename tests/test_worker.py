"""The server that our Gunicorn workers run: slow answers and slow clients hold nobody up, and HTTP is kept to."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import httpx
import pytest
from conftest import MODELS
from running_service import ROOT, RunningService
from test_service import GUNICORN

from service.worker.balancing import Share
from service.worker.event_loop import Sockets

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
BODY = json.dumps(ROW).encode()
PREDICT = b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\n"
REQUEST = PREDICT + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
SLOW = """
import os, threading, time
from service.app import create_app
app = create_app()
runtime = app.models.find("iris").runtime
run = runtime.run
"""


def changed(folder: Path, lines: str, **settings: str) -> RunningService:
    """A service of one model, of irises, that does something else before it runs."""
    shutil.copytree(MODELS / "iris", folder / "models/iris")
    (folder / "slow.py").write_text(SLOW + lines)
    command = (*GUNICORN, "-c", "python:service.gunicorn_conf", "--pythonpath", f"{folder},{ROOT}", "slow:app")
    return RunningService(folder / "log", command, None, models_dir=str(folder / "models"), **settings)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One worker, as it is."""
    with RunningService(tmp_path_factory.mktemp("server") / "log", read_timeout="3", max_body_bytes="1000000") as one:
        yield one


def ask(service: RunningService, model: str = "iris", timeout: float = 30) -> httpx.Response:
    return httpx.post(f"{service.url}/v1/models/{model}:predict", json=ROW, timeout=timeout)


class Talk:
    """A connection by hand: bytes go out, whole answers come in."""

    def __init__(self, service: RunningService) -> None:
        host, _, port = service.address.partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self._stream = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> bytes:
        """One whole answer, or nothing if the server has hung up."""
        head = b""
        for line in self._stream:
            head += line
            if line == b"\r\n":
                break
        length = re.search(rb"(?i)content-length: (\d+)", head)
        return head + (self._stream.read(int(length[1])) if length else b"")


def test_others_are_answered_during_a_slow_inference(tmp_path: Path) -> None:
    """Two seconds in one thread: health, other models and the same one are answered by the same worker meanwhile."""
    lines = "first = [True]\nruntime.run = lambda i: (first and first.pop() and time.sleep(2)) or run(i)\n"
    with changed(tmp_path, lines) as service, ThreadPoolExecutor() as pool:
        begun = time.monotonic()
        slow = pool.submit(ask, service)
        time.sleep(0.2)
        for _ in range(10):
            assert service.client.get("/v2/health/ready", timeout=1).status_code == 200
            assert ask(service, timeout=1).status_code == 200
        assert time.monotonic() - begun < 1.8
        assert not slow.done()
        assert slow.result().status_code == 200


def test_health_is_answered_when_all_threads_are_slow_and_the_others_wait_their_turn(tmp_path: Path) -> None:
    lines = "runtime.run = lambda i: time.sleep(1) or run(i)\n"
    with changed(tmp_path, lines, request_threads="2") as service, ThreadPoolExecutor() as pool:
        slow = [pool.submit(ask, service) for _ in range(5)]
        time.sleep(0.3)
        asked = time.monotonic()
        assert service.client.get("/v2/health/live", timeout=1).status_code == 200
        assert time.monotonic() - asked < 0.5
        assert [one.result().status_code for one in slow] == [200] * 5


ASIDE = """
inner = app.wsgi_app
def outer(environ, start_response):
    environ["digitalis.step_aside"]()
    return inner(environ, start_response)
app.wsgi_app = outer
"""


@pytest.mark.parametrize("aside", ["", ASIDE], ids=["by patience", "by asking for it"])
def test_requests_may_wait_for_each_other(tmp_path: Path, aside: str) -> None:
    """As those of a batch do: each is answered only when all are there."""
    lines = "barrier = threading.Barrier(4)\nruntime.run = lambda i: (barrier.wait(10), run(i))[1]\n" + aside
    with changed(tmp_path, lines) as service, ThreadPoolExecutor() as pool:
        answers = [pool.submit(ask, service) for _ in range(4)]
        assert [one.result().status_code for one in answers] == [200] * 4


def test_an_inference_that_hangs_is_answered_504_and_its_worker_replaced(tmp_path: Path) -> None:
    hangs = tmp_path / "hangs"
    hangs.touch()
    lines = f"runtime.run = lambda i: os.path.exists({str(hangs)!r}) and time.sleep(600) or run(i)\n"
    with changed(tmp_path, lines, answer_timeout="2") as service:
        (worker,) = service.workers()
        asked = time.monotonic()
        answer = ask(service)
        assert (answer.status_code, answer.json()) == (504, {"error": "no answer within 2 seconds"})
        assert 1.5 < time.monotonic() - asked < 6
        assert "X-Request-ID" in answer.headers
        hangs.unlink()
        service.wait_for_workers(2)
        assert ask(service).status_code == 200
        assert service.workers() != [worker]
        assert 'status="504"' in httpx.get(f"{service.url}/metrics").text
        assert "this worker is replaced" in service.log()


def test_a_slow_inference_is_finished_after_sigterm(tmp_path: Path) -> None:
    with (
        changed(tmp_path, "runtime.run = lambda i: time.sleep(2) or run(i)\n") as service,
        ThreadPoolExecutor() as pool,
    ):
        slow = pool.submit(ask, service)
        time.sleep(0.5)
        service.process.send_signal(signal.SIGTERM)
        assert slow.result().status_code == 200
        assert service.process.wait(20) == 0


def test_who_comes_after_sigterm_is_refused_at_once(tmp_path: Path) -> None:
    """A client or a proxy then tries elsewhere; queued by the kernel, it would wait for an answer that never comes."""
    with RunningService(tmp_path / "log") as service, Talk(service) as begun:
        begun.send(REQUEST[:-5])
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        with pytest.raises(ConnectionRefusedError):
            Talk(service)
        begun.send(REQUEST[-5:])
        assert begun.answer().startswith(b"HTTP/1.1 200 OK")
        assert service.process.wait(20) == 0


def test_a_connection_that_is_kept_alive_is_answered_once_more_after_sigterm(tmp_path: Path) -> None:
    """For a moment: a client may have sent a request before it could know; then the answer says that it is the last."""
    with RunningService(tmp_path / "log") as service, Talk(service) as connection:
        connection.send(REQUEST)
        assert b"Connection: close" not in connection.answer()
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.send(REQUEST)
        assert b"Connection: close" in connection.answer()
        assert service.process.wait(20) == 0


def test_a_slow_sender_holds_nobody_up(plain: RunningService) -> None:
    with Talk(plain) as slow:
        for byte in REQUEST[:40]:
            slow.send(bytes([byte]))
            assert plain.client.get("/v2/health/live", timeout=1).status_code == 200
        slow.send(REQUEST[40:])
        assert slow.answer().startswith(b"HTTP/1.1 200 OK")


def test_a_slow_reader_holds_nobody_up_and_gets_all(plain: RunningService) -> None:
    rows = json.dumps({"instances": ROW["instances"] * 10_000}).encode()
    with Talk(plain) as slow:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        slow.send(PREDICT + b"Content-Length: %d\r\n\r\n" % len(rows) + rows)
        time.sleep(0.5)
        assert ask(plain, timeout=2).status_code == 200
        answer = slow.answer()
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]) == 10_000


def test_requests_that_come_at_once_are_answered_in_order(plain: RunningService) -> None:
    rows = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5], [5.1, 3.5, 1.4, 0.2]]
    bodies = [json.dumps({"instances": [row]}).encode() for row in rows]
    with Talk(plain) as connection:
        connection.send(b"".join(PREDICT + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies))
        answers = [connection.answer() for _ in bodies]
    assert [json.loads(one.splitlines()[-1])["predictions"][0]["label"] for one in answers] == [
        "setosa", "virginica", "setosa",
    ]  # fmt: skip


def test_a_body_in_chunks_is_put_together(plain: RunningService) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:5], BODY[5:6], BODY[6:]))
    with Talk(plain) as connection:
        connection.send(PREDICT + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX-Trailer: 1\r\n\r\n")
        assert b'"label":"setosa"' in connection.answer()
        connection.send(REQUEST)  # the connection goes on
        assert b'"label":"setosa"' in connection.answer()


def test_who_asks_before_sending_is_told_to_go_on(plain: RunningService) -> None:
    with Talk(plain) as connection:
        connection.send(PREDICT + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert connection.answer() == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(BODY)
        assert connection.answer().startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "head", [b"Content-Length: 2000000\r\n", b"Expect: 100-continue\r\nContent-Length: 2000000\r\n"]
)
def test_who_would_send_too_much_is_told_before_it_has(plain: RunningService, head: bytes) -> None:
    with Talk(plain) as connection:
        connection.send(PREDICT + head + b"\r\n")
        answer = connection.answer()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"the body is over 1000000 bytes" in answer


def test_chunks_that_never_end_are_not_kept(plain: RunningService) -> None:
    with Talk(plain) as connection:
        connection.send(PREDICT + b"Transfer-Encoding: chunked\r\n\r\n" + b"fffff\r\n" + b"[" * 0xFFFFF + b"\r\n")
        assert connection.answer().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("head", "status", "words"),
    [
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431, b"over 100 fields"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000, 431, b"over 65536 bytes of header"),
        (b"GET /" + b"y" * 200_000, 431, b"over 65536 bytes of header"),
        (PREDICT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, b"Content-Length"),
        (PREDICT + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, b"Transfer-Encoding"),
        (PREDICT + b"Content-Length: -1\r\n\r\n", 400, b"Content-Length"),
        (PREDICT + b"Content-Length: " + b"0" * 5000 + b"3\r\n\r\n", 400, b"too many digits"),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n\r\n", 431, b"over 65536 bytes of header"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, b"this is not HTTP/1.1"),
        (b"\x16\x03\x01\x02\x00\x01", 400, b"this is not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", 400, b"header"),
        (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, b"this is not HTTP/1.1"),
    ],
)
def test_what_is_no_http_is_refused_in_json_and_nobody_else_notices(
    plain: RunningService, head: bytes, status: int, words: bytes
) -> None:
    with Talk(plain) as connection:
        connection.send(head)
        answer = connection.answer()
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert words in answer
    assert b'{"error": "' in answer
    assert plain.client.get("/v2/health/live").status_code == 200


def test_an_answer_comes_before_the_refusal_of_what_follows_it(plain: RunningService) -> None:
    with Talk(plain) as connection:
        connection.send(REQUEST + b"nonsense\r\n\r\n")
        assert connection.answer().startswith(b"HTTP/1.1 200 OK")
        assert connection.answer().startswith(b"HTTP/1.1 400 Bad Request")


@pytest.mark.parametrize(
    ("version", "field", "stays"),
    [(b"1.1", b"", True), (b"1.1", b"Connection: close\r\n", False), (b"1.0", b"", False),
     (b"1.0", b"Connection: keep-alive\r\n", True), (b"1.1", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", True)],
)  # fmt: skip
def test_a_connection_stays_open_as_http_says(
    plain: RunningService,
    version: bytes,
    field: bytes,
    stays: bool,  # noqa: FBT001
) -> None:
    with Talk(plain) as connection:
        connection.send(b"GET /v2 HTTP/" + version + b"\r\nHost: x\r\n" + field + b"\r\n")
        assert connection.answer().startswith(b"HTTP/1.1 200 OK")
        if stays:
            connection.send(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.answer().startswith(b"HTTP/1.1 200 OK")
        else:
            assert connection.answer() == b""


def test_a_name_with_an_underscore_cannot_pass_for_one_with_a_hyphen(plain: RunningService) -> None:
    with Talk(plain) as connection:
        connection.send(b"GET /v2 HTTP/1.1\r\nHost: x\r\nX_Request_ID: forged\r\n\r\n")
        assert b"forged" not in connection.answer()


def test_an_offer_to_upgrade_is_passed_over_and_its_body_is_read(plain: RunningService) -> None:
    """As Java's client makes it with each request."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
    head = PREDICT + offer + b"Content-Length: %d\r\n\r\n" % len(BODY)
    for parts in ([head + BODY], [head, BODY], [head + BODY + REQUEST]):
        with Talk(plain) as connection:
            for part in parts:
                connection.send(part)
                time.sleep(0.05)
            assert b'"label":"setosa"' in connection.answer()
            if len(parts[0]) <= len(head + BODY):
                connection.send(REQUEST)
            assert b'"label":"setosa"' in connection.answer()


def test_an_offer_to_upgrade_whose_connection_shall_close_closes_it(plain: RunningService) -> None:
    offer = b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n"
    with Talk(plain) as connection:
        connection.send(PREDICT + offer + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        answer = connection.answer()
        assert b"Connection: close" in answer
        assert b'"label":"setosa"' in answer
        assert connection.answer() == b""


def test_many_requests_at_once_on_one_connection_do_not_keep_others_waiting(plain: RunningService) -> None:
    with Talk(plain) as greedy:
        greedy.send(REQUEST * 1000)
        asked = time.monotonic()
        assert plain.client.get("/v2/health/live", timeout=5).status_code == 200
        assert time.monotonic() - asked < 0.5
        assert all(greedy.answer().startswith(b"HTTP/1.1 200 OK") for _ in range(1000))


def test_who_asks_before_sending_behind_another_request_is_told_in_turn(plain: RunningService) -> None:
    with Talk(plain) as connection:
        connection.send(REQUEST + PREDICT + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert connection.answer().startswith(b"HTTP/1.1 200 OK")
        assert connection.answer() == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(BODY)
        assert connection.answer().startswith(b"HTTP/1.1 200 OK")


def test_nothing_follows_an_answer_that_says_it_is_the_last(plain: RunningService) -> None:
    with Talk(plain) as connection:
        connection.send(b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nnonsense")
        assert connection.answer().startswith(b"HTTP/1.1 200 OK")
        assert connection.answer() == b""


def test_targets_are_read_in_every_form(plain: RunningService) -> None:
    for target in (b"/v1/models/%69ris", b"http://x/v1/models/iris", b"/v1/models/iris?a=%20"):
        with Talk(plain) as connection:
            connection.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b'"name":"iris"' in connection.answer()


def test_early_hang_ups_leave_nothing_behind(plain: RunningService) -> None:
    (worker,) = plain.workers()
    before = len(list(Path(f"/proc/{worker}/fd").iterdir()))
    for end in range(0, len(REQUEST), 3):
        with Talk(plain) as connection:
            connection.send(REQUEST[:end])
            if end % 2:  # with a reset
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert ask(plain).status_code == 200
    time.sleep(0.5)
    assert plain.workers() == [worker]
    assert len(list(Path(f"/proc/{worker}/fd").iterdir())) <= before + 1
    assert "Traceback" not in plain.log()


def test_hundreds_of_connections_are_served(plain: RunningService) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Talk(plain)) for _ in range(400)]
        for connection in connections:
            connection.send(REQUEST)
        assert all(connection.answer().startswith(b"HTTP/1.1 200 OK") for connection in connections)


def test_large_bodies_at_once_do_not_mix(plain: RunningService) -> None:
    """Bodies over the size from which on another thread leads at once."""
    rows = [[[5.1, 3.5, 1.4, 0.2]] * 9000, [[6.3, 3.3, 6.0, 2.5]] * 9000]
    found: list[set[str]] = []

    def send(body: list[list[float]]) -> None:
        answer = httpx.post(f"{plain.url}/v1/models/iris:predict", json={"instances": body}, timeout=30)
        found.append({one["label"] for one in answer.json()["predictions"]})

    threads = [threading.Thread(target=send, args=(rows[i % 2],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(sorted, found)) == [["setosa"]] * 4 + [["virginica"]] * 4


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--certfile", __file__), "this worker speaks no TLS"),
        (("--access-logfile", "-"), "DIGITALIS_LOG_REQUESTS=all"),
    ],
)
def test_an_option_that_this_worker_has_not_is_refused_at_the_start_with_a_reason(
    tmp_path: Path, option: tuple[str, ...], said: str
) -> None:
    command = (*GUNICORN, "-c", "python:service.gunicorn_conf", *option, "service.app:create_app()")
    service = RunningService(tmp_path / "log", command)
    with pytest.raises(RuntimeError, match=said):
        service.__enter__()


def test_gunicorns_max_requests_is_kept_to(tmp_path: Path) -> None:
    command = (*GUNICORN, "-c", "python:service.gunicorn_conf", "--max-requests", "5", "service.app:create_app()")
    with RunningService(tmp_path / "log", command) as service:
        (worker,) = service.workers()
        for _ in range(12):
            assert ask(service).status_code == 200
        service.wait_for_workers(2)
        assert worker not in service.workers()


@pytest.mark.parametrize("busy", [False, True])
def test_who_comes_to_a_busy_worker_is_let_in_soon(busy: bool) -> None:  # noqa: FBT001
    """The one that listens comes once a round of all that are ready: if it let in one, the others would wait long."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener, contextlib.ExitStack() as clients:
        sockets = Sockets([listener], os.pipe()[0], Share(0), 1000, 1000, {})
        for _ in range(150):
            client = clients.enter_context(socket.create_connection(listener.getsockname()))
            client.send(b"x" if busy else b"")
        rounds, ready = 0, 0
        while len(sockets.connections) < 150:
            before = len(sockets.connections)
            ready += len(list(sockets.poll(0)))
            rounds += len(sockets.connections) > before
        assert rounds < 50 if busy else rounds == 150
        assert ready < 1000  # one at a time they would have been 11,000
        _end(sockets)


def _end(sockets: Sockets) -> None:
    sockets.listen(on=False)
    for connection in list(sockets.connections.values()):
        sockets.close(connection)


def test_a_worker_leaves_new_connections_to_one_that_has_fewer_but_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.worker.event_loop.REST", 0.5)  # 5 ms would be over before the machine looks

    def seconds_until(worker: Sockets, count: int) -> float:
        started = time.monotonic()
        while len(worker.connections) < count and time.monotonic() - started < 20:
            list(worker.poll(0.05))
        return time.monotonic() - started

    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        eager, late = (Sockets([listener], os.pipe()[0], Share(number), 100, 1000, {}) for number in (1, 2))
        for sockets in (eager, late):
            stack.callback(_end, sockets)
        for _ in range(20):
            list(eager.poll(0))
        assert len(eager.connections) == 3, "it is ahead, and rests"
        for _ in range(20):
            list(late.poll(0))
        assert len(late.connections) == 6, "it has gone ahead itself"
        assert seconds_until(eager, 10) < 0.4, "the other has caught up: it need not rest to the end"
        assert 0.2 < seconds_until(eager, 11) < 10, "nobody else comes, so it goes on after its rest"
        assert sum(len(each.connections) for each in (eager, late)) == 20, "and takes all that wait"
        late.listen(on=False)
        for _ in range(9):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        assert seconds_until(eager, 23) < 0.4, "one that stops is not waited for"


def test_a_worker_that_gives_no_sign_of_life_is_not_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker.balancing.FRESH", 0.1)
    one, other = Share(3), Share(4)
    for each, count in ((one, 9), (other, 0)):
        each.look()
        each.tell(count)
    assert one.is_ahead()
    time.sleep(0.2)
    one.look()
    assert not one.is_ahead()
    one.leave()


def test_two_workers_share_the_connections_that_come_at_once(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", workers="2") as service, contextlib.ExitStack() as stack:
        service.wait_for_workers(2)
        time.sleep(0.5)  # they say so just before they listen
        for _ in range(5):
            talks = [stack.enter_context(Talk(service)) for _ in range(16)]
            for talk in talks:
                talk.send(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
            assert all(talk.answer().startswith(b"HTTP/1.1 200") for talk in talks)
            counts = [_connections(worker, service) for worker in service.workers()]
            assert min(counts) >= 3, f"one worker has nearly all: {counts}"
            stack.close()
            time.sleep(0.2)
            assert not any(_connections(worker, service) for worker in service.workers())


@pytest.mark.parametrize(
    ("workers", "sent"),
    [(2, signal.SIGSTOP), (2, signal.SIGKILL), (1, signal.SIGKILL)],
    ids=["one of two hangs", "one of two is killed", "the only one is replaced"],
)
def test_a_worker_that_hangs_or_was_killed_keeps_nobody_waiting(
    tmp_path: Path, workers: int, sent: signal.Signals
) -> None:
    with RunningService(tmp_path / "log", workers=str(workers)) as service, contextlib.ExitStack() as stack:
        service.wait_for_workers(workers)
        gone = service.workers()[0]
        os.kill(gone, sent)
        if sent == signal.SIGSTOP:
            stack.callback(os.kill, gone, signal.SIGCONT)
        if workers == 1:
            service.wait_for_workers(2)
        else:
            time.sleep(0.2)  # what it has accepted before is lost
        started = time.monotonic()
        talks = [stack.enter_context(Talk(service)) for _ in range(200)]
        for talk in talks:
            talk.send(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert all(talk.answer().startswith(b"HTTP/1.1 200") for talk in talks)
        assert time.monotonic() - started < 0.5  # it takes 0.05; at one connection a rest it would be 1.2


def _connections(worker: int, service: RunningService) -> int:
    """How many connections a process has that a client has opened to the service."""
    port = int(service.address.rpartition(":")[2])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    theirs = {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] != "0A"}  # 0A: it listens
    held = []
    for fd in Path(f"/proc/{worker}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            held.append(str(fd.readlink()))
    return sum(link.removeprefix("socket:[").removesuffix("]") in theirs for link in held)
