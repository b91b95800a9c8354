"""`make release`: what it refuses, what it builds, and that it publishes nothing and changes the change log alone."""

import datetime as dt
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from running_service import ROOT, clean_environment

from service import __version__

TODAY = dt.date(2026, 11, 28)


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    return subprocess.check_output(("git", "-C", folder, *identity, *arguments), text=True, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def release() -> Any:
    """The names of the program."""
    return runpy.run_path(str(ROOT / "deploy/release"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a version, a manifest and a change log."""
    root = tmp_path / "repository"
    (root / "service").mkdir(parents=True)
    (root / "service/__init__.py").write_text('__version__ = "1.2.0"\n')
    (root / "deploy").mkdir()
    (root / "deploy/pod.yaml").write_text("image: digitalis:1.2.0\n---\nimage: digitalis:1.2.0-cuda\n")
    git(tmp_path, "init", "--quiet", str(root))
    commit(root)
    return root


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A change")


def test_a_clean_tree_of_a_new_version_passes(release: Any, repository: Path) -> None:
    assert release["version_of"](repository) == "1.2.0"
    release["check_tree"](repository, "1.2.0")


def test_what_is_not_committed_is_no_part_of_a_release(release: Any, repository: Path) -> None:
    (repository / "notes.txt").write_text("later")
    with pytest.raises(release["ReleaseError"], match=r"(?s)commit these first.*notes\.txt"):
        release["check_tree"](repository, "1.2.0")


def test_a_version_is_released_once(release: Any, repository: Path) -> None:
    git(repository, "tag", "v1.2.0")
    with pytest.raises(release["ReleaseError"], match=r"v1\.2\.0 is there already"):
        release["check_tree"](repository, "1.2.0")


def test_a_manifest_of_another_version_is_named(release: Any, repository: Path) -> None:
    (repository / "service/__init__.py").write_text('__version__ = "1.3.0"\n')
    commit(repository)
    with pytest.raises(release["ReleaseError"], match=r"deploy/pod\.yaml names digitalis:1\.2\.0, and this is 1\.3\.0"):
        release["check_tree"](repository, "1.3.0")


def test_the_change_log_gets_a_section_once(release: Any, tmp_path: Path) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## Unreleased\n\n### Added\n\n- One.\n\n## 1.1.0 · 2026-01-01\n\n- Zero.\n")
    assert release["write_section"](changelog, "1.2.0", TODAY) == "## 1.2.0 · 2026-11-28"
    assert [line for line in changelog.read_text().splitlines() if line] == [
        "# Changelog", "## Unreleased", "## 1.2.0 · 2026-11-28", "### Added", "- One.",
        "## 1.1.0 · 2026-01-01", "- Zero.",
    ]  # fmt: skip
    with pytest.raises(release["ReleaseError"], match="has nothing under `## Unreleased`"):
        release["write_section"](changelog, "1.3.0", TODAY)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository with what is in the working tree."""
    folder = tmp_path_factory.mktemp("clone") / "digitalis"
    git(ROOT, "clone", "--quiet", "--no-local", "--no-tags", str(ROOT), str(folder))
    tracked = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in tracked:
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    changelog = folder / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("## Unreleased\n", "## Unreleased\n\n- A change.\n", 1))
    commit(folder)
    return folder


@pytest.mark.slow
def test_the_same_commit_gives_the_same_wheel_and_one_that_lacks_a_file_is_refused(
    release: Any, clone: Path, tmp_path: Path
) -> None:
    first, second = (release["build_wheel"](clone, tmp_path / name) for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    release["check_wheel"](first, clone, __version__)
    with pytest.raises(release["ReleaseError"], match=rf"is of version {__version__}, not 9"):
        release["check_wheel"](first, clone, "9")
    lacking = tmp_path / first.name
    with zipfile.ZipFile(first) as whole, zipfile.ZipFile(lacking, "w") as archive:
        for name in whole.namelist():
            if name != "service/py.typed":
                archive.writestr(name, whole.read(name))
    with pytest.raises(release["ReleaseError"], match=r"lacks service/py\.typed: see package-data"):
        release["check_wheel"](lacking, clone, __version__)


@pytest.mark.slow
def test_images_that_nothing_can_build_are_refused_before_the_wheel_is_built(clone: Path, tmp_path: Path) -> None:
    command = (sys.executable, "deploy/release", "--dist", tmp_path / "dist")
    environment = clean_environment() | {"CONTAINER_TOOL": "/no/such/tool"}
    failed = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr) == (1, "release: /no/such/tool, which builds images, is not there\n")
    assert not (tmp_path / "dist").exists()


@pytest.mark.slow
def test_a_release_without_images_changes_the_change_log_alone(clone: Path, tmp_path: Path) -> None:
    command = (sys.executable, "deploy/release", "--images", "none", "--dist", tmp_path / "dist")
    done = subprocess.run(command, cwd=clone, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installed into a new environment, it serves" in done.stdout
    assert git(clone, "status", "--porcelain").split() == ["M", "CHANGELOG.md"]
    assert f"## {__version__} · " in git(clone, "diff", "--unified=0")
    assert {path.suffix for path in (tmp_path / "dist").iterdir()} == {".whl", ".sha256"}
