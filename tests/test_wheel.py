"""The wheel, installed into a new environment, works from an empty folder."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from running_service import DEADLINE, ROOT, RunningService, clean_environment, predict

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digitalis(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command of a new environment, into which the wheel was installed with the extras `cpu` and `training`."""
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run((sys.executable, "-m", "venv", folder / "venv"), check=True)
    pip = folder / "venv/bin/pip"
    subprocess.run((pip, "install", "--quiet", f"{wheel}[cpu,training]"), check=True)
    return str(folder / "venv/bin/digitalis")


def test_a_recipe_is_trained_and_served_from_an_empty_folder(digitalis: str, tmp_path: Path) -> None:
    command, environment = (digitalis, "train", "iris"), clean_environment()
    trained = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert trained.returncode == 0, trained.stderr
    serve = (digitalis, "serve", "--bind", "{address}", "--models", str(tmp_path / "models"))
    with RunningService(tmp_path / "log", serve) as service:
        assert httpx.get(f"{service.url}/v1/models", timeout=DEADLINE).json() == {"models": ["iris"]}
        assert predict(service).json()["predictions"][0]["label"] == "setosa"
