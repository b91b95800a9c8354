"""Servers under test: how each is started on one core, suspended, resumed and stopped, and how much memory it uses."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.serve.load_generator import send_once
from benchmarks.serve.workloads import WORKLOADS, Workload
from service.bundle.manifest import ONNX
from service.errors import DigitalisError

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
DIGITALIS = "Digitalis"
CORES = os.sched_getaffinity(0)
SERVER_CORE, CLIENT_CORE = min(CORES), max(CORES)
FIRST_PORT = 8300
START_TIMEOUT = 120  # seconds
STOP_TIMEOUT = 10  # seconds
HEARTBEAT_TIME = 0.05  # seconds in which resumed child processes report to their parent


@dataclass(frozen=True)
class Server:
    """How to start a server; `{port}` in `command` and `environment` is replaced by its port.

    `workload_keys` are the keys of `workloads.WORKLOADS` that it supports; `path` replaces the path of the first of
    them, if given. `warm_up` is how many seconds of load it needs to reach full speed.
    """

    name: str
    command: tuple[str, ...]
    workload_keys: tuple[str, ...] = ("row", "rows")
    path: str | None = None
    warm_up: float = 0
    environment: dict[str, str] = field(default_factory=dict)

    def supported_workloads(self) -> list[Workload]:
        """The workloads that it supports."""
        first, *others = (WORKLOADS[key]() for key in self.workload_keys)
        return [replace(first, path=self.path or first.path), *others]


@dataclass(eq=False)
class RunningServer:
    """A server that is ready; `startup_seconds` is the time from its launch to the first correct response."""

    server: Server
    address: tuple[str, int]
    process: subprocess.Popen[bytes]
    startup_seconds: float = 0

    def responds_correctly(self, workload: Workload) -> bool:
        """Whether the response to the workload is correct; raises `OSError` if there is none."""
        is_ok, body = send_once(self.address, workload.request)
        with suppress(ValueError, LookupError, TypeError):  # the body has another structure
            return is_ok and workload.is_correct(body)
        return False

    def suspend(self) -> None:
        """Stop all its processes with SIGSTOP, so that it uses no CPU while others are measured."""
        _signal(process_tree(self.process.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Continue its processes, the parent last: some parents would restart children that missed a heartbeat."""
        parent, *children = process_tree(self.process.pid)
        _signal(children, signal.SIGCONT)
        time.sleep(HEARTBEAT_TIME)
        _signal([parent], signal.SIGCONT)

    def pss_megabytes(self) -> float:
        """The proportional set size (PSS) of all its processes: shared pages are divided among their users."""
        return pss_megabytes(self.process.pid)


def digitalis(workers: int = 1, models: Path = MODELS) -> Server:
    """Digitalis, started by `python -m service`, with all bundles of a folder."""
    settings = {"WORKERS": str(workers), "DEVICE": "cpu", "INTRA_OP_THREADS": "1", "BIND": "127.0.0.1:{port}"}
    settings["MODELS_DIR"] = str(models)
    environment = {f"DIGITALIS_{name}": value for name, value in settings.items()}
    command = (sys.executable, "-m", "service")
    return Server(DIGITALIS, command, ("row", "rows", "form", "tensor"), environment=environment)


@contextmanager
def run_server(
    server: Server, port: int, cores: set[int] | None = None, models: Path = MODELS
) -> Iterator[RunningServer]:
    """Start a server, by default on one core, wait until it responds correctly, and stop it at the end.

    Raises `DigitalisError` with the end of its standard error if it does not get that far.
    """
    command = [part.replace("{port}", str(port)) for part in server.command]
    files = {"IRIS_ONNX": str(onnx_path("iris", models)), "MNIST_ONNX": str(onnx_path("mnist-deep"))}
    own = {name: value.replace("{port}", str(port)) for name, value in server.environment.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DIGITALIS_")}
    pin = ["taskset", "--cpu-list", ",".join(map(str, cores or {SERVER_CORE}))]
    with tempfile.TemporaryFile() as stderr, tempfile.TemporaryDirectory() as scratch:
        _wait_until_free(port)
        workload = server.supported_workloads()[0]
        started = time.monotonic()
        process = subprocess.Popen(
            [*pin, *command],
            cwd=ROOT,
            env=inherited | ONE_THREAD | files | own | {"TMPDIR": scratch},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C reaches only the benchmark, which then stops its servers
        )
        running = RunningServer(server, ("127.0.0.1", port), process)
        try:
            if not _becomes_ready(running, workload):
                stderr.seek(0)
                end = stderr.read()[-2000:].decode(errors="replace")
                raise DigitalisError(f"{server.name} does not start: {' '.join(command)}\n{end}")
            running.startup_seconds = time.monotonic() - started
            yield running
        finally:
            _stop(running)


def _wait_until_free(port: int) -> None:
    """Wait until nothing listens on the port: a server killed a moment ago would be measured instead of the new one."""
    deadline = time.monotonic() + STOP_TIMEOUT
    with suppress(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection(("127.0.0.1", port)).close()
            time.sleep(0.1)
        raise DigitalisError(f"port {port} is in use")


def _becomes_ready(running: RunningServer, workload: Workload) -> bool:
    """Whether the server responds correctly within the start timeout."""
    deadline = time.monotonic() + START_TIMEOUT
    while running.process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            if running.responds_correctly(workload):
                return True
        time.sleep(0.01)
    return False


def _stop(running: RunningServer) -> None:
    processes = process_tree(running.process.pid)
    try:
        running.resume()
        running.process.terminate()
        running.process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal(processes, signal.SIGKILL)  # some servers leave child processes behind
        running.process.wait()


def _signal(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def onnx_path(name: str, models: Path = MODELS) -> Path:
    """The path of a bundle's `model.onnx`."""
    (folder,) = (models / name).iterdir()
    return folder / ONNX


def pss_megabytes(pid: int) -> float:
    """The PSS of a process and all its descendants."""
    return sum(_pss_kilobytes(it) for it in process_tree(pid)) / 1024


def process_tree(pid: int) -> list[int]:
    """The process and all its descendants, itself first."""
    children: list[str] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended meanwhile
            children += task.read_text().split()
    return [pid, *(descendant for child in children for descendant in process_tree(int(child)))]


def anonymous_megabytes(pid: int) -> float:
    """The part of a process's PSS that is no file: which others map the same libraries does not change it."""
    return _pss_kilobytes(pid, "Pss_Anon") / 1024


def _pss_kilobytes(pid: int, field: str = "Pss") -> int:
    """The proportional set size of one process; 0 if it has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)
    return 0
