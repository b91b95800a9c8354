"""A real Prometheus server for tests: Debian's package, installed, or unpacked by `make test-slow`."""

import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
from running_service import ROOT, free_port

PACKAGE = ROOT / "build/prometheus/usr/bin"
RULES = ROOT / "docs/drift-rules.yaml"


def executable(name: str) -> str:
    """The path of a program of the package; without it, the test is skipped."""
    path = shutil.which(name) or (str(PACKAGE / name) if (PACKAGE / name).exists() else None)
    if path is None:
        pytest.skip(f"{name} is not installed: it is in Debian's package prometheus")
    return path


class Prometheus:
    """Scrapes a service and evaluates the project's drift rules, both every second."""

    def __init__(self, target: str, folder: Path) -> None:
        address = f"127.0.0.1:{free_port()}"
        self._url = f"http://{address}/api/v1/query"
        (folder / "rules.yaml").write_text(RULES.read_text().replace("interval: 1m", "interval: 1s"))
        job = f"job_name: digitalis, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]"
        (folder / "p.yaml").write_text(f"{{rule_files: ['rules.yaml'], scrape_configs: [{{{job}}}]}}")
        command = [
            executable("prometheus"),
            f"--config.file={folder / 'p.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
        ]
        self._command = [*command, f"--web.listen-address={address}"]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)

    def query(self, expression: str) -> list[Any]:
        """The result of an expression of PromQL, as soon as it is not empty. Raises `RuntimeError` after a minute."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.3)
            try:
                response = httpx.get(self._url, params={"query": expression})
            except httpx.TransportError:
                continue
            if response.status_code == 503:  # it is still opening its storage
                continue
            body = response.json()
            assert body["status"] == "success", body
            if result := body["data"]["result"]:
                return list(result)
        raise RuntimeError(f"Prometheus has no result for {expression}")
