"""A real server for a test: started in a process of its own, requested over TCP, stopped at the end."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

ROOT = Path(__file__).parent.parent
MODULE = (sys.executable, "-m", "service")
GUNICORN = (sys.executable, "-m", "gunicorn", "--bind", "{address}", "--no-control-socket")
CONFIGURED_GUNICORN = (*GUNICORN, "-c", "python:service.gunicorn_conf", "service.app:create_app()")
COMMANDS = pytest.mark.parametrize("command", [MODULE, CONFIGURED_GUNICORN], ids=["module", "gunicorn"])
ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}  # an iris of the species setosa
DEADLINE = 60  # seconds after which what a test waits for is considered not to happen
START_TIMEOUT = 120  # seconds; the first start on a GPU reads 2 GB of CUDA libraries

# An application whose model runs what a test puts in the place of `run`. It and the test tell each other by files.
PATCHED_APP = """
import threading, time
from pathlib import Path
from service.app import create_app
app = create_app()
runtime = app.models.find("iris").runtime
original = runtime.run
folder = Path(__file__).parent

def wait_for_release(inputs):
    (folder / f"entered-{threading.get_ident()}").touch()
    while not (folder / "released").exists():
        time.sleep(0.005)
    return original(inputs)

"""


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment of this process with only these `DIGITALIS_*` settings, which are named without the prefix.

    Unless the settings say otherwise the device is the CPU, and requests wait as long as it takes: tests must not
    depend on whether the machine has a GPU, or is busy.
    """
    inherited = {
        name: text for name, text in os.environ.items() if not name.startswith("DIGITALIS_") and name != "PORT"
    }
    steady = {"device": "cpu", "queue_timeout_ms": str(1000 * DEADLINE)}
    return inherited | {f"DIGITALIS_{name.upper()}": value for name, value in (steady | settings).items()}


def free_port() -> int:
    """A port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], expectation: str = "") -> None:
    """Poll a condition until it is true; raises `TimeoutError` with the expectation after `DEADLINE`."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {DEADLINE} s: {expectation or condition}")
        time.sleep(0.01)


class RunningService:
    """A server process on a port of its own; inside the context it is ready. It has one worker and runs on the CPU."""

    def __init__(
        self,
        log: Path,
        command: tuple[str, ...] = MODULE,
        environment: Mapping[str, str] | None = None,
        **settings: str,
    ) -> None:
        port = free_port()
        self.host_and_port = ("127.0.0.1", port)
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        self._log = log
        self._command = [part.replace("{address}", self.address).replace("{port}", str(port)) for part in command]
        self._environment = clean_environment(**{"bind": self.address, "workers": "1"} | settings)
        self._environment |= environment or {}

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.client = self.new_client()
        deadline = time.monotonic() + START_TIMEOUT
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"the service did not start:\n{self.log()}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise

    def new_client(self, **headers: str) -> httpx.Client:
        """A client with connections of its own. No certificates are loaded: that takes longer than a request."""
        return httpx.Client(base_url=self.url, headers=headers, timeout=DEADLINE, verify=False)

    def log(self) -> str:
        """All that the process has printed."""
        return self._log.read_text()

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def wait_for_workers(self, count: int) -> None:
        """Until this many workers, those that were replaced included, have opened their models."""
        self.wait_for_log("models are open", count)

    def wait_for_log(self, words: str, count: int = 1) -> None:
        """Until the process has printed these words so often."""
        try:
            wait_until(lambda: self.log().count(words) >= count, f"{words!r} in the log, {count} times")
        except TimeoutError as error:
            raise RuntimeError(f"{error}\n{self.log()}") from None

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class RawConnection:
    """A TCP connection to a server: the test chooses the bytes that are sent, and reads whole responses."""

    def __init__(self, server: RunningService) -> None:
        host, _, port = server.address.partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=DEADLINE)
        self._stream = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.socket.sendall(data)

    def response(self) -> bytes:
        """One whole response, or nothing once the server has closed the connection."""
        head = b""
        for line in self._stream:
            head += line
            if line == b"\r\n":
                break
        length = re.search(rb"(?i)content-length: (\d+)", head)
        return head + (self._stream.read(int(length[1])) if length else b"")

    def exchange(self, request: bytes) -> bytes:
        """Send a request, and return its response."""
        self.send(request)
        return self.response()


def rejects_connections(server: RunningService) -> bool:
    """Whether the server has closed its listening sockets, as it does after SIGTERM."""
    try:
        RawConnection(server).__exit__()
    except ConnectionRefusedError:
        return True
    return False


def predict(server: RunningService, body: Any = ROW, model: str = "iris") -> httpx.Response:
    """A V1 prediction over a connection of its own, so that any worker may handle it."""
    return httpx.post(f"{server.url}/v1/models/{model}:predict", json=body, timeout=DEADLINE, verify=False)


def patched_service(folder: Path, patch: str, **settings: str) -> RunningService:
    """A server of the model iris alone, on which this code has changed `runtime.run`, a function of `inputs`."""
    shutil.copytree(ROOT / "models/iris", folder / "models/iris")
    (folder / "patched.py").write_text(f"{PATCHED_APP}{patch}\n")
    command = (*GUNICORN, "-c", "python:service.gunicorn_conf", "--pythonpath", f"{folder},{ROOT}", "patched:app")
    return RunningService(folder / "log", command, None, models_dir=str(folder / "models"), **settings)


def entered(folder: Path) -> int:
    """How many threads of a patched server wait to be released."""
    return len(list(folder.glob("entered-*")))


def failed_start(environment: Mapping[str, str] | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m service`, which must fail, to its end."""
    variables = clean_environment(**{"bind": f"127.0.0.1:{free_port()}", "workers": "1"} | settings)
    variables.update(environment or {})
    return subprocess.run(
        MODULE, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=START_TIMEOUT, check=False
    )
