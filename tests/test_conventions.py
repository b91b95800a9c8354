"""Conventions of the source tree: import rules, sizes, names, and documents that mirror the code."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import ROOT

from service.settings import Settings

FORBIDDEN_NAMES = {"utils", "common", "helpers", "core", "manager"}
MAX_MODULE_LINES = 250
MAX_FUNCTION_LINES = 60


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Path and syntax tree of each module below these folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def imported_modules(tree: ast.Module) -> set[str]:
    """What a module imports, also inside functions: `a.b` for `import a.b`, `a.b.c` for `from a.b import c`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import: the import rules are tested for absolute names"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_packages(tree: ast.Module) -> set[str]:
    """The top-level packages that a module imports, also inside functions."""
    return {module.partition(".")[0] for module in imported_modules(tree)}


def importers(package: str, *folders: str) -> set[str]:
    """The modules below these folders that import a top-level package."""
    return {path for path, tree in modules(*folders) if package in imported_packages(tree)}


def tracked_files() -> list[str]:
    completed = subprocess.run(("git", "ls-files"), cwd=ROOT, capture_output=True, text=True, check=False)
    if completed.returncode or not completed.stdout:
        pytest.skip("not a git checkout: the files of the project are unknown")
    return completed.stdout.splitlines()


# For each package of the service, the parts of the service that it must not import (docs/architecture.md).
FORBIDDEN_IMPORTS = {
    "images": ("settings", "http", "protocols", "observability", "inference", "app"),
    "inference": ("http", "protocols", "observability", "app"),
    "observability": ("http", "protocols", "app"),
    "http": ("protocols", "app"),
    "protocols/v1": ("protocols.v2", "app"),
    "protocols/v2": ("protocols.v1", "app"),
}


@pytest.mark.parametrize(("package", "forbidden"), FORBIDDEN_IMPORTS.items())
def test_a_package_of_the_service_does_not_import_forbidden_packages(package: str, forbidden: tuple[str, ...]) -> None:
    prefixes = tuple(f"service.{name}." for name in forbidden)
    trees = dict(modules(f"service/{package}"))
    assert trees
    for path, tree in trees.items():
        assert {module for module in imported_modules(tree) if f"{module}.".startswith(prefixes)} == set(), path


@pytest.mark.parametrize(("package", "allowed"), [("bundle", ("bundle", "errors")), ("worker", ("worker",))])
def test_bundle_and_worker_import_nothing_else_of_the_service(package: str, allowed: tuple[str, ...]) -> None:
    trees = dict(modules(f"service/{package}"))
    assert trees
    for path, tree in trees.items():
        of_service = {module for module in imported_modules(tree) if f"{module}.".startswith("service.")}
        assert {f"{module}.".split(".")[1] for module in of_service} <= set(allowed), path


def test_bundles_can_be_loaded_without_importing_pillow_or_onnx_runtime() -> None:
    program = "import sys, service.bundle.golden; sys.exit('PIL' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", program), cwd=ROOT, check=False).returncode == 0


def test_the_service_never_imports_training_and_neither_imports_the_command() -> None:
    assert importers("training", "service") == set()
    assert importers("digitalis", "service", "training") == set()


def test_torch_and_onnx_runtime_are_each_imported_by_one_module_of_the_service() -> None:
    """And a file that is imported is run as it is, beside the service."""
    runtimes = "service/inference/runtimes"
    assert importers("torch", "service") == {f"{runtimes}/torchscript.py"}
    assert importers("onnxruntime", "service", "training") == {
        f"{runtimes}/onnx_runtime.py",
        "training/importing/onnx_file.py",
    }


def test_only_http_protocols_and_the_page_import_flask() -> None:
    paths = importers("flask", "service") | importers("werkzeug", "service")
    assert {
        path for path in paths if not path.startswith(("service/http/", "service/protocols/", "service/page/"))
    } == set()


def test_only_images_imports_pillow() -> None:
    assert {path for path in importers("PIL", "service") if not path.startswith("service/images/")} == set()


def test_only_the_commands_and_the_progress_display_of_training_import_rich() -> None:
    assert importers("rich", "service", "training") <= {"training/commands.py", "training/progress.py"}


def test_no_view_imports_numpy() -> None:
    assert {path for path in importers("numpy", "service") if path.endswith("views.py")} == set()


def test_only_the_settings_read_the_environment() -> None:
    reads = re.compile(r"(?:os\.|import )environ(?!\[\"\w+\"\] = )|getenv")
    paths = [
        path
        for path, _ in modules("digitalis", "service", "training", "benchmarks")
        if reads.search((ROOT / path).read_text())
    ]
    # The load generator starts other servers with environments of their own, which these read.
    assert [path for path in paths if not path.startswith("benchmarks/serve/")] == ["service/settings.py"]


def test_no_file_or_folder_has_a_forbidden_name() -> None:
    for path in tracked_files():
        assert not FORBIDDEN_NAMES & {part.lower() for part in Path(path).with_suffix("").parts}


def test_modules_and_functions_are_short() -> None:
    for path, tree in modules("digitalis", "service", "training"):
        assert len((ROOT / path).read_text().splitlines()) <= MAX_MODULE_LINES, path
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, f"{path}: {node.name}"


def test_the_map_of_the_architecture_covers_every_file_and_names_no_missing_one() -> None:
    document = (ROOT / "docs/architecture.md").read_text()
    (block,) = re.findall(r"## Map\n+```text\n(.*?)```", document, re.DOTALL)
    names = {line.split()[0] for line in block.splitlines() if line.strip()}
    for path in tracked_files():
        assert names & {path, *(f"{parent}/" for parent in Path(path).parents)}, f"the map does not cover {path}"
    for name in names:
        assert (ROOT / name).exists(), f"the map of docs/architecture.md names {name}, which does not exist"


def test_the_table_of_settings_is_generated_from_the_settings() -> None:
    expected = [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in Settings.documentation_rows()]
    document = (ROOT / "docs/settings.md").read_text()
    rows = [line for line in document.splitlines() if line.startswith("| `DIGITALIS_")]
    assert rows == expected, "the table of docs/settings.md should be:\n" + "\n".join(expected)


def test_no_file_names_a_package_index() -> None:
    index = re.compile(r"(pypi|pythonhosted|npmjs|debian)\.org")
    for path in tracked_files():
        if Path(path).suffix in {".txt", ".toml", ".md", ".py", ".yml", ""}:
            assert not index.search((ROOT / path).read_text(errors="ignore")), path
