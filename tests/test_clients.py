"""Clients of other projects, unmodified, in an environment of their own that `make test-slow` and CI make."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import IRIS_VERSION
from running_service import ROOT, RunningService

PYTHON = ROOT / ".venv-clients/bin/python"
SCRIPTS = Path(__file__).parent / "clients"
DOCUMENT = (ROOT / "docs/clients.md").read_text()
ADDRESS = "127.0.0.1:8000"

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(not PYTHON.exists(), reason="the clients are not installed: `make test-slow` installs them"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The project's own models, on ONNX Runtime and the CPU."""
    with RunningService(tmp_path_factory.mktemp("clients") / "log", device="cpu") as running:
        yield running


def programs() -> Iterator[tuple[str, str, str]]:
    """Language, program and expected output of each program in docs/clients.md."""
    for language, program, output in re.findall(
        r"```(python|javascript)\n(.*?)```\n\n```text\n(.*?)```", DOCUMENT, re.DOTALL
    ):
        yield language, program, output
    for session in re.findall(r"```console\n(.*?)```", DOCUMENT, re.DOTALL):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
            yield "console", command, output


def run(command: list[str], program: str = "", folder: Path = ROOT) -> str:
    """What a command prints, with `program` as its standard input. Fails if the exit status is not 0."""
    path = f"{PYTHON.parent}:{os.environ['PATH']}"
    completed = subprocess.run(
        command, input=program, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


@pytest.mark.parametrize(("language", "program", "output"), list(programs()))
def test_a_program_of_the_document_prints_the_output_below_it(
    served: RunningService, language: str, program: str, output: str
) -> None:
    if language == "javascript" and not shutil.which("node"):
        pytest.skip("node is not installed")
    interpreter = {"python": [str(PYTHON), "-"], "javascript": ["node", "--input-type=module"], "console": ["bash"]}
    assert run(interpreter[language], program.replace(ADDRESS, served.address)).split() == output.split()


def test_the_document_has_a_program_for_each_kind_of_client() -> None:
    assert len(list(programs())) >= 9
    for call in ("import tritonclient.http.aio", "import InferenceRESTClient", "import httpx", "await fetch(", "curl"):
        assert any(call in program for _, program, _ in programs()), call


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda script: script.stem)
def test_a_client_with_its_default_options_works_with_the_service(served: RunningService, script: Path) -> None:
    run([str(PYTHON), str(script), served.address, IRIS_VERSION])


def test_the_openapi_document_is_valid(served: RunningService, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(served.client.get("/openapi.json").content)
    assert "OK" in run([str(PYTHON), "-m", "openapi_spec_validator", str(document)])


def test_generated_requests_get_only_responses_that_the_openapi_document_describes(tmp_path: Path) -> None:
    """Schemathesis generates valid and invalid ones. clients/schemathesis.toml says which checks are off, and why."""
    models = tmp_path / "models"
    for name in ("iris", "mnist", "diabetes"):
        shutil.copytree(ROOT / "models" / name, models / name)
    with RunningService(tmp_path / "log", models_dir=str(models)) as service:
        program, config = str(PYTHON.parent / "schemathesis"), str(SCRIPTS / "schemathesis.toml")
        run(
            [program, "--config-file", config, "run", f"{service.url}/openapi.json", "--seed", "0", "--no-color"],
            folder=tmp_path,
        )
        assert "Traceback" not in service.log()
