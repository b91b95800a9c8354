"""`python -m training`, run as a user runs it."""

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
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import torch
from conftest import MODELS
from onnx import numpy_helper
from rich.console import Console
from running_service import ROOT, clean_environment

from service.bundle.loading import load_bundle
from training import __main__ as command_line
from training import commands
from training.bundles.model_files import export_torchscript
from training.bundles.verify import rebuild, verify
from training.datasets import Split, open_dataset
from training.datasets.mnist import Mnist
from training.datasets.sklearn_tables import HoldoutTable
from training.errors import DataUnavailable, VerificationFailed
from training.learning.train import TrainingResult, train_one_seed
from training.progress import Progress
from training.recipes import RECIPES

IRIS = open_dataset("iris", ROOT)
MODULE = (sys.executable, "-m", "training")


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*MODULE, *arguments),
        cwd=ROOT,
        env=environment or clean_environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def train_here(seed: int) -> TrainingResult:
    """Iris from one seed, in this process."""
    progress = Progress(Console(file=io.StringIO()))
    progress.start_network(RECIPES["iris"], seed)
    torch.set_num_threads(1)
    return train_one_seed(RECIPES["iris"], IRIS, seed, torch.device("cpu"), progress)


@pytest.fixture(scope="module")
def trained_iris(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Iris trained from scratch, and what that printed."""
    models = tmp_path_factory.mktemp("trained") / "models"
    (models / "iris/41").mkdir(parents=True)
    done = run("train", "iris", "--models-dir", str(models))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return models / "iris/42", done.stdout


def test_iris_trains_from_scratch_and_its_bundle_records_what_it_reached(trained_iris: tuple[Path, str]) -> None:
    folder, printed = trained_iris
    bundle, _ = load_bundle(folder)
    assert bundle.metrics["accuracy_seeds"] == 20
    assert bundle.metrics["accuracy_mean"] >= RECIPES["iris"].acceptance.threshold
    assert bundle.metrics["accuracy_std"] > 0
    assert bundle.metrics["accuracy_min"] <= bundle.metrics["accuracy_mean"] <= bundle.metrics["accuracy_max"]
    assert msgspec.convert(bundle.recipe, type(RECIPES["iris"])) == RECIPES["iris"]
    assert (bundle.data.train_rows, bundle.data.held_out_rows) == (105, 45)
    assert "iris seed 0 epoch 20/20  loss 0." in printed
    assert "the lecture's figure: 0.9778 (44 of 45) for one random split" in printed
    assert "TorchScript   256" in printed


def test_a_new_bundle_is_the_next_version(trained_iris: tuple[Path, str]) -> None:
    folder, printed = trained_iris
    assert f"iris: wrote {folder}" in printed
    assert load_bundle(folder)[0].version == "42"


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(trained_iris: tuple[Path, str]) -> None:
    """Trained in another process, seed 0 gives the weights of the bundle, to the bit."""
    bundled = rebuild(*load_bundle(trained_iris[0])).state_dict()
    same, other = (train_here(seed).network.state_dict() for seed in (0, 1))
    assert all(torch.equal(bundled[name], same[name]) for name in bundled)
    assert not torch.equal(bundled["layers.0.weight"], other["layers.0.weight"])


def test_a_network_below_its_bar_writes_nothing(tmp_path: Path) -> None:
    failed = run("train", "iris", "--epochs", "1", "--models-dir", str(tmp_path / "models"))
    assert failed.returncode == 1
    assert "below its acceptance threshold 0.92: no bundle is written" in failed.stderr
    assert list((tmp_path / "models").iterdir()) == []


def test_a_blow_in_the_midst_of_the_export_leaves_no_bundle(tmp_path: Path) -> None:
    """The staging folder beside `models/` shows that the export has begun."""
    with subprocess.Popen(
        (*MODULE, "train", "iris", "--models-dir", str(tmp_path / "models")),
        cwd=ROOT, env=clean_environment(), stdout=subprocess.DEVNULL,
    ) as training:  # fmt: skip
        while not list(tmp_path.glob(".digitalis-*/iris/1/*")):
            assert training.poll() is None
            time.sleep(0.01)
        training.kill()
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("how", "seconds"),
    [(signal.SIGINT, 1), (signal.SIGTERM, 2), (signal.SIGKILL, 1), (signal.SIGKILL, 3)],
)
def test_an_interruption_leaves_nothing_half_written(how: signal.Signals, seconds: float, tmp_path: Path) -> None:
    """Training Iris takes over a second, its export two; whenever the blow falls, bundles are whole."""
    models = tmp_path / "models"
    models.mkdir()
    with subprocess.Popen(
        (*MODULE, "train", "iris", "--models-dir", str(models)),
        cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as training:  # fmt: skip
        assert training.stdout is not None
        training.stdout.readline()  # the first epoch is over
        time.sleep(seconds)
        training.send_signal(how)
        _, errors = training.communicate(timeout=60)
    for folder in models.glob("*/*"):
        load_bundle(folder)
    assert {path.name for path in models.iterdir()} <= {"iris"}
    if how != signal.SIGKILL:
        assert training.returncode == 130
        assert errors == "training: interrupted; no bundle was left half-written\n"
        assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_no_data_and_no_network_is_one_message_naming_files_and_folder(tmp_path: Path) -> None:
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    failed = run(
        "train", "mnist-deep", "--data-dir", str(tmp_path / "data"), "--models-dir", str(tmp_path / "models"),
        environment=clean_environment() | nowhere,
    )  # fmt: skip
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    (message,) = failed.stderr.splitlines()
    for name in (*Mnist.MD5, str(tmp_path / "data/MNIST/raw"), "--data-dir", "DIGITALIS_DATA_DIR"):
        assert name in message
    assert list((tmp_path / "models").iterdir()) == []


def test_damaged_data_is_refused_naming_the_file(mnist_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(mnist_dir / "MNIST/raw", tmp_path / "MNIST/raw")
    labels = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte"
    labels.chmod(0o644)
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x05")
    dataset = open_dataset("mnist", tmp_path)
    assert dataset.train(seed=0).inputs.shape == (60_000, 28, 28)
    with pytest.raises(DataUnavailable, match="t10k-labels-idx1-ubyte is damaged: MD5 "):
        dataset.held_out(seed=0)


def test_held_out_data_is_opened_only_after_the_last_epoch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was printed when the held-out data is asked for: every epoch, and nothing after them."""
    printed = []
    held_out = HoldoutTable.held_out

    def watched(self: HoldoutTable, seed: int) -> Split:
        printed.append(capsys.readouterr().out)
        return held_out(self, seed)

    monkeypatch.setattr(HoldoutTable, "held_out", watched)
    monkeypatch.setattr(commands.console, "file", None)
    assert command_line.main(["train", "iris", "--models-dir", str(tmp_path)]) == 0
    assert "epoch 20/20" in printed[0]
    assert "held-out" not in printed[0]


def test_mnist_opens_no_test_file_to_train(mnist_dir: Path, tmp_path: Path) -> None:
    """The test files are there, but cannot be read: training data comes all the same."""
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


def test_a_terminal_gets_a_bar_with_loss_and_accuracy(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        (*MODULE, "train", "iris", "--models-dir", str(tmp_path)),
        cwd=ROOT, env=clean_environment() | {"TERM": "xterm", "COLUMNS": "120"}, stdout=theirs, stderr=theirs,
    ) as training:  # fmt: skip
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the other side was closed
            interrupted = False
            while part := os.read(ours, 65536):
                shown += part
                if b"seed 3" in shown and not interrupted:
                    training.send_signal(signal.SIGINT)
                    interrupted = True
    os.close(ours)
    assert training.returncode == 130
    assert "━".encode() in shown
    assert b"loss 0." in shown
    assert b"/20" in shown


def edit_weight(path: Path) -> None:
    """Add a thousandth to one weight of an ONNX file, by hand."""
    model = onnx.load(path)
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 2)
    values = numpy_helper.to_array(weight).copy()
    values[0, 0] += 0.001
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, path)


def accept_checksum(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("bundle", ["iris/4", "mnist-deep/5", "mnist/4"])
def test_verify_passes_what_was_exported_and_shows_a_table(bundle: str) -> None:
    done = run("verify", f"models/{bundle}")
    assert done.returncode == 0, done.stderr
    for runtime in ("ONNX Runtime", "TorchScript"):
        for rows in ("1 ", "2 ", "17 ", "256 "):
            assert f"{runtime}  {rows}".replace("TorchScript  ", "TorchScript   ") in done.stdout


@pytest.mark.parametrize("bundle", ["iris/4", "mnist-deep/5", "mnist/4"])
def test_a_weight_nudged_by_hand_fails_verification(bundle: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MODELS / bundle, tmp_path / bundle))
    edit_weight(folder / "model.onnx")
    with pytest.raises(VerificationFailed, match=r"model.onnx: damaged"):
        verify(folder)
    accept_checksum(folder, "model.onnx")
    with pytest.raises(VerificationFailed, match=r"model.onnx and model.pt differ in layers.0.weight"):
        verify(folder)


def test_an_onnx_file_that_computes_something_else_fails_verification(tmp_path: Path) -> None:
    """Every weight in its place, but no ReLU after the first layer."""
    folder = Path(shutil.copytree(MODELS / "iris/4", tmp_path / "iris/4"))
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
    folder = Path(shutil.copytree(trained_iris[0], tmp_path / "iris/42"))
    export_torchscript(train_here(3).network, folder / "model.pt")
    accept_checksum(folder, "model.pt")
    with pytest.raises(VerificationFailed, match=r"model.onnx and model.pt differ in scale.mean"):
        verify(folder)
    with pytest.raises(VerificationFailed, match=r"model.onnx and model.pt differ in scale.mean"):
        verify(folder, rebuild(*load_bundle(trained_iris[0])))


def test_every_onnx_file_is_one_file_of_a_current_opset_and_says_nothing_of_the_machine() -> None:
    for path in MODELS.glob("*/*/model.onnx"):
        model: Any = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert model.opset_import[0].version >= 20
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        content = path.read_bytes()
        assert str(ROOT).encode() not in content
        assert b"site-packages" not in content


def test_list_and_show_and_help_teach() -> None:
    listed = run("list").stdout
    for recipe in RECIPES.values():
        assert recipe.name in listed
        assert json.loads(run("show", recipe.name).stdout)["layers"] == list(recipe.layers)
    assert "575,050" in listed
    assert "no bundle is written" not in listed
    for command in ((), ("list",), ("show",), ("train",), ("verify",)):
        shown = run(*command, "--help")
        assert shown.returncode == 0
        assert "usage: python -m training" in shown.stdout


def test_without_its_extras_it_says_what_to_install() -> None:
    program = "import runpy, sys; sys.modules['rich'] = None; runpy.run_module('training', run_name='__main__')"
    failed = subprocess.run((sys.executable, "-c", program), cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "pip install '.[cpu,training]'" in failed.stderr
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
def test_what_is_not_understood_is_refused(arguments: tuple[str, ...], words: str) -> None:
    failed = run(*arguments)
    assert failed.returncode == 2
    assert words in failed.stderr


def test_the_network_sees_numbers_scaled_inside_the_graph() -> None:
    """Pixels of 255 and centimetres go in as they are: the first layer's inputs are 0 to 1, and standardised."""
    deep = rebuild(*load_bundle(MODELS / "mnist-deep/5"))
    assert deep.scale(torch.full((1, 28, 28), 255, dtype=torch.uint8)).unique().tolist() == [1.0]
    iris = rebuild(*load_bundle(MODELS / "iris/4"))
    prepared = iris.scale(IRIS.train(seed=0).inputs)
    np.testing.assert_allclose(prepared.mean(dim=0), 0, atol=1e-5)
    np.testing.assert_allclose(prepared.std(dim=0, correction=0), 1, atol=1e-5)
