"""The servers: how each is started on one core, and what its processes take."""

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

from benchmarks.serve.load import ask_once
from benchmarks.serve.work import KINDS, Work
from service.bundle.manifest import ONNX
from service.errors import DigitalisError

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
NAME = "Digitalis"
ALL = ("row", "rows", "form", "tensor")
CORES = os.sched_getaffinity(0)
SERVER_CORE, CLIENT_CORE = min(CORES), max(CORES)
FIRST_PORT = 8300
LONGEST_START = 120  # seconds
LONGEST_END = 10  # seconds
SIGN_OF_LIFE = 0.05  # seconds


@dataclass(frozen=True)
class Server:
    """A name and a command; `{port}` in it is where it shall answer.

    `does` names the work that it can do (`work.KINDS`), `path` where it is asked for a row. `warm_up` is for how many
    seconds it must be asked before it is as fast as it gets.
    """

    name: str
    command: tuple[str, ...]
    does: tuple[str, ...] = ("row", "rows")
    path: str | None = None
    warm_up: float = 0
    environment: dict[str, str] = field(default_factory=dict)

    def tasks(self) -> list[Work]:
        """What it can be asked, a row first."""
        first, *others = (KINDS[kind]() for kind in self.does)
        return [replace(first, path=self.path or first.path), *others]


@dataclass(eq=False)
class Running:
    """A server that answers; it took so many `seconds` from its launch to the first right answer."""

    server: Server
    address: tuple[str, int]
    process: subprocess.Popen[bytes]
    seconds: float = 0

    def answers(self, work: Work) -> bool:
        """Whether it gives the right answer; raises `OSError` where it gives none."""
        is_ok, body = ask_once(self.address, work.request)
        with suppress(ValueError, LookupError, TypeError):  # of a body that is something else
            return is_ok and work.is_right(body)
        return False

    def sleep(self) -> None:
        """Stop all its processes where they are: it takes nothing of the core while others are asked."""
        _signal(_family(self.process.pid), signal.SIGSTOP)

    def wake(self) -> None:
        """Go on. The parent comes last: some would find that their children have not been heard of for too long."""
        parent, *others = _family(self.process.pid)
        _signal(others, signal.SIGCONT)
        time.sleep(SIGN_OF_LIFE)
        _signal([parent], signal.SIGCONT)

    def pss(self) -> float:
        """Megabytes of all its processes, what they share divided among them."""
        return sum(_pss(pid) for pid in _family(self.process.pid)) / 1024


def ours(workers: int = 1, models: Path = MODELS) -> Server:
    """The project, as `python -m service` runs it, with all bundles."""
    settings = {"WORKERS": str(workers), "DEVICE": "cpu", "INTRA_OP_THREADS": "1", "BIND": "127.0.0.1:{port}"}
    settings["MODELS_DIR"] = str(models)
    environment = {f"DIGITALIS_{name}": value for name, value in settings.items()}
    return Server(NAME, (sys.executable, "-m", "service"), ALL, environment=environment)


@contextmanager
def running(server: Server, port: int, cores: set[int] | None = None, models: Path = MODELS) -> Iterator[Running]:
    """Start a server on one core; it is there when it gives the right answer to a row.

    Raises `DigitalisError`, with what it said, where it does not come to that.
    """
    command = [part.replace("{port}", str(port)) for part in server.command]
    files = {"IRIS_ONNX": str(onnx_of("iris", models)), "MNIST_ONNX": str(onnx_of("mnist-deep"))}
    own = {name: value.replace("{port}", str(port)) for name, value in server.environment.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DIGITALIS_")}
    pin = ["taskset", "--cpu-list", ",".join(map(str, cores or {SERVER_CORE}))]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryDirectory() as scratch:
        _expect_free(port)
        work = server.tasks()[0]
        started = time.monotonic()
        process = subprocess.Popen(
            [*pin, *command],
            cwd=ROOT,
            env=inherited | ONE_THREAD | files | own | {"TMPDIR": scratch},
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,  # an interruption is for us, who then end it
        )
        one = Running(server, ("127.0.0.1", port), process)
        try:
            if not _answers(one, work):
                said.seek(0)
                end = said.read()[-2000:].decode(errors="replace")
                raise DigitalisError(f"{server.name} does not start: {' '.join(command)}\n{end}")
            one.seconds = time.monotonic() - started
            yield one
        finally:
            _end(one)


def _expect_free(port: int) -> None:
    """What listens there would be measured in the place of the one that is started. Who is killed takes a moment."""
    deadline = time.monotonic() + LONGEST_END
    with suppress(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection(("127.0.0.1", port)).close()
            time.sleep(0.1)
        raise DigitalisError(f"port {port} is taken")


def _answers(one: Running, work: Work) -> bool:
    """Whether it comes to answer rightly."""
    deadline = time.monotonic() + LONGEST_START
    while one.process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            if one.answers(work):
                return True
        time.sleep(0.01)
    return False


def _end(one: Running) -> None:
    family = _family(one.process.pid)
    try:
        one.wake()
        one.process.terminate()
        one.process.wait(LONGEST_END)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal(family, signal.SIGKILL)  # some leave their children behind
        one.process.wait()


def _signal(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def onnx_of(name: str, models: Path = MODELS) -> Path:
    """The path of a bundle's `model.onnx`."""
    (folder,) = (models / name).iterdir()
    return folder / ONNX


def _family(pid: int) -> list[int]:
    children: list[str] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # threads come and go
            children += task.read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _pss(pid: int) -> int:
    """Kilobytes; 0 of one that is gone."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return 0
