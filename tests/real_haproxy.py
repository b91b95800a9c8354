"""A real HAProxy for tests, Debian's package, with the configuration that the project ships."""

import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest
from network_hosts import Host
from running_service import ROOT, wait_until

PACKAGE = ROOT / "build/haproxy/usr/sbin/haproxy"
CONFIGURATION = ROOT / "deploy/compose/haproxy.cfg"
POLL_SECONDS = 0.2
SERVERS = "    server one one:8000 tcp-ut 3s\n    server two two:8000 tcp-ut 3s\n"


def executable() -> str:
    """The path of HAProxy; without it, or the libraries that it needs, the test is skipped."""
    path = shutil.which("haproxy") or str(PACKAGE)
    try:
        subprocess.run((path, "-v"), check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("haproxy is not installed: it is in Debian's package haproxy")
    return path


class HAProxy:
    """Balances over replicas, from a host of its own; the servers of the shipped configuration are these replicas."""

    def __init__(self, host: Host, replicas: list[Host], folder: Path) -> None:
        text = CONFIGURATION.read_text()
        assert text.count(SERVERS) == 1
        servers = "".join(f"    server {each.name} {each.address}:8000 tcp-ut 3s\n" for each in replicas)
        self._configuration = folder / "haproxy.cfg"
        self._configuration.write_text(text.replace(SERVERS, servers))
        self._host, self._log = host, folder / "haproxy.log"
        self.replicas = [each.name for each in replicas]
        self.address = f"{host.address}:8000"

    def __enter__(self) -> Self:
        self._client = httpx.Client(base_url=f"http://{self._host.address}:8405", verify=False)
        self._process = self._host.start((executable(), "-f", str(self._configuration)), self._log)
        wait_until(lambda: self._host.listens(8405), "HAProxy listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._client.close()

    def wait_for_up(self, name: str) -> None:
        """Until this replica gets requests."""
        wait_until(lambda: self._is_up(name), f"HAProxy says that {name} is up")

    def wait_for_down(self, name: str) -> None:
        """Until this replica gets none."""
        wait_until(lambda: not self._is_up(name), f"HAProxy says that {name} is down")

    def _is_up(self, name: str) -> bool:
        time.sleep(POLL_SECONDS)  # the cores belong to the load
        metrics = self._client.get("/metrics", params={"scope": "server"}).text
        return f'haproxy_server_status{{proxy="replicas",server="{name}",state="UP"}} 1' in metrics.splitlines()
