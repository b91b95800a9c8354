"""The servers: how each is started on one core, and what its processes take."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serve.load import ask_once
from benchmarks.serve.work import Work

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
OTHERS = ROOT / ".venv-clients/bin"  # `make test-slow` makes it
SERVER_CORE, CLIENT_CORE = 0, -1
LONGEST_START = 120  # seconds


@dataclass(frozen=True)
class Server:
    """A name and a command; `{port}` in it is where it shall answer. `speaks` says which work it can do."""

    name: str
    command: tuple[str, ...]
    speaks: tuple[str, ...] = ("v1",)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    address: tuple[str, int]
    process: subprocess.Popen[bytes]
    seconds: float
    """From launch to the first right answer."""

    def pss(self) -> float:
        """Megabytes of all its processes, what they share divided among them."""
        return sum(_pss(pid) for pid in _family(self.process.pid)) / 1024


def ours(workers: int = 1) -> Server:
    """The project, as `python -m service` runs it, with all bundles."""
    settings = {"WORKERS": str(workers), "DEVICE": "cpu", "INTRA_OP_THREADS": "1", "BIND": "127.0.0.1:{port}"}
    environment = {f"DIGITALIS_{name}": value for name, value in settings.items()}
    return Server("Digitalis", (sys.executable, "-m", "service"), ("v1", "form", "v2"), environment)


def peers() -> dict[str, Server]:
    """The others, by the names that `--peers` takes."""
    uvicorn: tuple[str, ...] = (
        str(OTHERS / "uvicorn"),
        "--app-dir",
        str(PEERS),
        "--port",
        "{port}",
        "--log-level",
        "warning",
    )
    uvicorn += ("--no-access-log", "--loop", "uvloop", "--http", "httptools")
    granian = (str(OTHERS / "granian"), "--interface", "wsgi", "--port", "{port}", "--no-ws", "--log-level", "warning")
    python = str(OTHERS / "python")
    models = {"DIGITALIS_DEVICE": "cpu", "DIGITALIS_INTRA_OP_THREADS": "1"}
    return {
        "fastapi": Server("FastAPI, idiomatic", (*uvicorn, "fastapi_idiomatic:app"), ("v1", "form")),
        "fastapi-tuned": Server("FastAPI, tuned by hand", (*uvicorn, "fastapi_tuned:app"), ("v1", "form")),
        "granian": Server(
            "create_app() on Granian", (*granian, "--factory", "service.app:create_app"), ("v1", "form", "v2"), models
        ),
        "kserve": Server("KServe's server", (python, str(PEERS / "kserve_server.py"), "--http_port", "{port}")),
        "flask": Server(
            "Flask on Gunicorn, gthread(4)",
            (str(OTHERS / "gunicorn"), "--chdir", str(PEERS), "-k", "gthread", "--threads", "4", "-b",
             "127.0.0.1:{port}", "--no-control-socket", "flask_naive:app"),
            ("v1", "form"),
        ),
    }  # fmt: skip


@contextmanager
def running(server: Server, port: int, work: Work, cores: set[int] | None = None) -> Iterator[Running]:
    """Start a server on one core; it is there when it gives the right answer to this work."""
    command = [part.replace("{port}", str(port)) for part in server.command]
    files = {"IRIS_ONNX": onnx_of("iris"), "MNIST_ONNX": onnx_of("mnist-deep"), "OMP_NUM_THREADS": "1"}
    own = {name: value.replace("{port}", str(port)) for name, value in server.environment.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DIGITALIS_")}
    pinned = cores or {sorted(os.sched_getaffinity(0))[SERVER_CORE]}
    started = time.monotonic()
    pin = ["taskset", "--cpu-list", ",".join(map(str, pinned))]
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen([*pin, *command], cwd=ROOT, env=inherited | files | own, stdout=nowhere, stderr=nowhere)
    try:
        address = ("127.0.0.1", port)
        _wait(server, process, address, work)
        yield Running(server, address, process, time.monotonic() - started)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def check(one: Running, work: Work) -> None:
    """Raise `RuntimeError` unless the answer is right."""
    head, _, body = ask_once(one.address, work.request).partition(b"\r\n\r\n")
    if not (head.startswith(b"HTTP/1.1 200") and work.is_right(body)):
        raise RuntimeError(f"{one.server.name}: wrong answer to {work.name}: {head[:100]!r} {body[:300]!r}")


def _wait(server: Server, process: subprocess.Popen[bytes], address: tuple[str, int], work: Work) -> None:
    deadline = time.monotonic() + LONGEST_START
    while True:
        try:
            head, _, body = ask_once(address, work.request).partition(b"\r\n\r\n")
        except OSError:
            head = body = b""
        if head.startswith(b"HTTP/1.1 200") and work.is_right(body):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.name} does not start: {' '.join(server.command)}")
        time.sleep(0.01)


def onnx_of(name: str) -> str:
    """The path of a bundle's `model.onnx`."""
    (folder,) = (ROOT / "models" / name).iterdir()
    return str(folder / "model.onnx")


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
