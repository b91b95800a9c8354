"""The application on other servers, and ours beside others: in the environment that `make test-slow` makes for them."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import SAMPLES
from PIL import Image
from running_service import ROOT, RunningService

from benchmarks.serve import others

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


def test_our_server_is_measured_beside_others(tmp_path: Path) -> None:
    """Shortened: that each answers rightly, and that there is a figure for each, not what it is."""
    names = ("fastapi", "fastapi-tuned", "granian", "kserve", "least")
    pictures = [tmp_path / "bars.png", tmp_path / "curves.png"]
    short = ("--rounds", "1", "--seconds", "0.2", "--bars", str(pictures[0]), "--curves", str(pictures[1]))
    command = [sys.executable, "-m", "benchmarks", "serve", *short, "--peers", *names]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        late = threading.Timer(600, running.terminate)  # and not kill: it ends its servers first
        late.start()
        said, errors = running.communicate()
        late.cancel()
    assert running.returncode == 0, errors
    tables, curves = said.split("**Answers/s to an Iris row, by connections**")
    for name in ("Digitalis", "FastAPI, idiomatic", "FastAPI, tuned by hand", "create_app() on Granian"):
        assert tables.count(f"| {name} | ") >= 4, said
        assert curves.count(f"| {name} | ") >= 3, said
    assert tables.count("| KServe's server | ") == 3
    assert tables.count("| Next to nothing, in Python | ") == 2
    assert "- Digitalis: " in tables.split("Bare ONNX Runtime")[1]
    assert "two workers answer" in curves
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.width > 500, path


def test_the_other_servers_are_known_by_name_and_pinned() -> None:
    command = [sys.executable, "-m", "benchmarks", "serve", "--peers", "tensorflow"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "no tensorflow; there are fastapi, " in done.stderr) == (2, True)
    for name in others.alone():
        needs = others.needs(name)
        assert len(needs) >= 3, name
        assert all("==" in need for need in needs), name
