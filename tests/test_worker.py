"""The worker in a real service: slow requests, signals, lost workers. Its protocol is tested in `test_worker_*`."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from running_service import (
    DEADLINE,
    GUNICORN,
    MODULE,
    ROW,
    RawConnection,
    RunningService,
    entered,
    patched_service,
    predict,
    rejects_connections,
    wait_until,
)

BODY = json.dumps(ROW).encode()
PREDICT = b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\n"
REQUEST = PREDICT + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One worker, as it is."""
    with RunningService(tmp_path_factory.mktemp("server") / "log", max_body_bytes="1000000") as one:
        yield one


# Slow requests.


def test_others_are_served_during_a_slow_inference(tmp_path: Path) -> None:
    """Health and predictions of the same model, by the same worker, while one of its threads is in an inference."""
    run = "first = [wait_for_release]\nruntime.run = lambda inputs: (first.pop() if first else original)(inputs)"
    with patched_service(tmp_path, run) as service, ThreadPoolExecutor() as pool:
        slow = pool.submit(predict, service)
        wait_until(lambda: entered(tmp_path))
        for _ in range(10):
            assert service.client.get("/v2/health/ready").status_code == 200
            assert predict(service).status_code == 200
        assert not slow.done()
        (tmp_path / "released").touch()
        assert slow.result().status_code == 200


def test_health_is_served_when_all_threads_are_slow_and_the_others_wait_their_turn(tmp_path: Path) -> None:
    """Two requests may be slow, and a third one was taken for quick; a fourth and fifth wait."""
    run = "runtime.run = wait_for_release"
    settings = {"request_threads": "2"}
    with patched_service(tmp_path, run, **settings) as service, ThreadPoolExecutor() as pool:
        slow = [pool.submit(predict, service) for _ in range(5)]
        wait_until(lambda: entered(tmp_path) == 3)
        assert service.client.get("/v2/health/live").status_code == 200
        assert not any(one.done() for one in slow)
        assert entered(tmp_path) == 3
        (tmp_path / "released").touch()
        assert [one.result().status_code for one in slow] == [200] * 5


def test_a_request_that_would_wait_for_too_long_gets_503(tmp_path: Path) -> None:
    """The message says how long, and names the setting; health is served, and the worker stays."""
    run = "runtime.run = wait_for_release"
    settings = {"request_threads": "1", "queue_timeout_ms": "1000"}
    with patched_service(tmp_path, run, **settings) as service, ThreadPoolExecutor() as pool:
        workers = service.workers()
        slow = [pool.submit(predict, service) for _ in range(2)]
        wait_until(lambda: entered(tmp_path) == 2)
        response = predict(service)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert "the request has waited for 1.0 s" in response.json()["error"]
        assert "1 s are allowed (DIGITALIS_QUEUE_TIMEOUT_MS)" in response.json()["error"]
        assert response.headers["X-Request-ID"]
        assert service.client.get("/v2/health/ready").status_code == 200
        assert 'digitalis_requests_total{model="",protocol="",status="503",version=""} 1.0' in (
            service.client.get("/metrics").text
        )
        (tmp_path / "released").touch()
        assert [one.result().status_code for one in slow] == [200] * 2
        assert service.workers() == workers


def test_requests_may_wait_for_each_other(tmp_path: Path) -> None:
    """As those of a batch do: each has its response only when all are there."""
    run = f"barrier = threading.Barrier(4)\nruntime.run = lambda i: (barrier.wait({DEADLINE}), original(i))[1]"
    with patched_service(tmp_path, run, request_threads="3") as service, ThreadPoolExecutor() as pool:
        responses = [pool.submit(predict, service) for _ in range(4)]
        assert [one.result().status_code for one in responses] == [200] * 4


def test_an_inference_that_hangs_gets_504_and_its_worker_is_replaced(tmp_path: Path) -> None:
    with patched_service(tmp_path, "runtime.run = wait_for_release", answer_timeout="2") as service:
        (worker,) = service.workers()
        started = time.monotonic()
        response = predict(service)
        assert time.monotonic() - started > 1.5
        message = "no response within 2 seconds (DIGITALIS_ANSWER_TIMEOUT)"
        assert (response.status_code, response.json()) == (504, {"error": message})
        assert "X-Request-ID" in response.headers
        service.wait_for_workers(2)
        (tmp_path / "released").touch()
        assert predict(service).status_code == 200
        wait_until(lambda: worker not in service.workers())
        assert 'status="504"' in httpx.get(f"{service.url}/metrics", timeout=DEADLINE).text
        assert "this worker is replaced" in service.log()


def test_large_bodies_at_once_do_not_mix(server: RunningService) -> None:
    """Bodies over the size from which on another thread leads at once."""
    rows = [[[5.1, 3.5, 1.4, 0.2]] * 9000, [[6.3, 3.3, 6.0, 2.5]] * 9000]
    found: list[set[str]] = []

    def send(body: list[list[float]]) -> None:
        url = f"{server.url}/v1/models/iris:predict"
        response = httpx.post(url, json={"instances": body}, timeout=DEADLINE)
        found.append({one["label"] for one in response.json()["predictions"]})

    threads = [threading.Thread(target=send, args=(rows[i % 2],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(sorted, found)) == [["setosa"]] * 4 + [["virginica"]] * 4


# Signals and the end.


def test_a_slow_inference_is_finished_after_sigterm(tmp_path: Path) -> None:
    run = "runtime.run = wait_for_release"
    with patched_service(tmp_path, run) as service, ThreadPoolExecutor() as pool:
        slow = pool.submit(predict, service)
        wait_until(lambda: entered(tmp_path))
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: rejects_connections(service))
        assert not slow.done()
        (tmp_path / "released").touch()
        assert slow.result().status_code == 200
        assert slow.result().headers["Connection"] == "close"
        assert service.process.wait(DEADLINE) == 0


def test_a_client_that_connects_after_sigterm_is_refused_and_a_request_that_has_begun_is_served(
    tmp_path: Path,
) -> None:
    """The refused client, or a proxy, then tries elsewhere; in the kernel's queue it would wait for nothing."""
    with RunningService(tmp_path / "log") as service, RawConnection(service) as begun:
        head = PREDICT + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        assert begun.exchange(head) == b"HTTP/1.1 100 Continue\r\n\r\n"
        begun.send(BODY[:-5])
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: rejects_connections(service))
        response = begun.exchange(BODY[-5:])
        assert response.startswith(b"HTTP/1.1 200 OK")
        assert b'"label":"setosa"' in response
        assert b"Connection: close" in response
        assert service.process.wait(DEADLINE) == 0


def test_gunicorns_max_requests_is_kept_to(tmp_path: Path) -> None:
    command = (*GUNICORN, "-c", "python:service.gunicorn_conf", "--max-requests", "5", "service.app:create_app()")
    with RunningService(tmp_path / "log", command) as service:
        (worker,) = service.workers()
        for _ in range(12):
            assert predict(service).status_code == 200
        service.wait_for_workers(2)
        wait_until(lambda: worker not in service.workers())


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--certfile", __file__), "Error: this worker has no TLS"),
        (("--access-logfile", "-"), "Error: .*DIGITALIS_LOG_REQUESTS=all"),
    ],
)
def test_an_option_that_this_worker_does_not_have_ends_the_start_with_one_line(
    tmp_path: Path, option: tuple[str, ...], words: str
) -> None:
    command = (*GUNICORN, "-c", "python:service.gunicorn_conf", *option, "service.app:create_app()")
    service = RunningService(tmp_path / "log", command)
    with pytest.raises(RuntimeError, match=words) as caught:
        service.__enter__()
    assert "Traceback" not in str(caught.value)


def test_too_few_file_descriptors_end_the_start_with_one_line(tmp_path: Path) -> None:
    service = RunningService(tmp_path / "log", ("sh", "-c", 'ulimit -n 60 && exec "$0" "$@"', *MODULE))
    with pytest.raises(RuntimeError, match=r"Error: this process may open 60 files.* more than 64") as caught:
        service.__enter__()
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("workers", "sent"),
    [(2, signal.SIGSTOP), (2, signal.SIGKILL), (1, signal.SIGKILL)],
    ids=["one of two hangs", "one of two is killed", "the only one is replaced"],
)
def test_a_worker_that_hangs_or_was_killed_leaves_no_connection_without_a_response(
    tmp_path: Path, workers: int, sent: signal.Signals
) -> None:
    with RunningService(tmp_path / "log", workers=str(workers)) as service, contextlib.ExitStack() as stack:
        service.wait_for_workers(workers)
        lost = service.workers()[0]
        os.kill(lost, sent)
        if sent == signal.SIGSTOP:
            stack.callback(os.kill, lost, signal.SIGCONT)
            wait_until(lambda: Path(f"/proc/{lost}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        elif workers == 1:
            service.wait_for_workers(2)
        else:
            wait_until(lambda: lost not in service.workers())
        connections = [stack.enter_context(RawConnection(service)) for _ in range(200)]
        for connection in connections:
            connection.send(READY)
        assert all(connection.response().startswith(b"HTTP/1.1 200") for connection in connections)


# Connections.


def test_a_slow_sender_delays_no_other_client(server: RunningService) -> None:
    with RawConnection(server) as slow:
        for byte in REQUEST[:40]:
            slow.send(bytes([byte]))
            assert server.client.get("/v2/health/live").status_code == 200
        assert slow.exchange(REQUEST[40:]).startswith(b"HTTP/1.1 200 OK")


def test_a_slow_reader_delays_no_other_client_and_receives_everything(server: RunningService) -> None:
    rows = json.dumps({"instances": ROW["instances"] * 10_000}).encode()
    with RawConnection(server) as slow:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        slow.send(PREDICT + b"Content-Length: %d\r\n\r\n" % len(rows) + rows)
        for _ in range(10):
            assert predict(server).status_code == 200
        response = slow.response()
    assert len(json.loads(response.partition(b"\r\n\r\n")[2])["predictions"]) == 10_000


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"Content-Length: 2000000\r\n\r\n", id="Content-Length"),
        pytest.param(b"Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n", id="100-continue"),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n" + b"[" * 0xFFFFF + b"\r\n", id="chunks that do not end"
        ),
    ],
)
def test_a_body_over_the_limit_gets_413_before_it_is_complete(server: RunningService, rest: bytes) -> None:
    with RawConnection(server) as connection:
        response = connection.exchange(PREDICT + rest)
    assert response.startswith(b"HTTP/1.1 413 ")
    assert b"the body is over 1000000 bytes" in response


def test_hang_ups_and_resets_leave_nothing_behind(server: RunningService) -> None:
    def open_files() -> int:
        return len(list(Path(f"/proc/{worker}/fd").iterdir()))

    (worker,) = server.workers()
    wait_until(lambda: predict(server).status_code == 200)
    before = open_files()
    for end in range(0, len(REQUEST), 3):
        with RawConnection(server) as connection:
            connection.send(REQUEST[:end])
            if end % 2:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset
    assert predict(server).status_code == 200
    wait_until(lambda: open_files() <= before)
    assert server.workers() == [worker]
    assert "Traceback" not in server.log()


def test_hundreds_of_connections_are_served(server: RunningService) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(server)) for _ in range(400)]
        for connection in connections:
            connection.send(REQUEST)
        assert all(connection.response().startswith(b"HTTP/1.1 200 OK") for connection in connections)


def test_two_workers_share_the_connections(tmp_path: Path) -> None:
    """However busy the machine is, neither has all of many; how evenly, is tested without a process."""
    with RunningService(tmp_path / "log", workers="2") as service, contextlib.ExitStack() as stack:
        service.wait_for_workers(2)
        wanted = 10
        for _ in range(20):
            connections = [stack.enter_context(RawConnection(service)) for _ in range(50)]
            assert all(connection.exchange(READY).startswith(b"HTTP/1.1 200") for connection in connections)
            counts = [open_connections(worker, service) for worker in service.workers()]
            if min(counts) >= wanted:
                return
        pytest.fail(f"one worker has nearly all: {counts}")


def open_connections(worker: int, service: RunningService) -> int:
    """How many connections to the service a process has."""
    port = int(service.address.rpartition(":")[2])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] != "0A"}  # 0A: it listens
    links = []
    for fd in Path(f"/proc/{worker}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            links.append(str(fd.readlink()))
    return sum(link.removeprefix("socket:[").removesuffix("]") in inodes for link in links)
