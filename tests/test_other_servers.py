"""The application on other WSGI servers, and the load test beside other servers; `make test-slow` installs them."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES
from PIL import Image
from running_service import ROOT, RunningService

from benchmarks.serve import others

CLIENTS_BIN = ROOT / ".venv-clients/bin"
ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
APPLICATION = ("--factory", "service.app:create_app")

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(not CLIENTS_BIN.exists(), reason="the other servers are not installed: run `make test-slow`"),
]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            (str(CLIENTS_BIN / "granian"), "--interface", "wsgi", *APPLICATION, "--port", "{port}"), id="granian"
        ),
        pytest.param(
            (str(CLIENTS_BIN / "uvicorn"), "--interface", "wsgi", *APPLICATION, "--port", "{port}"), id="uvicorn"
        ),
        pytest.param(
            (str(CLIENTS_BIN / "gunicorn"), "-k", "gthread", "--bind", "{address}", "service.app:create_app()"),
            id="gthread",
        ),
    ],
)
def test_other_wsgi_servers_run_the_application(tmp_path: Path, command: tuple[str, ...]) -> None:
    with RunningService(tmp_path / "log", command, device="cpu", max_body_bytes="100000") as service:
        response = service.client.post("/v1/models/iris:predict", json=ROW)
        assert response.json()["predictions"][0]["label"] == "setosa"
        assert response.headers["Server-Timing"].startswith("decode;dur=")
        image = (SAMPLES / "3.png").read_bytes()
        prediction = service.client.post("/v1/models/mnist:predict", files={"image": image}).json()
        assert prediction["predictions"][0]["label"] == "3"
        chunked = service.client.post("/v1/models/iris:predict", content=iter([json.dumps(ROW).encode()]))
        # Uvicorn does not set wsgi.input_terminated, so a chunked body, whose length is unknown, is not read.
        assert chunked.status_code == (400 if "uvicorn" in command[0] else 200)
        assert service.client.post("/v1/models/iris:predict", content=bytes(200_000)).status_code == 413
        assert service.client.head("/v1/models").content == b""
        assert service.client.get("/nowhere").status_code == 404
        assert 'digitalis_requests_total{model="iris"' in service.client.get("/metrics").text


def test_the_load_test_measures_every_server(tmp_path: Path) -> None:
    """A short run: every server responds correctly and has a row in each table, whatever its figures."""
    names = ("fastapi", "fastapi-tuned", "granian", "kserve", "minimal-socket")
    charts = [tmp_path / "bars.png", tmp_path / "curves.png"]
    short = ("--rounds", "1", "--seconds", "0.2", "--bars", str(charts[0]), "--curves", str(charts[1]))
    command = [sys.executable, "-m", "benchmarks", "serve", *short, "--peers", *names]
    patient = os.environ | {"DIGITALIS_QUEUE_TIMEOUT_MS": "60000"}  # on a busy machine requests would wait for too long
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=patient, **pipes) as running:
        timeout = threading.Timer(600, running.terminate)  # not kill, so that it stops its servers first
        timeout.start()
        output, errors = running.communicate()
        timeout.cancel()
    assert running.returncode == 0, errors
    tables, curves = output.split("**Requests/s, one Iris row, by connections**")
    for name in ("Digitalis", "FastAPI, idiomatic", "FastAPI, tuned by hand", "create_app() on Granian"):
        assert tables.count(f"| {name} | ") >= 4, output
        assert curves.count(f"| {name} | ") >= 3, output
    assert tables.count("| KServe's server | ") == 3
    assert tables.count("| Minimal socket server | ") == 2
    assert "- Digitalis: " in tables.split("ONNX Runtime without a server")[1]
    assert "two workers have" in curves
    for path in charts:
        with Image.open(path) as chart:
            assert chart.width > 500, path


def test_an_unknown_peer_is_rejected_and_the_known_ones_are_pinned() -> None:
    command = [sys.executable, "-m", "benchmarks", "serve", "--peers", "tensorflow"]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (completed.returncode, "unknown tensorflow; choose from fastapi, " in completed.stderr) == (2, True)
    for name in others.isolated_peers():
        requirements = others.pinned_requirements(name)
        assert len(requirements) >= 3, name
        assert all("==" in requirement for requirement in requirements), name
