"""The rules that the design makes, kept by the tree itself."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import ROOT

from service.settings import Settings

FORBIDDEN_NAMES = {"utils", "common", "helpers", "core", "manager"}
README = (ROOT / "README.md").read_text()


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def imports(tree: ast.Module) -> set[str]:
    """The top-level packages that a module imports anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def tracked() -> list[str]:
    shown = subprocess.run(("git", "ls-files"), cwd=ROOT, capture_output=True, text=True, check=False)
    if shown.returncode or not shown.stdout:
        pytest.skip("not a git checkout: the files of the project are unknown")
    return shown.stdout.splitlines()


def test_the_service_never_imports_training() -> None:
    assert [path for path, tree in modules("service") if "training" in imports(tree)] == []


def test_torch_is_imported_by_one_file_of_the_service() -> None:
    assert [path for path, tree in modules("service") if "torch" in imports(tree)] == [
        "service/inference/runtimes/torchscript.py"
    ]


def test_onnx_runtime_is_imported_by_one_file() -> None:
    found = [path for path, tree in modules("service", "training") if "onnxruntime" in imports(tree)]
    assert found == ["service/inference/runtimes/onnx_runtime.py"]


def test_flask_stays_in_the_routes() -> None:
    found = {path for path, tree in modules("service") if imports(tree) & {"flask", "werkzeug"}}
    assert {path for path in found if not path.startswith(("service/http/", "service/protocols/"))} == set()


def test_views_hold_no_numbers() -> None:
    assert [path for path, tree in modules("service") if path.endswith("views.py") and "numpy" in imports(tree)] == []


def test_the_environment_is_read_in_one_place() -> None:
    reads = re.compile(r"(?:os\.|import )environ(?!\[\"\w+\"\] = )|getenv")
    found = [
        path for path, _ in modules("service", "training", "benchmarks") if reads.search((ROOT / path).read_text())
    ]
    # What is measured beside us is started with an environment of its own, and reads it.
    assert [path for path in found if not path.startswith("benchmarks/serve/")] == ["service/settings.py"]


def test_no_file_is_named_after_nothing() -> None:
    for path in tracked():
        assert not FORBIDDEN_NAMES & {part.lower() for part in Path(path).with_suffix("").parts}


def test_no_function_is_longer_than_a_glance_and_no_module_than_a_sitting() -> None:
    for path, tree in modules("service", "training"):
        assert len((ROOT / path).read_text().splitlines()) <= 250, path
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"


def test_the_readmes_map_names_every_file_and_no_other() -> None:
    (block,) = re.findall(r"## Where things are\n+```text\n(.*?)```", README, re.DOTALL)
    named = {line.split()[0] for line in block.splitlines() if line.strip()}
    for path in tracked():
        covered = {path, *(f"{parent}/" for parent in Path(path).parents)}
        assert covered & named, f"{path} is not in the README's map"
    for name in named:
        assert (ROOT / name).exists(), f"the README's map names {name}, which is not there"


def test_the_readmes_settings_table_is_the_settings() -> None:
    expected = [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in Settings.rows()]
    assert [line for line in README.splitlines() if line.startswith("| `DIGITALIS_")] == expected


def test_no_file_names_a_package_index() -> None:
    index = re.compile(r"(pypi|pythonhosted|npmjs|debian)\.org")
    for path in tracked():
        if Path(path).suffix in {".txt", ".toml", ".md", ".py", ".yml", ""}:
            assert not index.search((ROOT / path).read_text(errors="ignore")), path
