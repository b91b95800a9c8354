"""The journey of docs/own-data.md: its commands, one after the other, in a folder with the table and nothing else."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running_service import ROOT, RunningService, clean_environment
from test_command import DIGITALIS
from test_readme import sessions

DOCUMENT = ROOT / "docs/own-data.md"
NUMBER = re.compile(r"\d+(\.\d+)?(e-?\d+)?")
URL = "http://127.0.0.1:8000"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "samples/customers.csv", tmp_path)
    return tmp_path


def run(command: str, folder: Path) -> str:
    """What a shell prints, on both of its outputs, with the commands of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = ("bash", "-c", command)
    ended = subprocess.run(
        shell, cwd=folder, env=clean_environment() | {"PATH": path}, capture_output=True, text=True, check=False
    )
    return ended.stdout + ended.stderr


def masked(text: str) -> list[str]:
    """The words of each line, all numbers alike: they are of a small network, on another machine."""
    return [" ".join(NUMBER.sub("#", line).split()) for line in text.splitlines() if line.strip()]


def test_the_journey_goes_as_the_document_says(folder: Path) -> None:
    served = 0
    for session in sessions(DOCUMENT):
        if URL not in session.command:
            assert masked(run(session.command, folder)) == masked(session.output), session.command
            continue
        served += 1
        command = (DIGITALIS, "serve", "--bind", "{address}", "--models", str(folder / "models"))
        with RunningService(folder / f"log-{served}", command) as service:
            output = run(session.command.replace("curl", "curl -s").replace(URL, service.url), folder)
        expected = session.output.strip()
        assert output.strip() == expected if "error" in expected else '"label":"gold"' in output
    assert served == 2
    assert sorted(path.name for path in (folder / "models/customers").iterdir()) == ["1", "2"]
