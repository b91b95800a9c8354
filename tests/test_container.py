"""The container image, built and run by Docker, or by the program in the environment variable CONTAINER_TOOL.

CONTAINER_TOOL is called with `build TAG`, `run [--read-only] TAG [command ...]` or `size TAG`. It must run
containers on the host's network, and pass them the `DIGITALIS_*` variables of its own environment.
"""

import contextlib
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
import yaml
from conftest import IRIS_VERSION, SAMPLES
from running_service import ROOT, ROW, clean_environment, free_port

pytestmark = pytest.mark.slow
TAG = "digitalis-under-test"
KSERVE = ROOT / ".venv-clients/bin/python"
TOOL = os.environ.get("CONTAINER_TOOL")


def docker_is_running() -> bool:
    return bool(shutil.which("docker")) and subprocess.run(("docker", "info"), capture_output=True).returncode == 0  # noqa: PLW1510


def build_command() -> list[str]:
    return [TOOL, "build", TAG] if TOOL else ["docker", "build", "--tag", TAG, "."]


def run_command(*command: str, read_only: bool = False, **settings: str) -> list[str]:
    flags = ["--read-only"] if read_only else []
    if TOOL:
        return [TOOL, "run", *flags, TAG, *command]
    environment = [f"--env=DIGITALIS_{name.upper()}={value}" for name, value in settings.items()]
    tmpfs = ["--tmpfs", "/tmp"] if read_only else []
    return ["docker", "run", "--rm", "--network", "host", *environment, *flags, *tmpfs, TAG, *command]


@pytest.fixture(scope="module")
def image() -> str:
    """The tag of the image, built from the working tree."""
    if not TOOL and not docker_is_running():
        pytest.skip("no container engine: Docker is not running, and CONTAINER_TOOL is not set")
    built = subprocess.run(build_command(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return TAG


@pytest.fixture(scope="module", params=[False, True], ids=["writable", "read-only"])
def container(request: pytest.FixtureRequest, image: str) -> Iterator[httpx.Client]:
    """A client of a running container, whose root file system is writable or read-only."""
    assert image
    with running_container(read_only=request.param) as client:
        yield client


@contextlib.contextmanager
def running_container(*command: str, read_only: bool = False, **settings: str) -> Iterator[httpx.Client]:
    """A client of a container that is ready, and listens on {port}; it is stopped at the end."""
    port = str(free_port())
    address = f"127.0.0.1:{port}"
    settings = {"bind": address} | settings
    process = subprocess.Popen(
        run_command(*[one.replace("{port}", port) for one in command], read_only=read_only, **settings),
        cwd=ROOT, env=clean_environment(**settings), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=30) as client:
            wait_until_ready(client, process)
            yield client
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert "onnxruntime:Default" not in output  # warnings of ONNX Runtime that mean nothing to users


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/v2/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail("the container did not become ready")


def output_in_container(*command: str) -> str:
    """What a command prints in a new container."""
    completed = subprocess.run(
        run_command(*command), cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    return completed.stdout.strip()


def test_the_container_predicts_a_digit_and_an_iris(container: httpx.Client) -> None:
    response = container.post("/v1/models/mnist-deep:predict", files={"image": (SAMPLES / "3.png").read_bytes()})
    assert response.json()["predictions"][0]["label"] == "3"
    rows = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
    assert container.post("/v1/models/iris:predict", json=rows).json()["predictions"][0]["label"] == "setosa"


def test_the_container_predicts_a_large_form_with_every_sample(container: httpx.Client) -> None:
    """The form is larger than the size from which web frameworks write uploads to temporary files."""
    paths = [path for path in sorted(SAMPLES.iterdir()) if path.stem.isdecimal()] * 10
    files = [("image", (path.name, path.read_bytes())) for path in paths]
    predictions = container.post("/v1/models/mnist-deep:predict", files=files).json()["predictions"]
    assert [prediction["label"] for prediction in predictions] == [path.name[0] for path in paths]


def test_the_health_check_of_the_image_succeeds(container: httpx.Client) -> None:
    address = f"{container.base_url.host}:{container.base_url.port}"
    command = run_command("python", "-m", "service", "--health", bind=address)
    assert subprocess.run(command, cwd=ROOT, env=clean_environment(bind=address), check=False).returncode == 0


def test_the_image_runs_as_sagemaker_starts_it_with_the_argument_serve(image: str) -> None:
    assert image
    with running_container("serve", default_model="iris") as client:
        assert client.get("/ping").status_code == 200
        row = client.post("/invocations", content="5.1,3.5,1.4,0.2\n", headers={"Content-Type": "text/csv"})
        assert row.json()["predictions"][0]["label"] == "setosa"


@contextlib.contextmanager
def as_kserve_runs_it() -> Iterator[httpx.Client]:
    """A container with the command of our runtime, on a single bundle, for an InferenceService of the name flowers."""
    (runtime,) = yaml.safe_load_all((ROOT / "deploy/kserve/serving-runtime.yaml").read_text())
    (container,) = runtime["spec"]["containers"]
    names = {"{{.Name}}": "flowers", "/mnt/models": f"models/iris/{IRIS_VERSION}", "0.0.0.0:8080": "127.0.0.1:{port}"}
    assert names.keys() <= {*container["args"]}
    command = [names.get(part, part) for part in (*container["command"], *container["args"])]
    with running_container(*command, read_only=True) as client:
        yield client


def test_the_image_serves_a_single_bundle_under_another_name_as_kserve_runs_it(image: str) -> None:
    assert image
    with as_kserve_runs_it() as client:
        assert client.get("/v1/models").json() == {"models": ["flowers"]}
        response = client.post("/v1/models/flowers:predict", json=ROW).json()
        assert (response["model_name"], response["predictions"][0]["label"]) == ("flowers", "setosa")
        assert client.get("/v2/models/flowers/ready").json() == {"name": "flowers", "ready": True}


KSERVES_CLIENT = """
import asyncio, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

async def ask(url):
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    answer = await v1.infer(url, {"instances": [[5.1, 3.5, 1.4, 0.2]]}, model_name="flowers")
    print(await v1.is_model_ready(url, "flowers"), answer["predictions"][0]["label"])
    v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
    rows = InferInput("features", [1, 4], "FP32")
    rows.set_data_from_numpy(np.array([[5.1, 3.5, 1.4, 0.2]], np.float32), binary_data=True)
    answer = await v2.infer(url, InferRequest("flowers", [rows]), model_name="flowers")
    ready = await v2.is_server_ready(url), await v2.is_model_ready(url, "flowers")
    print(*ready, answer.model_name, answer.outputs[0].as_numpy().argmax())

asyncio.run(ask(sys.argv[1]))
"""


@pytest.mark.clients
@pytest.mark.skipif(not KSERVE.exists(), reason="KServe's client is not installed: run `make test-slow`")
def test_kserves_own_client_asks_the_image_as_kserve_runs_it(image: str) -> None:
    assert image
    with as_kserve_runs_it() as client:
        command = (KSERVE, "-c", KSERVES_CLIENT, str(client.base_url))
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert asked.returncode == 0, asked.stderr
        assert asked.stdout.splitlines() == ["True setosa", "True True flowers 0"]


def test_the_image_listens_on_the_port_of_a_platform(image: str) -> None:
    assert image
    with running_container("env", "PORT={port}", "python", "-m", "service", bind="0.0.0.0:8000") as client:
        assert client.get("/v2/health/ready").status_code == 200


def test_the_image_contains_only_what_the_service_needs(image: str) -> None:
    assert image
    program = "import importlib.util as u, json; print(json.dumps([bool(u.find_spec(n)) for n in NAMES]))"
    names = ["service", "onnxruntime", "torch", "training", "onnx", "pytest"]
    output = output_in_container("python", "-c", program.replace("NAMES", json.dumps(names)))
    assert json.loads(output.splitlines()[-1]) == [True, True, False, False, False, False]
    assert sorted(output_in_container("ls", "/app").split()) == ["models", "service"]


def test_the_container_does_not_run_as_root(image: str) -> None:
    assert image
    assert output_in_container("id", "-u").splitlines()[-1] == "10001"


@pytest.mark.skipif(not TOOL, reason="only CONTAINER_TOOL prints the sizes of an image and of its base image")
def test_the_image_is_less_than_250_mb_larger_than_its_base_image(image: str) -> None:
    output = subprocess.run([str(TOOL), "size", image], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    size, base_size = (float(size) for size in re.findall(r"^\S+ +([\d.]+) MB", output, re.MULTILINE))
    print(f"{size - base_size:.0f} MB more than the base image's {base_size:.0f} MB")
    assert size - base_size < 250
