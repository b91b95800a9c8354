"""The server process: how it starts, what it logs, and what it does about workers and clients that fail."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import IRIS_VERSION, MODELS
from running_service import (
    GUNICORN,
    MODULE,
    ROOT,
    RawConnection,
    RunningService,
    clean_environment,
    failed_start,
    free_port,
    patched_service,
    predict,
)

DIGITALIS = (sys.executable, "-m", "digitalis", "serve")
CONFIGURED_BY_SETTINGS = (
    sys.executable,
    "-m",
    "gunicorn",
    "-c",
    "python:service.gunicorn_conf",
    "service.app:create_app()",
)
PREDICT = b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A server with the default settings, but one worker."""
    with RunningService(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def impatient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A server that waits a second for a request to arrive, and has four threads."""
    log = tmp_path_factory.mktemp("impatient") / "log"
    with RunningService(log, request_threads="4", read_timeout="1") as running:
        yield running


@pytest.fixture
def iris_models(tmp_path: Path) -> Path:
    """A models folder of its own that holds the model iris."""
    shutil.copytree(MODELS / "iris", tmp_path / "models/iris")
    return tmp_path / "models"


def test_the_log_says_where_it_listens_and_shows_requests_that_work(server: RunningService) -> None:
    commands = [line.strip() for line in server.log().splitlines() if line.startswith("  curl ")]
    assert f"Digitalis serves {len(list(MODELS.iterdir()))} models at {server.url}/v1/models. Try:" in server.log()
    assert f"{server.url}/ in a browser" in server.log()
    assert len(commands) == 2
    for command in commands:
        shown = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
        assert '"predictions":[{"label":"' in shown.stdout


def test_the_number_of_workers_is_as_set(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", workers="2") as server:
        server.wait_for_workers(2)
        assert len(server.workers()) == 2


def test_plain_gunicorn_serves_the_application(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", (*GUNICORN, "service.app:create_app()")) as server:
        assert predict(server).json()["predictions"][0]["label"] == "setosa"


def test_a_sender_that_stops_within_the_body_gets_408_after_the_read_timeout(impatient_server: RunningService) -> None:
    incomplete = PREDICT + b"Content-Length: 100\r\n\r\n{"
    for response in responses_to_stalled_senders(impatient_server, incomplete):
        assert response.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), response
        assert b"too slow after 1 bytes: at least 8192 bytes a second over 1 s (DIGITALIS_READ_TIMEOUT)" in response


def test_a_sender_that_stops_within_the_head_gets_408_after_the_read_timeout(
    impatient_server: RunningService,
) -> None:
    incomplete = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Slow"
    for response in responses_to_stalled_senders(impatient_server, incomplete):
        assert response.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), response
        assert b"head of the request has not arrived within 1 s (DIGITALIS_READ_TIMEOUT)" in response


def responses_to_stalled_senders(server: RunningService, incomplete: bytes) -> list[bytes]:
    """What each of twice as many clients as threads receives, while and after which others are served."""
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(RawConnection(server)) for _ in range(8)]
        for connection in stalled:
            connection.send(incomplete)
        assert predict(server).status_code == 200
        responses = [connection.response() for connection in stalled]
        assert predict(server).status_code == 200
    return responses


def test_the_read_timeout_does_not_limit_inference(tmp_path: Path) -> None:
    """An inference that takes three times the read timeout, and so lasts beyond a check of timeouts, gets 200."""
    patch = "runtime.run = lambda inputs: time.sleep(3) or original(inputs)"
    with patched_service(tmp_path, patch, read_timeout="1") as server:
        assert predict(server).status_code == 200


def test_replaced_workers_serve_the_newest_version_that_opens_now(tmp_path: Path, iris_models: Path) -> None:
    """Later versions, one valid and one damaged, appear before all workers are killed."""
    version = int(IRIS_VERSION)
    with RunningService(tmp_path / "log", workers="2", models_dir=str(iris_models)) as server:
        server.wait_for_workers(2)
        add_version(iris_models, version + 1)
        (iris_models / f"iris/{version + 2}").mkdir()
        for worker in server.workers():
            os.kill(worker, signal.SIGKILL)
        server.wait_for_workers(4)
        assert {predict(server).json()["model_version"] for _ in range(10)} == {str(version + 1)}


def add_version(models: Path, version: int) -> None:
    folder = Path(shutil.copytree(models / f"iris/{version - 1}", models / f"iris/{version}"))
    manifest = json.loads((folder / "manifest.json").read_text()) | {"version": str(version)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_worker_that_cannot_be_replaced_does_not_stop_the_others(tmp_path: Path, iris_models: Path) -> None:
    with RunningService(tmp_path / "log", workers="2", models_dir=str(iris_models)) as server:
        server.wait_for_workers(2)
        (iris_models / f"iris/{IRIS_VERSION}/model.onnx").write_bytes(b"")
        os.kill(server.workers()[0], signal.SIGKILL)
        server.wait_for_log("a worker cannot start, and will be retried")
        assert server.process.poll() is None
        assert [predict(server).status_code for _ in range(5)] == [200] * 5
        server.process.send_signal(signal.SIGQUIT)  # which does not wait for the worker that waits before its next try
        assert server.process.wait(20) == 0


@pytest.mark.parametrize("megabytes", [17, 60])
def test_a_client_that_reads_only_after_sending_sees_why_its_body_is_rejected(
    server: RunningService, megabytes: int
) -> None:
    with contextlib.closing(http.client.HTTPConnection(server.address, timeout=30)) as connection:
        connection.request("POST", "/v1/models/iris:predict", body=bytes(megabytes * 10**6))
        response = connection.getresponse()
        assert response.status == 413
        assert b"over 16777216 bytes" in response.read()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        pytest.param(
            b"Content-Length: 40\r\n\r\n6.3,3.3,6.0,2.5\n5.1,3.5,1.4,1",
            b"ended after 29 of 40 bytes",
            id="fewer bytes than Content-Length",
        ),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n\r\n10\r\n6.3,3.3,6.0,2.5\n\r\n",
            b"the body ended too soon",
            id="no last chunk",
        ),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", b"the body cannot be read", id="invalid length of a chunk"
        ),
    ],
)
def test_an_incomplete_body_is_rejected(server: RunningService, sent: bytes, words: bytes) -> None:
    with RawConnection(server) as connection:
        connection.send(PREDICT + b"Content-Type: text/csv\r\n" + sent)
        connection.socket.shutdown(socket.SHUT_WR)
        response = connection.response()
    assert response.startswith(b"HTTP/1.1 400 ")
    assert words in response
    assert "Traceback" not in server.log()


def test_concurrent_clients_each_get_the_response_to_their_own_request(tmp_path: Path) -> None:
    rows = {"setosa": [5.1, 3.5, 1.4, 0.2], "versicolor": [6.0, 2.9, 4.5, 1.5], "virginica": [6.3, 3.3, 6.0, 2.5]}
    found: list[tuple[str, str]] = []

    def send(server: RunningService, label: str) -> None:
        with server.new_client() as client:
            for _ in range(40):
                response = client.post("/v1/models/iris:predict", json={"instances": [rows[label]]}).json()
                found.append((label, response["predictions"][0]["label"]))

    with RunningService(tmp_path / "log", workers="2") as server:
        server.wait_for_workers(2)
        clients = [threading.Thread(target=send, args=(server, label)) for label in rows for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    assert sorted(found) == sorted((label, label) for label in rows for _ in range(4 * 40))


def test_the_response_to_what_is_not_http_is_json(server: RunningService) -> None:
    with RawConnection(server) as connection:
        response = connection.exchange(b"GET /v1/models HTTQ/9\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"Content-Type: application/json" in response
    assert b'{"error": "' in response


def test_readiness_can_be_checked_from_the_command_line(server: RunningService) -> None:
    command = (*MODULE, "--health")
    environment = clean_environment(bind=server.address)
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
    address = f"127.0.0.1:{free_port()}"
    environment = clean_environment(bind=address)
    failed = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert failed.returncode == 1
    assert f"not ready on {address}" in failed.stderr


def test_help_lists_every_setting() -> None:
    shown = subprocess.run((*MODULE, "--help"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for words in ("DIGITALIS_BIND", "DIGITALIS_MAX_ROWS", "gunicorn -c python:service.gunicorn_conf"):
        assert words in shown


def test_an_internal_error_is_logged_under_an_id_and_the_response_has_only_the_id(tmp_path: Path) -> None:
    with patched_service(tmp_path, "def run(inputs): raise RuntimeError('the cause')\nruntime.run = run") as server:
        response = predict(server)
        assert response.status_code == 500
        words, _, request_id = response.json()["error"].rpartition(" ")
        assert words == "internal error; the log has it as request"
        assert "the cause" not in response.text
        assert server.client.get("/v2/health/ready").status_code == 200
    assert request_id in server.log()
    assert "RuntimeError: the cause" in server.log()


def test_onnx_runtimes_telemetry_is_off(tmp_path: Path) -> None:
    """If it is on, it leaves a device id in the home folder as soon as ONNX Runtime is imported."""
    bare = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}  # none of the variables by which it recognises a CI
    program = "import service.inference.runtimes.onnx_runtime"
    subprocess.run((sys.executable, "-c", program), cwd=ROOT, env=bare, check=True)
    assert list(tmp_path.rglob("*")) == []


def test_a_port_in_use_stops_the_start() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        failed = failed_start(bind=f"127.0.0.1:{port}")
    assert failed.returncode == 2
    message = f"digitalis: cannot listen on 127.0.0.1:{port}: Address already in use; DIGITALIS_BIND sets another"
    assert failed.stderr == f"{message} address, PORT another port\n"


@pytest.mark.parametrize(
    "command", [MODULE, DIGITALIS, CONFIGURED_BY_SETTINGS], ids=["module", "digitalis", "gunicorn"]
)
def test_a_platform_s_port_replaces_the_port_for_every_way_to_start(tmp_path: Path, command: tuple[str, ...]) -> None:
    """The banner and the health check know it too."""
    with RunningService(tmp_path / "log", ("env", "PORT={port}", *command), bind="127.0.0.1:1") as server:
        server.wait_for_log(f" models at {server.url}/v1/models. Try:")
        assert predict(server).status_code == 200
        environment = clean_environment(bind="127.0.0.1:1") | {"PORT": server.address.rpartition(":")[2]}
        assert subprocess.run((*MODULE, "--health"), cwd=ROOT, env=environment, check=False).returncode == 0


def test_the_option_bind_wins_over_a_platform_s_port(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", ("env", "PORT=1", *MODULE, "--bind", "{address}")) as server:
        assert predict(server).status_code == 200


def test_a_port_that_is_none_stops_the_start_with_one_line() -> None:
    failed = failed_start({"PORT": "http"})
    assert failed.returncode == 2
    assert failed.stderr == "digitalis: PORT='http': expected the number of a port, from 1 to 65535\n"


def test_an_idle_connection_is_closed_after_keepalive(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", keepalive="1") as server, RawConnection(server) as connection:
        live = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        assert connection.exchange(live).startswith(b"HTTP/1.1 200")
        assert connection.response() == b""


def test_a_python_without_the_packages_is_told_where_they_are() -> None:
    without_site_packages = (sys.executable, "-S", "-m", "service")
    run = subprocess.run(without_site_packages, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == (
        "digitalis: gunicorn is not installed here: `make serve` installs into .venv; try .venv/bin/python; "
        "or pip install 'digitalis-service[cpu]'\n"
    )
