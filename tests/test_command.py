"""The command `digitalis`, and the options of the service."""

import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from conftest import MODELS
from running_service import DEADLINE, ROOT, RunningService, clean_environment, predict

from digitalis.command import SERVICE, TRAINING
from service.settings import Settings

DIGITALIS = str(Path(sys.executable).with_name("digitalis"))
HEAVY = {"numpy", "torch", "onnx", "onnxruntime", "PIL", "flask", "gunicorn", "rich", "sklearn", "service", "training"}


def digitalis(*arguments: str, cwd: Path = ROOT, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command, environment = (DIGITALIS, *arguments), clean_environment(**settings)
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_help_names_every_command_and_imports_neither_package() -> None:
    program = (
        "import sys; from digitalis.command import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('imported:', *{name.partition('.')[0] for name in sys.modules})"
    )
    shown = subprocess.run((sys.executable, "-c", program), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text, _, imported = shown.partition("imported:")
    assert set(imported.split()) & HEAVY == set()
    for name in (*SERVICE, *TRAINING):
        assert f"\n  {name} " in text


@pytest.mark.parametrize("command", [*SERVICE, *TRAINING])
def test_each_command_has_help_of_its_own(command: str) -> None:
    shown = digitalis(command, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"usage: digitalis {command}")
    assert "python -m training" not in shown.stdout.partition("options:")[0]


def test_the_help_of_serve_has_every_setting_with_its_variable() -> None:
    shown = "".join(digitalis("serve", "--help").stdout.split())
    for name, default, meaning in Settings.documentation_rows():
        if not meaning.startswith("training:"):
            assert "".join(f"{meaning} (default: {default}; {name})".split()) in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("srve",), "no command 'srve': did you mean serve?"),
        (("serve", "--workers", "two"), "argument --workers: 'two': expected an integer from 1 up"),
        (("serve", "--worker", "2"), "unrecognized arguments: --worker 2"),
        ((), "the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_says_what_would_be_right(arguments: tuple[str, ...], message: str) -> None:
    failed = digitalis(*arguments)
    assert failed.returncode == 2
    assert message in failed.stderr


def test_an_option_wins_over_the_environment(tmp_path: Path) -> None:
    """It is served from a folder that is not the source's, by the option's models and not by those of the variable."""
    shutil.copytree(MODELS / "iris", tmp_path / "served/iris")
    options = ("serve", "--bind", "{address}", "--models", str(tmp_path / "served"), "--workers", "1")
    with RunningService(tmp_path / "log", (DIGITALIS, *options), bind="127.0.0.1:1", models_dir="nowhere") as service:
        assert httpx.get(f"{service.url}/v1/models", timeout=DEADLINE).json() == {"models": ["iris"]}
        assert predict(service).json()["predictions"][0]["label"] == "setosa"
        assert digitalis("health", "--bind", service.address).returncode == 0
    failed = digitalis("health", "--bind", service.address)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"digitalis: not ready on {service.address}: ")


def test_a_recipe_is_trained_into_the_models_of_the_current_folder_and_verified(tmp_path: Path) -> None:
    trained = digitalis("train", "xor", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "wrote models/xor/1" in trained.stdout
    assert digitalis("verify", "models/xor/1", cwd=tmp_path).returncode == 0
