"""The server process: how it starts, what it prints, and how it stops."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from conftest import MODELS
from running_service import MODULE, ROOT, RunningService, clean_environment, failed_start, free_port

from service.settings import available_cores

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
GUNICORN = (sys.executable, "-m", "gunicorn", "--bind", "{address}", "--no-control-socket")


def received(connection: socket.socket) -> bytes:
    """One whole answer: its head, and as much as that announces; empty if the server hung up."""
    answer = http.client.HTTPResponse(connection)
    try:
        answer.begin()
    except (http.client.BadStatusLine, ConnectionError):
        return b""
    head = f"HTTP/1.1 {answer.status} {answer.reason}\r\n{answer.headers}".encode()
    return head + answer.read()


def test_it_says_where_it_answers_and_what_to_try_and_that_works(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log") as service:
        commands = [line.strip() for line in service.log().splitlines() if line.startswith("  curl ")]
        assert f"Digitalis serves {len(list(MODELS.iterdir()))} models at {service.url}/v1/models" in service.log()
        assert len(commands) == 2
        for command in commands:
            tried = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
            assert '"predictions":[{"label":"' in tried.stdout


def test_there_is_one_worker_a_core(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", workers=str(available_cores())) as service:
        service.wait_for_workers(available_cores())
        assert len(service.workers()) == available_cores()


def test_plain_gunicorn_serves_the_application_too(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", (*GUNICORN, "service.app:create_app()")) as service:
        answer = service.client.post("/v1/models/iris:predict", json=ROW)
        assert answer.json()["predictions"][0]["label"] == "setosa"


def test_a_request_in_flight_is_finished_after_sigterm(tmp_path: Path) -> None:
    """The last byte of a body is sent a second after SIGTERM; the answer still comes, and the exit status is 0."""
    with RunningService(tmp_path / "log") as service:
        body = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
        head = f"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        host, _, port = service.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(head + body[:-1])
            time.sleep(0.5)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            connection.sendall(body[-1:])
            answer = received(connection)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b'"label":"setosa"' in answer
        assert service.process.wait(20) == 0


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(
            b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", id="in the body"
        ),
        pytest.param(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Slow", id="in the head"),
    ],
)
def test_slow_senders_are_cut_off_and_others_answered(tmp_path: Path, beginning: bytes) -> None:
    """More senders than threads, each silent in the midst of a request: after the deadline all threads are free."""
    with RunningService(tmp_path / "log", request_threads="4", read_timeout="2") as service:
        host, _, port = service.address.partition(":")
        slow = [socket.create_connection((host, int(port)), timeout=30) for _ in range(8)]
        for connection in slow:
            connection.sendall(beginning)
        assert service.client.post("/v1/models/iris:predict", json=ROW, timeout=15).status_code == 200
        for connection in slow:
            answer = received(connection)
            assert not answer or (answer.startswith(b"HTTP/1.1 400 ") and b"ended after 1 of 100 bytes" in answer)
            connection.close()


def test_a_slow_answer_is_not_cut_off(tmp_path: Path) -> None:
    """The deadline is for senders: an inference that takes longer than it is still answered."""
    application = tmp_path / "slow.py"
    application.write_text(
        "import time\nfrom service.app import create_app\napp = create_app()\n"
        "runtime = app.models.find('iris').runtime\nrun = runtime.run\n"
        "runtime.run = lambda inputs: time.sleep(4) or run(inputs)\n"
    )
    command = (*GUNICORN, "-c", "python:service.gunicorn_conf", "--pythonpath", f"{tmp_path},{ROOT}", "slow:app")
    with RunningService(tmp_path / "log", command, read_timeout="1") as service:
        assert service.client.post("/v1/models/iris:predict", json=ROW).status_code == 200


def test_a_worker_that_is_replaced_answers_as_its_siblings(tmp_path: Path) -> None:
    """A version that appears later, whole or damaged, is not taken up by some of the workers."""
    models = Path(shutil.copytree(MODELS, tmp_path / "models"))
    with RunningService(tmp_path / "log", workers="2", models_dir=str(models)) as service:
        service.wait_for_workers(2)
        (models / "iris/5").mkdir()
        os.kill(service.workers()[0], signal.SIGKILL)
        service.wait_for_workers(3)
        versions = set()
        for _ in range(20):
            answer = httpx.post(f"{service.url}/v1/models/iris:predict", json=ROW, timeout=30)
            versions.add(answer.json()["model_version"])
        assert versions == {"4"}


def test_a_worker_that_cannot_be_replaced_does_not_stop_the_others(tmp_path: Path) -> None:
    models = Path(shutil.copytree(MODELS, tmp_path / "models"))
    with RunningService(tmp_path / "log", workers="2", models_dir=str(models)) as service:
        service.wait_for_workers(2)
        (models / "iris/4/model.onnx").write_bytes(b"")
        os.kill(service.workers()[0], signal.SIGKILL)
        deadline = time.monotonic() + 30
        while "a worker cannot start, and will be retried" not in service.log():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert service.process.poll() is None
        for _ in range(5):
            answer = httpx.post(f"{service.url}/v1/models/iris:predict", json=ROW, timeout=30)
            assert answer.status_code == 200


@pytest.mark.parametrize("megabytes", [17, 60])
def test_a_client_that_reads_only_after_sending_sees_why_its_body_is_refused(tmp_path: Path, megabytes: int) -> None:
    with (
        RunningService(tmp_path / "log") as service,
        contextlib.closing(http.client.HTTPConnection(service.address, timeout=30)) as connection,
    ):
        connection.request("POST", "/v1/models/iris:predict", body=bytes(megabytes * 10**6))
        answer = connection.getresponse()
        assert answer.status == 413
        assert b"over 16777216 bytes" in answer.read()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        pytest.param(
            b"Content-Length: 40\r\n\r\n6.3,3.3,6.0,2.5\n5.1,3.5,1.4,1",
            b"ended after 29 of 40 bytes",
            id="by its length",
        ),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n\r\n10\r\n6.3,3.3,6.0,2.5\n\r\n", b"the body ended too soon", id="by chunks"
        ),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", b"the body cannot be read", id="bad chunk"),
    ],
)
def test_a_body_that_is_cut_short_is_refused(tmp_path: Path, sent: bytes, words: bytes) -> None:
    with RunningService(tmp_path / "log") as service:
        host, _, port = service.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
            connection.sendall(head + sent)
            connection.shutdown(socket.SHUT_WR)
            answer = received(connection)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert words in answer
        assert "Traceback" not in service.log()


def test_many_clients_at_once_each_get_their_own_answer(tmp_path: Path) -> None:
    rows = {"setosa": [5.1, 3.5, 1.4, 0.2], "versicolor": [6.0, 2.9, 4.5, 1.5], "virginica": [6.3, 3.3, 6.0, 2.5]}
    wrong = []

    def ask(label: str, url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            for _ in range(40):
                answer = client.post("/v1/models/iris:predict", json={"instances": [rows[label]]}).json()
                if answer["predictions"][0]["label"] != label:
                    wrong.append(answer)

    with RunningService(tmp_path / "log", workers="2") as service:
        clients = [threading.Thread(target=ask, args=(label, service.url)) for label in rows for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    assert wrong == []


def test_what_is_not_even_http_is_answered_in_json(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log") as service:
        host, _, port = service.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(b"GET /v1/models HTTQ/9\r\n\r\n")
            answer = received(connection)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request")
        assert b"Content-Type: application/json" in answer
        assert b'{"error": "' in answer


def test_readiness_is_asked_from_the_command_line(tmp_path: Path) -> None:
    ask = (*MODULE, "--health")
    with RunningService(tmp_path / "log") as service:
        environment = clean_environment(bind=service.address)
        assert subprocess.run(ask, cwd=ROOT, env=environment, check=False).returncode == 0
    refused = subprocess.run(ask, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert f"not ready on {service.address}" in refused.stderr


def test_help_teaches_every_setting() -> None:
    shown = subprocess.run((*MODULE, "--help"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for words in ("DIGITALIS_BIND", "DIGITALIS_MAX_ROWS", "gunicorn -c python:service.gunicorn_conf"):
        assert words in shown


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_a_device_that_is_not_there_stops_the_start_with_the_reason(runtime: str) -> None:
    failed = failed_start(runtime=runtime, device="cuda:9")
    assert failed.returncode != 0
    (message,) = failed.stderr.splitlines()
    assert message.startswith("digitalis: ")
    assert "cuda" in message.lower()


def test_the_choice_of_the_device_is_logged_with_its_reason(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", device="auto") as service:
        assert "ONNX Runtime runs on " in service.log()


def test_a_failure_of_ours_is_logged_under_an_id_and_says_nothing_of_the_inside(tmp_path: Path) -> None:
    """A server whose model fails: the client gets an id, the log gets the cause."""
    application = tmp_path / "broken.py"
    application.write_text(
        "from service.app import create_app\n"
        "app = create_app()\n"
        "def fail(inputs): raise RuntimeError('the inside')\n"
        "app.models.find('iris').runtime.run = fail\n"
    )
    command = (*GUNICORN, "--pythonpath", f"{tmp_path},{ROOT}", "broken:app")
    with RunningService(tmp_path / "log", command, models_dir=str(MODELS)) as service:
        answer = service.client.post("/v1/models/iris:predict", json=ROW)
        assert answer.status_code == 500
        words, _, request_id = answer.json()["error"].rpartition(" ")
        assert words == "internal error; the log has it as request"
        assert "inside" not in answer.text
        assert service.client.get("/v2/health/ready").status_code == 200
    assert request_id in service.log()
    assert "RuntimeError: the inside" in service.log()


def test_the_service_reports_to_nobody(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry, where it is on, leaves a device id in the home folder as soon as it is imported."""
    bare = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}  # none of the variables by which it knows a CI
    program = "import service.inference.runtimes.onnx_runtime"
    subprocess.run((sys.executable, "-c", program), cwd=ROOT, env=bare, check=True)
    assert list(tmp_path.rglob("*")) == []


def test_a_port_in_use_stops_the_start() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        failed = failed_start(bind=f"127.0.0.1:{port}")
    assert failed.returncode == 2
    message = (
        f"digitalis: cannot listen on 127.0.0.1:{port}: Address already in use; DIGITALIS_BIND sets another address"
    )
    assert failed.stderr.splitlines() == [message]
