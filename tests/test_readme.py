"""The README's commands give the README's answers."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import ROOT, RunningService, clean_environment

README = (ROOT / "README.md").read_text()
URL = "http://127.0.0.1:8000"


def sessions() -> Iterator[tuple[str, str]]:
    """Each command after a `$`, with the answer below it."""
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for session in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, answer = re.split(r"(?<!\|)\n", session, maxsplit=1)
            yield command, answer


def same(found: object, expected: object) -> bool:
    """Equal, but for what two runtimes and two machines round differently."""
    if isinstance(found, float) and isinstance(expected, float):
        return abs(found - expected) < 1e-5 * max(1, abs(expected))
    if isinstance(found, dict) and isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[key], expected[key]) for key in found)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return found == expected


def run(command: str) -> str:
    """What a command prints, `python` being this one."""
    here = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        command, shell=True, cwd=ROOT, env=clean_environment() | here, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(("command", "answer"), [session for session in sessions() if "curl" in session[0]])
def test_a_request_of_the_readme_gets_the_answer_of_the_readme(
    service: RunningService, command: str, answer: str
) -> None:
    assert URL in command
    found = json.loads(run(command.replace(URL, service.url)))
    assert same(found, json.loads(answer)), found


@pytest.mark.parametrize(("command", "answer"), [session for session in sessions() if "curl" not in session[0]])
def test_a_command_of_the_readme_prints_what_the_readme_shows(command: str, answer: str) -> None:
    assert [line.split() for line in run(command).splitlines()] == [line.split() for line in answer.splitlines()]


def test_the_readme_has_commands_to_test() -> None:
    assert len(list(sessions())) >= 5


def test_the_recipe_in_the_readme_is_the_recipe() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    recipe = (ROOT / "training/recipes/iris.py").read_text()
    for line in block.splitlines():
        assert line.startswith("# ") or line.strip() == "..." or line in recipe.splitlines()
