"""The image, built and run for real: with Docker, or with the program that CONTAINER_TOOL names.

CONTAINER_TOOL takes `build TAG` and `run [--read-only] TAG [command ...]`, and runs on the host's network with the
`DIGITALIS_*` variables of its own environment.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest
from conftest import SAMPLES
from running_service import ROOT, clean_environment, free_port

pytestmark = pytest.mark.slow
TAG = "digitalis-under-test"
TOOL = os.environ.get("CONTAINER_TOOL")


def docker_answers() -> bool:
    return bool(shutil.which("docker")) and subprocess.run(("docker", "info"), capture_output=True).returncode == 0  # noqa: PLW1510


def build_command() -> list[str]:
    return [TOOL, "build", TAG] if TOOL else ["docker", "build", "--tag", TAG, "."]


def run_command(*command: str, read_only: bool = False, **settings: str) -> list[str]:
    flags = ["--read-only"] if read_only else []
    if TOOL:
        return [TOOL, "run", *flags, TAG, *command]
    given = [f"--env=DIGITALIS_{name.upper()}={value}" for name, value in settings.items()]
    scratch = ["--tmpfs", "/tmp"] if read_only else []
    return ["docker", "run", "--rm", "--network", "host", *given, *flags, *scratch, TAG, *command]


@pytest.fixture(scope="module")
def image() -> str:
    """The image of this tree, freshly built."""
    if not TOOL and not docker_answers():
        pytest.skip("no container engine here: no Docker answers, and CONTAINER_TOOL names no other")
    built = subprocess.run(build_command(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return TAG


@pytest.fixture(scope="module", params=[False, True], ids=["writable", "read-only"])
def container(request: pytest.FixtureRequest, image: str) -> Iterator[httpx.Client]:
    """The image, running, on an ordinary and on a read-only root file system."""
    assert image
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        run_command(read_only=request.param, bind=address),
        cwd=ROOT, env=clean_environment(bind=address), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with httpx.Client(base_url=f"http://{address}", timeout=30) as client:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get("/v2/health/ready").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        else:
            pytest.fail("the container did not become ready")
        yield client
    os.killpg(process.pid, signal.SIGTERM)
    shown, _ = process.communicate(timeout=60)
    assert "onnxruntime:Default" not in shown  # its own warnings are not for our users


def inside(*command: str) -> str:
    shown = subprocess.run(
        run_command(*command), cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    return shown.stdout.strip()


def test_the_container_reads_a_digit_and_tells_an_iris(container: httpx.Client) -> None:
    answer = container.post("/v1/models/mnist-deep:predict", files={"image": (SAMPLES / "3.png").read_bytes()})
    assert answer.json()["predictions"][0]["label"] == "3"
    rows = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
    assert container.post("/v1/models/iris:predict", json=rows).json()["predictions"][0]["label"] == "setosa"


def test_every_sample_and_a_large_form_are_read_in_the_container(container: httpx.Client) -> None:
    """Uploads past the size at which a web framework would spool them to a file."""
    paths = [path for path in sorted(SAMPLES.iterdir()) if path.suffix != ".py"] * 10
    files = [("image", (path.name, path.read_bytes())) for path in paths]
    predictions = container.post("/v1/models/mnist-deep:predict", files=files).json()["predictions"]
    assert [prediction["label"] for prediction in predictions] == [path.name[0] for path in paths]


def test_the_health_check_of_the_image_sees_it(container: httpx.Client) -> None:
    address = f"{container.base_url.host}:{container.base_url.port}"
    command = run_command("python", "-m", "service", "--health", bind=address)
    assert subprocess.run(command, cwd=ROOT, env=clean_environment(bind=address), check=False).returncode == 0


def test_only_what_serving_needs_is_inside(image: str) -> None:
    assert image
    program = "import importlib.util as u, json; print(json.dumps([bool(u.find_spec(n)) for n in NAMES]))"
    names = ["service", "onnxruntime", "torch", "training", "onnx", "pytest"]
    found = inside("python", "-c", program.replace("NAMES", json.dumps(names)))
    assert json.loads(found.splitlines()[-1]) == [True, True, False, False, False, False]
    assert sorted(inside("ls", "/app").split()) == ["models", "service"]


def test_it_runs_as_an_ordinary_user(image: str) -> None:
    assert image
    assert inside("id", "-u").splitlines()[-1] == "10001"


@pytest.mark.skipif(not TOOL, reason="only CONTAINER_TOOL prints an image's size beside its base's")
def test_the_layers_above_the_base_stay_under_250_mb(image: str) -> None:
    shown = subprocess.run([str(TOOL), "size", image], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    ours, base = (float(size) for size in re.findall(r"^\S+ +([\d.]+) MB", shown, re.MULTILINE))
    print(f"{ours - base:.0f} MB above the base image's {base:.0f} MB")
    assert ours - base < 250
