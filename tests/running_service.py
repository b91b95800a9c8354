"""A real `python -m service`, started and stopped by tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

ROOT = Path(__file__).parent.parent
MODULE = (sys.executable, "-m", "service")


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment of this process, with only these `DIGITALIS_*` settings; a name's prefix is added."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DIGITALIS_")}
    return inherited | {f"DIGITALIS_{name.upper()}": value for name, value in settings.items()}


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RunningService:
    """A server process on a port of its own; a context in which it answers."""

    def __init__(
        self,
        log: Path,
        command: tuple[str, ...] = MODULE,
        environment: Mapping[str, str] | None = None,
        **settings: str,
    ) -> None:
        port = free_port()
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
        self.client = httpx.Client(base_url=self.url, timeout=60)
        deadline = time.monotonic() + 60
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

    def log(self) -> str:
        """All that the process has printed."""
        return self._log.read_text()

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def wait_for_workers(self, count: int) -> None:
        """Until so many workers, replaced ones counted in, have opened their models."""
        deadline = time.monotonic() + 60
        while self.log().count("models are open") < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"there are not {count} workers:\n{self.log()}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v2/health/ready").status_code == 200
        except httpx.TransportError:
            return False


def failed_start(**settings: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m service` with settings that it must refuse, to its end."""
    environment = clean_environment(**{"bind": f"127.0.0.1:{free_port()}", "workers": "1"} | settings)
    return subprocess.run(MODULE, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
