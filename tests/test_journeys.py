"""The journeys of the documentation: their commands, one after the other, in a folder with their files alone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running_service import ROOT, RunningService, clean_environment
from test_command import DIGITALIS
from test_readme import Session, sessions

NUMBER = re.compile(r"\d+(\.\d+)?(e-?\d+)?")
PROGRAM = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)
URL = "http://127.0.0.1:8000"

pytestmark = pytest.mark.slow


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


def ask(session: Session, folder: Path, log: str) -> list[str]:
    """What the service answers, which serves the models of the folder."""
    command = (DIGITALIS, "serve", "--bind", "{address}", "--models", str(folder / "models"))
    with RunningService(folder / log, command) as service:
        return masked(run(session.command.replace("curl", "curl -s").replace(URL, service.url), folder))


def walk(document: Path, folder: Path) -> int:
    """Run the commands of a document, and compare what they print; return how many were requests."""
    for name, program in PROGRAM.findall(document.read_text()):
        (folder / name).write_text(program)
    requests = 0
    for session in sessions(document):
        if URL in session.command:
            requests += 1
            found = ask(session, folder, f"log-{requests}")
            assert found == masked(session.output) or shortened(found, session), session.command
        else:
            assert masked(run(session.command, folder)) == masked(session.output), session.command
    return requests


def shortened(found: list[str], session: Session) -> bool:
    """Whether an answer is the document's, but for the probabilities of all labels that this leaves out."""
    answer = re.sub(r',"probabilities":\{[^}]*\}', "", "\n".join(found))
    return answer.splitlines() == masked(session.output)


@pytest.mark.parametrize(
    ("document", "files", "requests", "bundles"),
    [
        ("own-data.md", ["samples/customers.csv"], 2, ["customers/1", "customers/2"]),
        ("own-pictures.md", [], 1, ["letters/1", "letters/2"]),
        ("own-networks.md", [], 3, ["flowers/1", "net/1", "sums/1"]),
    ],
)
def test_a_journey_goes_as_its_document_says(
    document: str, files: list[str], requests: int, bundles: list[str], tmp_path: Path
) -> None:
    for file in files:
        shutil.copy(ROOT / file, tmp_path)
    assert walk(ROOT / "docs" / document, tmp_path) == requests
    assert sorted(str(path.relative_to(tmp_path / "models")) for path in tmp_path.glob("models/*/*")) == bundles
