"""Other projects' clients, unmodified, in an environment of their own: `make test-slow` makes it, and CI."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import ROOT, RunningService

PYTHON = ROOT / ".venv-clients/bin/python"
HERE = Path(__file__).parent / "clients"
DOCUMENT = (ROOT / "docs/clients.md").read_text()
ADDRESS = "127.0.0.1:8000"

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(not PYTHON.exists(), reason="the clients are not here: `make test-slow` installs them"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The project's own models, on ONNX Runtime."""
    with RunningService(tmp_path_factory.mktemp("clients") / "log") as running:
        yield running


def blocks() -> Iterator[tuple[str, str, str]]:
    """Each program of the document, with what stands under it: language, program, output."""
    for language, program, output in re.findall(
        r"```(python|javascript)\n(.*?)```\n\n```text\n(.*?)```", DOCUMENT, re.DOTALL
    ):
        yield language, program, output
    for session in re.findall(r"```console\n(.*?)```", DOCUMENT, re.DOTALL):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
            yield "console", command, output


def run(command: list[str], program: str = "", folder: Path = ROOT) -> str:
    path = f"{PYTHON.parent}:{os.environ['PATH']}"
    found = subprocess.run(
        command, input=program, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.parametrize(("language", "program", "output"), list(blocks()))
def test_a_program_of_the_document_prints_what_stands_under_it(
    served: RunningService, language: str, program: str, output: str
) -> None:
    if language == "javascript" and not shutil.which("node"):
        pytest.skip("node is not here")
    interpreter = {"python": [str(PYTHON), "-"], "javascript": ["node", "--input-type=module"], "console": ["bash"]}
    assert run(interpreter[language], program.replace(ADDRESS, served.address)).split() == output.split()


def test_the_document_has_a_program_for_each_kind_of_client() -> None:
    assert len(list(blocks())) >= 9
    for words in ("import tritonclient.http.aio", "import InferenceRESTClient", "import httpx", "await fetch(", "curl"):
        assert any(words in program for _, program, _ in blocks()), words


@pytest.mark.parametrize("script", sorted(HERE.glob("*.py")), ids=lambda script: script.stem)
def test_a_client_in_its_default_mode_finds_a_server_as_it_knows_them(served: RunningService, script: Path) -> None:
    run([str(PYTHON), str(script), served.address])


def test_the_openapi_document_is_valid(served: RunningService, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(served.client.get("/openapi.json").content)
    assert "OK" in run([str(PYTHON), "-m", "openapi_spec_validator", str(document)])


def test_no_request_that_the_document_allows_finds_a_server_error_or_an_answer_that_it_does_not_name(
    tmp_path: Path,
) -> None:
    """Schemathesis makes them up, good ones and bad; its configuration says which of its checks are off, and why."""
    models = tmp_path / "models"
    for name in ("iris", "mnist", "diabetes"):
        shutil.copytree(ROOT / "models" / name, models / name)
    with RunningService(tmp_path / "log", models_dir=str(models)) as service:
        program, config = str(PYTHON.parent / "schemathesis"), str(HERE / "schemathesis.toml")
        run(
            [program, "--config-file", config, "run", f"{service.url}/openapi.json", "--seed", "0", "--no-color"],
            folder=tmp_path,
        )
        assert "Traceback" not in service.log()
