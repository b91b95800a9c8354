"""A real Prometheus for a test to ask: Debian's package, installed, or unpacked by `make test-slow`."""

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


def program(name: str) -> str:
    """The path of one of its programs; the test is skipped where there is none."""
    found = shutil.which(name) or (str(PACKAGE / name) if (PACKAGE / name).exists() else None)
    if found is None:
        pytest.skip(f"{name} is not here: Debian's package prometheus has it")
    return found


class Prometheus:
    """It scrapes a service and evaluates the rules that are shipped, once a second."""

    def __init__(self, target: str, folder: Path) -> None:
        address = f"127.0.0.1:{free_port()}"
        self._url = f"http://{address}/api/v1/query"
        (folder / "rules.yaml").write_text(RULES.read_text().replace("interval: 1m", "interval: 1s"))
        job = f"job_name: digitalis, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]"
        (folder / "p.yaml").write_text(f"{{rule_files: ['rules.yaml'], scrape_configs: [{{{job}}}]}}")
        command = [
            program("prometheus"),
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

    def answer(self, query: str) -> list[Any]:
        """What it answers, once it has something to answer."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.3)
            try:
                response = httpx.get(self._url, params={"query": query})
            except httpx.TransportError:
                continue
            answer = response.json() if response.status_code != 503 else {}  # it is still opening its storage
            assert answer.get("status") != "error", answer
            if found := answer.get("data", {}).get("result"):
                return list(found)
        raise RuntimeError(f"Prometheus has no answer to {query}")
