"""The application on other servers, and ours beside others: in the environment that `make test-slow` makes for them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SAMPLES
from running_service import ROOT, RunningService

THERE = ROOT / ".venv-clients/bin"
ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
APPLICATION = ("--factory", "service.app:create_app")

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(not THERE.exists(), reason="the other servers are not here: `make test-slow` installs them"),
]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param((str(THERE / "granian"), "--interface", "wsgi", *APPLICATION, "--port", "{port}"), id="granian"),
        pytest.param((str(THERE / "uvicorn"), "--interface", "wsgi", *APPLICATION, "--port", "{port}"), id="uvicorn"),
        pytest.param(
            (str(THERE / "gunicorn"), "-k", "gthread", "--bind", "{address}", "service.app:create_app()"), id="gthread"
        ),
    ],
)
def test_any_server_of_wsgi_applications_runs_ours(tmp_path: Path, command: tuple[str, ...]) -> None:
    with RunningService(tmp_path / "log", command, device="cpu", max_body_bytes="100000") as service:
        answer = service.client.post("/v1/models/iris:predict", json=ROW)
        assert answer.json()["predictions"][0]["label"] == "setosa"
        assert answer.headers["Server-Timing"].startswith("decode;dur=")
        picture = (SAMPLES / "3.png").read_bytes()
        read = service.client.post("/v1/models/mnist:predict", files={"image": picture}).json()
        assert read["predictions"][0]["label"] == "3"
        chunks = service.client.post("/v1/models/iris:predict", content=iter([json.dumps(ROW).encode()]))
        # Uvicorn does not say that its input ends (wsgi.input_terminated), so one of unknown length is not read.
        assert chunks.status_code == (400 if "uvicorn" in command[0] else 200)
        assert service.client.post("/v1/models/iris:predict", content=bytes(200_000)).status_code == 413
        assert service.client.head("/v1/models").content == b""
        assert service.client.get("/nowhere").status_code == 404
        assert 'digitalis_requests_total{model="iris"' in service.client.get("/metrics").text


def test_our_server_is_measured_beside_others() -> None:
    """Shortened: that each answers rightly, and that there is a figure for each, not what it is."""
    names = ("fastapi", "fastapi-tuned", "granian", "kserve")
    command = [sys.executable, "-m", "benchmarks", "serve", "--rounds", "1", "--seconds", "0.5", "--peers", *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("Digitalis", "FastAPI, idiomatic", "FastAPI, tuned by hand", "create_app() on Granian"):
        assert done.stdout.count(f"| {name} | ") >= 3, done.stdout
    assert done.stdout.count("| KServe's server | ") == 3
    assert "Bare ONNX Runtime" in done.stdout
