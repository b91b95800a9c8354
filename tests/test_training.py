"""`python -m training`: training, export and verification, and what is left behind when they fail."""

import contextlib
import hashlib
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import numpy as np
import onnx
import pytest
import torch
from conftest import MODELS, newest
from onnx import numpy_helper
from rich.console import Console
from running_service import ROOT, clean_environment

from service.bundle.loading import load_bundle
from training import __main__ as command_line
from training.bundles.model_files import export_torchscript
from training.bundles.restore import rebuild
from training.bundles.verify import verify
from training.datasets import open_dataset
from training.datasets.dataset import Split
from training.datasets.mnist import Mnist
from training.datasets.sklearn_tables import HoldoutTable
from training.errors import DataUnavailable, VerificationFailed
from training.learning.train import TrainingResult, train_one_seed
from training.progress import Progress
from training.recipes import RECIPES

IRIS = open_dataset("iris", ROOT)
MODULE = (sys.executable, "-m", "training")
TRAIN_IRIS = ("train", "iris", "--device", "cpu")
ENDLESS = ("--epochs", "3000")  # of 20 seeds: training ends after minutes, long after the test

# Runs `python -m training`, but the export stops before verification, when all files of the bundle are written. It
# waits within `exec` of a string, as in PyTorch's exporter, where Python treats a KeyboardInterrupt differently.
WAITING_EXPORT = """
import sys
from unittest import mock
from training.__main__ import main

def wait(*_):
    exec("print('the export waits', flush=True); input()")

with mock.patch("training.bundles.export.verify", wait):
    sys.exit(main())
"""


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python -m training` in a process of its own."""
    return subprocess.run(
        (*MODULE, *arguments),
        cwd=ROOT,
        env=environment or clean_environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


class Finished(NamedTuple):
    """How a command ended, and what it printed."""

    status: int | str | None
    stdout: str
    stderr: str


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Finished]]:
    """Run `python -m training` in this process, without the seconds in which a new one imports PyTorch."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run_main(*arguments: str) -> Finished:
        try:
            status: int | str | None = command_line.main(arguments)
        except SystemExit as end:  # of argparse
            status = end.code
        return Finished(status, *capsys.readouterr())

    yield run_main
    for number, handler in handlers.items():
        signal.signal(number, handler)


def train_here(seed: int) -> TrainingResult:
    """The recipe iris from one seed, in this process."""
    progress = Progress(Console(file=io.StringIO()))
    progress.start_network(RECIPES["iris"], seed)
    torch.set_num_threads(1)
    return train_one_seed(RECIPES["iris"], IRIS, seed, torch.device("cpu"), progress)


@pytest.fixture(scope="module")
def trained_iris(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The bundle of iris, trained from scratch, and the output of the command."""
    models = tmp_path_factory.mktemp("trained") / "models"
    (models / "iris/41").mkdir(parents=True)
    done = run(*TRAIN_IRIS, "--models-dir", str(models))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return models / "iris/42", done.stdout


def test_iris_trains_from_scratch_and_its_bundle_records_the_metrics(trained_iris: tuple[Path, str]) -> None:
    folder, printed = trained_iris
    bundle, _ = load_bundle(folder)
    assert bundle.metrics["accuracy_seeds"] == 20
    assert bundle.metrics["accuracy_mean"] >= RECIPES["iris"].acceptance.threshold
    assert bundle.metrics["accuracy_std"] > 0
    assert bundle.metrics["accuracy_min"] <= bundle.metrics["accuracy_mean"] <= bundle.metrics["accuracy_max"]
    assert msgspec.convert(bundle.recipe, type(RECIPES["iris"])) == RECIPES["iris"]
    assert bundle.data
    assert (bundle.data.train_rows, bundle.data.held_out_rows) == (105, 45)
    assert "iris seed 0 epoch 20/20  loss 0." in printed
    assert "the lecture's figure: 0.9778 (44 of 45) for one random split" in printed
    assert "TorchScript   256" in printed


def test_a_new_bundle_is_the_next_version(trained_iris: tuple[Path, str]) -> None:
    folder, printed = trained_iris
    assert f"iris: wrote {folder}" in printed
    assert load_bundle(folder)[0].version == "42"


def test_the_seed_determines_the_weights(trained_iris: tuple[Path, str]) -> None:
    """Seed 0 gives the weights of the bundle, which another process trained, to the bit; seed 1 gives others."""
    bundled = rebuild(*load_bundle(trained_iris[0])).state_dict()
    same, other = (train_here(seed).network.state_dict() for seed in (0, 1))
    assert all(torch.equal(bundled[name], same[name]) for name in bundled)
    assert not torch.equal(bundled["layers.0.weight"], other["layers.0.weight"])


def test_a_network_below_its_acceptance_threshold_is_not_written(
    tmp_path: Path, run_here: Callable[..., Finished]
) -> None:
    failed = run_here(*TRAIN_IRIS, "--epochs", "1", "--models-dir", str(tmp_path / "models"))
    assert failed.status == 1
    assert "below its acceptance threshold 0.92: no bundle is written" in failed.stderr
    assert list((tmp_path / "models").iterdir()) == []


@pytest.fixture
def default_sigint() -> Iterator[None]:
    """Child processes get SIGINT although a shell that started the tests in the background has ignored it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("default_sigint")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_during_the_export_leaves_no_bundle(number: signal.Signals, tmp_path: Path) -> None:
    """The signal arrives when every file is written to the staging folder, and none has been moved to the models."""
    (tmp_path / "waiting_export.py").write_text(WAITING_EXPORT)
    models = tmp_path / "work/models"
    command = (sys.executable, "-m", "waiting_export", "train", "and-by-hand", "--device", "cpu")
    with subprocess.Popen(
        (*command, "--models-dir", str(models)), cwd=ROOT, env=clean_environment() | {"PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as training:  # fmt: skip
        wait_for_line(training.stdout, "the export waits")
        (staged,) = models.parent.glob(".digitalis-*/and-by-hand/1")
        assert {path.name for path in staged.iterdir()} > {"manifest.json", "model.onnx", "model.pt"}
        training.send_signal(number)
        _, errors = training.communicate(timeout=60)
    assert list(models.iterdir()) == []
    if number == signal.SIGKILL:
        assert training.returncode == -signal.SIGKILL
    else:
        assert_interrupted(training.returncode, errors, models)


@pytest.mark.usefixtures("default_sigint")
def test_a_signal_during_training_leaves_nothing(tmp_path: Path) -> None:
    models = tmp_path / "work/models"
    with subprocess.Popen(
        (*MODULE, *TRAIN_IRIS, *ENDLESS, "--models-dir", str(models)), cwd=ROOT, env=clean_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as training:  # fmt: skip
        wait_for_line(training.stdout, "iris seed 0 epoch ")
        training.send_signal(signal.SIGTERM)
        _, errors = training.communicate(timeout=60)
    assert_interrupted(training.returncode, errors, models)


def wait_for_line(output: IO[str] | None, words: str) -> None:
    """Read up to the first line that holds these words."""
    assert output is not None
    shown = []
    for line in output:
        shown.append(line)
        if words in line:
            return
    pytest.fail(f"the process ended without printing {words!r}:\n{''.join(shown)}")


def assert_interrupted(status: int, errors: str, models: Path) -> None:
    """The exit status of an interruption, its message, an empty models folder, and no staging folder beside it."""
    assert status == 130
    assert errors == "training: interrupted; no bundle was left half-written\n"
    assert list(models.iterdir()) == []
    assert list(models.parent.iterdir()) == [models]


def test_missing_data_that_cannot_be_downloaded_is_one_message_that_names_files_and_folder(tmp_path: Path) -> None:
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    failed = run(
        "train", "mnist-deep", "--device", "cpu",
        "--data-dir", str(tmp_path / "data"), "--models-dir", str(tmp_path / "models"),
        environment=clean_environment() | nowhere,
    )  # fmt: skip
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    (message,) = failed.stderr.splitlines()
    for name in (*Mnist.MD5, str(tmp_path / "data/MNIST/raw"), "--data-dir", "DIGITALIS_DATA_DIR"):
        assert name in message
    assert list((tmp_path / "models").iterdir()) == []


def test_damaged_data_is_rejected_and_the_file_named(mnist_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(mnist_dir / "MNIST/raw", tmp_path / "MNIST/raw")
    labels = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte"
    labels.chmod(0o644)
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x05")
    dataset = open_dataset("mnist", tmp_path)
    assert dataset.train(seed=0).inputs.shape == (60_000, 28, 28)
    with pytest.raises(DataUnavailable, match="t10k-labels-idx1-ubyte is damaged: MD5 "):
        dataset.held_out(seed=0)


def test_held_out_data_is_opened_only_after_the_last_epoch(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    run_here: Callable[..., Finished],
) -> None:
    """When it is opened first, every epoch has been printed, and no metric yet."""
    printed = []
    held_out = HoldoutTable.held_out

    def open_held_out(self: HoldoutTable, seed: int) -> Split:
        printed.append(capsys.readouterr().out)
        return held_out(self, seed)

    monkeypatch.setattr(HoldoutTable, "held_out", open_held_out)
    assert run_here(*TRAIN_IRIS, "--models-dir", str(tmp_path)).status == 0
    assert "epoch 20/20" in printed[0]
    assert "held-out" not in printed[0]


def test_mnist_opens_no_test_file_to_train(mnist_dir: Path, tmp_path: Path) -> None:
    """The training data can be opened although both test files are empty."""
    shutil.copytree(mnist_dir / "MNIST/raw", tmp_path / "MNIST/raw")
    for path in (tmp_path / "MNIST/raw").glob("t10k*"):
        path.chmod(0o644)
        path.write_bytes(b"")
    assert len(open_dataset("mnist", tmp_path).train(seed=0).targets) == 60_000


def test_the_iris_split_is_stratified_and_drawn_by_the_seed() -> None:
    assert isinstance(IRIS, HoldoutTable)
    for seed in (0, 1):
        assert torch.bincount(IRIS.train(seed).targets).tolist() == [35, 35, 35]
        assert torch.bincount(IRIS.held_out(seed).targets).tolist() == [15, 15, 15]
        together = torch.cat([IRIS.train(seed).inputs, IRIS.held_out(seed).inputs])
        assert sorted(together.tolist()) == sorted(IRIS.inputs.tolist())
    assert not torch.equal(IRIS.held_out(0).inputs, IRIS.held_out(1).inputs)


@pytest.mark.usefixtures("default_sigint")
def test_a_terminal_shows_a_progress_bar_with_loss_and_accuracy(tmp_path: Path) -> None:
    """Read up to the first loss below 1; then the training, which would go on for minutes, is interrupted."""
    here, there = pty.openpty()
    with subprocess.Popen(
        (*MODULE, *TRAIN_IRIS, *ENDLESS, "--models-dir", str(tmp_path / "models")),
        cwd=ROOT, env=clean_environment() | {"TERM": "xterm", "COLUMNS": "120"}, stdout=there, stderr=there,
    ) as training:  # fmt: skip
        os.close(there)
        shown = b""
        with contextlib.suppress(OSError):  # the process has ended, and with it the terminal
            while b"loss 0." not in shown:
                shown += os.read(here, 65536)
            training.send_signal(signal.SIGINT)
            while True:
                shown += os.read(here, 65536)
    os.close(here)
    assert training.returncode == 130, shown.decode()
    assert "━".encode() in shown
    assert b"loss 0." in shown
    assert b"accuracy" in shown
    assert b"/3000" in shown
    assert list((tmp_path / "models").iterdir()) == []


def edit_weight(path: Path) -> None:
    """Add a thousandth to one weight of an ONNX file."""
    model = onnx.load(path)
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 2)
    values = numpy_helper.to_array(weight).copy()
    values[0, 0] += 0.001
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, path)


def copied(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle under its own name and version, which a test may change."""
    return Path(shutil.copytree(bundle, folder / bundle.parent.name / bundle.name))


def accept_checksum(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("model", ["iris", "mnist-deep", "mnist"])
def test_verify_accepts_an_exported_bundle_and_prints_a_table(model: str, run_here: Callable[..., Finished]) -> None:
    done = run_here("verify", str(newest(model)))
    assert done.status == 0, done.stderr
    for runtime in ("ONNX Runtime", "TorchScript"):
        for rows in ("1 ", "2 ", "17 ", "256 "):
            assert f"{runtime}  {rows}".replace("TorchScript  ", "TorchScript   ") in done.stdout


@pytest.mark.parametrize("model", ["iris", "mnist-deep", "mnist"])
def test_a_changed_weight_fails_verification(model: str, tmp_path: Path) -> None:
    folder = copied(newest(model), tmp_path)
    edit_weight(folder / "model.onnx")
    with pytest.raises(VerificationFailed, match=r"model.onnx: damaged"):
        verify(folder)
    accept_checksum(folder, "model.onnx")
    with pytest.raises(VerificationFailed, match=r"model.onnx and model.pt differ in layers.0.weight"):
        verify(folder)


def test_an_onnx_file_that_computes_other_outputs_fails_verification(tmp_path: Path) -> None:
    """All weights are the same, but there is no ReLU after the first layer."""
    folder = copied(newest("iris"), tmp_path)
    model = onnx.load(folder / "model.onnx")
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Identity"
    onnx.save(model, folder / "model.onnx")
    accept_checksum(folder, "model.onnx")
    golden = json.loads((folder / "golden.json").read_text()) | {"tolerance": {"probabilities": [1, 1, 1]}}
    (folder / "golden.json").write_text(json.dumps(golden))
    accept_checksum(folder, "golden.json")
    with pytest.raises(VerificationFailed, match="ONNX Runtime, batch size 1: differs from the network by"):
        verify(folder)


def test_two_networks_in_one_bundle_fail_verification(trained_iris: tuple[Path, str], tmp_path: Path) -> None:
    folder = copied(trained_iris[0], tmp_path)
    export_torchscript(train_here(3).network, folder / "model.pt")
    accept_checksum(folder, "model.pt")
    with pytest.raises(VerificationFailed, match=r"model.onnx and model.pt differ in scale.mean"):
        verify(folder)
    with pytest.raises(VerificationFailed, match=r"model.onnx and model.pt differ in scale.mean"):
        verify(folder, rebuild(*load_bundle(trained_iris[0])))


def test_every_onnx_file_is_self_contained_of_a_current_opset_and_free_of_local_paths() -> None:
    for path in MODELS.glob("*/*/model.onnx"):
        model: Any = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert model.opset_import[0].version >= 20
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        content = path.read_bytes()
        assert str(ROOT).encode() not in content
        assert b"site-packages" not in content


def test_list_shows_every_recipe() -> None:
    listed = run("list").stdout
    for recipe in RECIPES.values():
        assert recipe.name in listed
    assert "575,050" in listed
    assert "no bundle is written" not in listed


@pytest.mark.parametrize("name", RECIPES)
def test_show_prints_the_recipe(name: str, run_here: Callable[..., Finished]) -> None:
    assert json.loads(run_here("show", name).stdout)["layers"] == list(RECIPES[name].layers)


@pytest.mark.parametrize("command", [(), ("list",), ("show",), ("train",), ("verify",)])
def test_every_command_has_help(command: tuple[str, ...], run_here: Callable[..., Finished]) -> None:
    shown = run_here(*command, "--help")
    assert shown.status == 0
    assert "usage: python -m training" in shown.stdout


def test_without_the_extras_the_message_says_what_to_install() -> None:
    program = "import runpy, sys; sys.modules['rich'] = None; runpy.run_module('training', run_name='__main__')"
    failed = subprocess.run((sys.executable, "-c", program), cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "pip install 'digitalis-service[cpu,training]'" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "lily"), "no recipe 'lily'"),
        (("train",), "the following arguments are required: RECIPE"),
        (("train", "iris", "--epochs", "0"), "'0' is not a whole number from 1 to 4294967295"),
        (("train", "iris", "--seed", "-1"), "--seed"),
        (("train", "iris", "--seed", "99999999999999999999"), "from 0 to 4294967295"),
        (("fly",), "invalid choice: 'fly'"),
    ],
)
def test_invalid_arguments_are_rejected(
    arguments: tuple[str, ...], words: str, run_here: Callable[..., Finished]
) -> None:
    failed = run_here(*arguments)
    assert failed.status == 2
    assert words in failed.stderr


def test_inputs_are_scaled_inside_the_graph() -> None:
    """Pixels of 255 become 1.0, and centimetres are standardised, before they reach the first layer."""
    deep = rebuild(*load_bundle(newest("mnist-deep")))
    assert deep.scale(torch.full((1, 28, 28), 255, dtype=torch.uint8)).unique().tolist() == [1.0]
    iris = rebuild(*load_bundle(newest("iris")))
    prepared = iris.scale(IRIS.train(seed=0).inputs)
    np.testing.assert_allclose(prepared.mean(dim=0), 0, atol=1e-5)
    np.testing.assert_allclose(prepared.std(dim=0, correction=0), 1, atol=1e-5)
