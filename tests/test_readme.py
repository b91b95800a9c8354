"""README.md and docs/*.md: commands print the output below them; links, files and tests that are named exist."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from running_service import ROOT, RunningService, clean_environment

README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
URL = "http://127.0.0.1:8000"
MAX_README_LINES = 150
# docs/decisions.md names files that no longer exist.
CURRENT_DOCUMENTS = [document for document in DOCUMENTS if document.name != "decisions.md"]
PATH = re.compile(r"`((?:\.ci|benchmarks|deploy|docs|samples|service|tests|training)/[\w./-]*)`")
TEST = re.compile(r"`(test_\w+?)(_?\.\.\.)?`")
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)")
ENDPOINT = re.compile(r"^\| `([A-Z]+) (/\S*)` \|", re.MULTILINE)


def code_blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


def prose(document: Path) -> str:
    return re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)


class Session(NamedTuple):
    """A command of a console block, which follows a `$`, with the output below it."""

    document: str
    command: str
    output: str


def sessions(document: Path) -> Iterator[Session]:
    blocks = "".join(code_blocks(document, "console"))
    for session in re.split(r"^\$ ", blocks, flags=re.MULTILINE)[1:]:
        lines = session.splitlines(keepends=True)
        end = next(i for i in range(1, len(lines) + 1) if is_complete("".join(lines[:i])))
        yield Session(document.name, "".join(lines[:end]), "".join(lines[end:]))


def is_complete(command: str) -> bool:
    """Whether a shell would run these lines, instead of waiting for another one."""
    if command.rstrip().endswith(("|", "\\")):
        return False
    try:
        shlex.split(command)
    except ValueError:  # a quotation mark is not closed
        return False
    return True


JOURNEYS = ["own-data.md", "own-networks.md", "own-pictures.md"]  # each in a folder of its own: test_journeys
SESSIONS = [session for document in DOCUMENTS if document.name not in JOURNEYS for session in sessions(document)]
REQUESTS = [session for session in SESSIONS if "curl" in session.command]
COMMANDS = [session for session in SESSIONS if "curl" not in session.command]


def is_close(found: object, expected: object) -> bool:
    """Whether two JSON values are equal, apart from the rounding of different runtimes and machines."""
    if isinstance(found, float) and isinstance(expected, float):
        return abs(found - expected) < 1e-5 * max(1, abs(expected))
    if isinstance(found, dict) and isinstance(expected, dict):
        return list(found) == list(expected) and all(is_close(found[key], expected[key]) for key in found)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(is_close, found, expected))
    return found == expected


def run(command: str) -> str:
    """What a command prints; `python` is the interpreter of the tests."""
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        command, shell=True, cwd=ROOT, env=clean_environment() | path, capture_output=True, text=True, check=True
    ).stdout


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


@pytest.mark.parametrize("session", REQUESTS, ids=lambda session: session.document)
def test_a_request_of_a_document_gets_the_response_of_the_document(service: RunningService, session: Session) -> None:
    assert URL in session.command
    output = run(session.command.replace(URL, service.url))
    if session.output.startswith("{"):
        assert is_close(json.loads(output), json.loads(session.output)), output
    else:
        assert words(output) == words(session.output)


@pytest.mark.parametrize("session", COMMANDS, ids=lambda session: session.document)
def test_a_command_of_a_document_prints_what_the_document_shows(session: Session) -> None:
    assert words(run(session.command)) == words(session.output)


def test_the_documents_have_commands_to_test() -> None:
    documents = [session.document for session in SESSIONS]
    for document, minimum in {"README.md": 3, "requests.md": 10, "training.md": 1}.items():
        assert documents.count(document) >= minimum, document


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.read_text().splitlines()) <= MAX_README_LINES


def test_the_recipe_in_the_readme_is_an_excerpt_of_the_real_one() -> None:
    """Lines of dots stand for lines that are left out."""
    (block,) = code_blocks(README, "python")
    lines = [line for line in block.splitlines() if line.strip() != "..."]
    assert len(lines) > 5
    remaining = iter((ROOT / "training/recipes/iris.py").read_text().splitlines())
    for line in lines:
        assert line in remaining, f"not in the recipe, or not in this order: {line}"


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"], ids=lambda document: document.name
)
def test_every_relative_link_has_an_existing_target(document: Path) -> None:
    for path, anchor in LINK.findall(prose(document)):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name} links to {path}"
        assert not anchor or anchor in anchors(target), f"{document.name} links to {path}#{anchor}"


def anchors(document: Path) -> list[str]:
    """The anchor of each heading, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("document", CURRENT_DOCUMENTS, ids=lambda document: document.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    assert [path for path in PATH.findall(prose(document)) if not (ROOT / path).exists()] == []


def test_every_test_that_a_document_names_exists() -> None:
    """Three dots stand for the end of a name."""
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("*.py"))
    for document in CURRENT_DOCUMENTS:
        for name, dots in TEST.findall(prose(document)):
            assert f"def {name}{'' if dots else '('}" in tests, f"{document.name} names {name}"


def test_every_document_is_linked_from_the_readme() -> None:
    linked = {path for path, _ in LINK.findall(README.read_text())}
    assert {f"docs/{document.name}" for document in DOCUMENTS[1:]} <= linked


def test_the_documented_endpoints_are_those_of_the_openapi_document(service: RunningService) -> None:
    documented = set()
    for method, path in ENDPOINT.findall((ROOT / "docs/requests.md").read_text()):
        shortest, longest = re.sub(r"\[.*?\]", "", path), re.sub(r"[\[\]]", "", path)
        documented |= {(method, shortest), (method, longest)}
    # Swagger UI does not describe itself, and a path is described once, with or without a slash at its end.
    served = {("GET", "/docs/"), ("GET", "/v2/")}
    for path, item in service.client.get("/openapi.json").json()["paths"].items():
        served |= {(method.upper(), path.replace("{", "<").replace("}", ">")) for method in item}
    assert documented == served
