"""Clients of other projects, unmodified, in an environment of their own that `make test-slow` and CI make."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import IRIS_VERSION, newest
from running_service import MODULE, ROOT, RunningService

PYTHON = ROOT / ".venv-clients/bin/python"
SCRIPTS = Path(__file__).parent / "clients"
DOCUMENT = (ROOT / "docs/clients.md").read_text()
ADDRESS = "127.0.0.1:8000"
SOME_MODELS = ("iris", "mnist", "diabetes")
NODE_MODULES = ROOT / "build/typescript/node_modules"
TYPESCRIPT = pytest.mark.skipif(
    not (NODE_MODULES / "openapi-typescript").exists(),
    reason="openapi-typescript is not installed: `make test-slow` installs it, where npm is",
)
TSC = ["npx", "tsc", "--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext"]

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
    """Language, program and expected output of each program in docs/clients.md that needs no generated client."""
    for generate, language, program, output in re.findall(
        r"(```sh\n[^`]*```\n\n)?```(python|javascript)\n(.*?)```\n\n```text\n(.*?)```", DOCUMENT, re.DOTALL
    ):
        if not generate:
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


@pytest.mark.parametrize(
    ("language", "file"),
    [("python", "predict.py"), pytest.param("typescript", "predict.mts", marks=TYPESCRIPT)],
)
def test_the_commands_of_the_document_make_a_client_whose_program_prints_the_output_below_it(
    served: RunningService, tmp_path: Path, language: str, file: str
) -> None:
    """All of it is installed, so the line that installs is left out. The last command runs the program."""
    ((commands, program, output),) = re.findall(
        rf"```sh\n([^`]*)```\n\n```{language}\n(.*?)```\n\n```text\n(.*?)```", DOCUMENT, re.DOTALL
    )
    (tmp_path / file).write_text(program.replace(ADDRESS, served.address))
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    *others, last = re.sub("^npm install .*\n", "", commands.replace(ADDRESS, served.address)).splitlines()
    for command in others:
        run(["bash", "-c", command], folder=tmp_path)
    assert run(["bash", "-c", last], folder=tmp_path) == output


def test_the_document_has_a_program_for_each_kind_of_client() -> None:
    assert len(list(programs())) >= 9
    for call in ("import tritonclient.http.aio", "import InferenceRESTClient", "import httpx", "await fetch(", "curl"):
        assert any(call in program for _, program, _ in programs()), call


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda script: script.stem)
def test_a_client_with_its_default_options_works_with_the_service(served: RunningService, script: Path) -> None:
    run([str(PYTHON), str(script), served.address, IRIS_VERSION])


@pytest.mark.parametrize(
    "path", ["/openapi.json", *(f"/v1/models/{name}/openapi.json" for name in ("iris", "digits", "linnerud", "arc"))]
)
def test_an_openapi_document_is_valid(served: RunningService, tmp_path: Path, path: str) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(served.client.get(path).content)
    assert "OK" in run([str(PYTHON), "-m", "openapi_spec_validator", str(document)])


def test_the_openapi_document_would_be_valid_as_one_of_3_1_too(served: RunningService, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    text = served.client.get("/openapi.json").text
    assert text.count('"3.0.3"') == 1
    document.write_text(text.replace('"3.0.3"', '"3.1.1"'))
    assert "OK" in run([str(PYTHON), "-m", "openapi_spec_validator", str(document)])


def test_openapi_python_client_makes_a_client_without_warnings_that_gets_right_answers(
    served: RunningService, tmp_path: Path
) -> None:
    url = f"{served.url}/openapi.json"
    options = ["--fail-on-warning", "--meta", "none", "--output-path", str(tmp_path / "digitalis_client")]
    generated = run(["openapi-python-client", "generate", "--url", url, *options], folder=tmp_path)
    assert "warning" not in generated.lower()
    program = (SCRIPTS / "openapi_python_client/predict.py").read_text()
    run([str(PYTHON), "-", served.address, IRIS_VERSION, str(ROOT / "samples")], program, tmp_path)


@TYPESCRIPT
def test_openapi_fetch_with_the_types_of_openapi_typescript_gets_right_answers(
    served: RunningService, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    shutil.copy(SCRIPTS / "typescript/predict.mts", tmp_path)
    types = tmp_path / "digitalis.d.ts"
    run(["npx", "openapi-typescript", f"{served.url}/openapi.json", "--output", str(types)], folder=tmp_path)
    assert len(types.read_text().splitlines()) < 2000
    run([*TSC, "predict.mts"], folder=tmp_path)
    run(["node", "predict.mjs", served.url, IRIS_VERSION, str(ROOT / "samples")], folder=tmp_path)
    (tmp_path / "wrong.mts").write_text(
        'import type { components } from "./digitalis.js";\n'
        'export const body: components["schemas"]["PredictRequest"] = { instance: [[1]] };\n'
    )
    wrong = subprocess.run([*TSC, "wrong.mts"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "'instance' does not exist" in wrong.stdout


@pytest.mark.parametrize("document", ["openapi.json", *(f"v1/models/{name}/openapi.json" for name in SOME_MODELS)])
def test_generated_requests_get_only_responses_that_the_openapi_document_describes(
    tmp_path: Path, document: str
) -> None:
    """Schemathesis generates valid and invalid ones. clients/schemathesis.toml says which checks are off, and why."""
    models = tmp_path / "models"
    for name in SOME_MODELS:
        shutil.copytree(ROOT / "models" / name, models / name)
    with RunningService(tmp_path / "log", models_dir=str(models)) as service:
        program, config = str(PYTHON.parent / "schemathesis"), str(SCRIPTS / "schemathesis.toml")
        run(
            [program, "--config-file", config, "run", f"{service.url}/{document}", "--seed", "0", "--no-color"],
            folder=tmp_path,
        )
        assert "Traceback" not in service.log()


def test_the_manifests_have_the_fields_of_kserves_own_classes(tmp_path: Path) -> None:
    program = str(ROOT / "tests/kserve_manifests.py")
    manifests = sorted(map(str, (ROOT / "deploy/kserve").glob("*.yaml")))
    assert run([str(PYTHON), program, *manifests]).splitlines() == [
        "inference-service.yaml InferenceService",
        "serving-runtime.yaml ClusterServingRuntime",
    ]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(Path(manifests[0]).read_text().replace("storageUri", "storageUrl"))
    refused = subprocess.run([PYTHON, program, wrong], capture_output=True, text=True, check=False)
    assert "wrong.yaml.spec.predictor.model.storageUrl" in refused.stderr


LOAD_AND_UNLOAD = """
import sys
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
admin, other = {"X-API-Key": sys.argv[2]}, {"X-API-Key": sys.argv[3]}
client.unload_model("iris", headers=admin)
print([(one["name"], one["state"], one["reason"]) for one in client.get_model_repository_index(headers=admin)])
client.load_model("iris", headers=admin)
print([(one["name"], one["state"]) for one in client.get_model_repository_index(headers=admin)])
try:
    client.load_model("iris", headers=other)
except InferenceServerException as error:
    print(error.status())
"""


def test_tritons_client_loads_and_unloads_with_the_key_of_an_administrator(tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(newest("iris"), models / "iris" / newest("iris").name)
    admin, other = "admin-admin-admin", "other-other-other"
    keys = f"admin+predict:{admin},{other}"
    settings = {"models_dir": str(models), "repository_api": "true", "api_keys": keys, "workers": "2"}
    with RunningService(tmp_path / "log", MODULE, None, **settings) as server:
        server.wait_for_workers(2)
        printed = run([str(PYTHON), "-", server.address, admin, other], LOAD_AND_UNLOAD)
    assert printed.splitlines() == ["[('iris', 'UNAVAILABLE', 'unloaded')]", "[('iris', 'READY')]", "403"]
