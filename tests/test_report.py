"""The report of a bundle, the command that adds pictures of the data, and the comparisons."""

import base64
import dataclasses
import io
import itertools
import json
import re
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from conftest import MODELS, newest
from PIL import Image
from running_service import ROOT, RunningService

from service.bundle.golden import read_golden
from service.bundle.loading import load_bundle
from service.bundle.manifest import REPORT, Column
from service.inference.version_folders import find_bundles
from training import __main__ as command_line
from training.bundles.restore import latest_bundle, read_curve, restore
from training.compare import compare, split_training_data, variants
from training.datasets import open_dataset
from training.datasets.dataset import Split
from training.learning.curve import CurvePoint, downsample_curve
from training.progress import Progress
from training.recipes import RECIPES
from training.recipes.gradient_descent import GradientDescent
from training.recipes.recipe import Recipe
from training.report.evaluation import Evaluation
from training.report.page import Report

FOLDERS = find_bundles(MODELS)
XOR = newest("xor")


def pictures(html: bytes) -> list[Image.Image]:
    found = re.findall(rb'src="data:image/png;base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(picture))) for picture in found]


def width(path: Path) -> int:
    with Image.open(path) as picture:
        return picture.width


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_a_bundle_has_a_page_that_needs_no_other_file(folder: Path) -> None:
    bundle, contents = load_bundle(folder)
    page = contents[REPORT]
    assert f"<h1>{bundle.name} <small>version {bundle.version}</small></h1>".encode() in page
    assert not re.search(rb'(src|href)="(?!data:)|url\(|@import|<script', page)
    titles = {title.decode() for title in re.findall(rb"<h2>([^<]+)</h2>", page)}
    trained = bundle.recipe["training"]["method"] == "gradient-descent"
    assert "Network" in titles
    assert ("Learning curve" in titles) == trained
    assert {"regression": "Absolute error", "mixture": "Density"}.get(bundle.task, "Confusion matrix") in titles
    assert ("Decision boundary" in titles) == (len(bundle.features) == 2 and bundle.task == "binary")
    assert all(min(picture.size) > 100 for picture in pictures(page))


@pytest.mark.parametrize("name", ["mnist", "mnist-deep", "mnist-dropout", "mnist-dropout-slow"])
def test_no_picture_of_a_digit_is_in_a_bundle(name: str) -> None:
    """The network, the curve and the calibration; misclassified rows are a table."""
    page = latest_bundle(name, MODELS)[1][REPORT].decode()
    assert len(pictures(page.encode())) == 3
    assert "Misclassified rows" in page
    assert "Predictions" not in page


@pytest.mark.parametrize("path", ["/v1/models/xor/report", f"/v1/models/xor/versions/{XOR.name}/report"])
def test_the_service_shows_the_page(service: RunningService, path: str) -> None:
    response = service.client.get(path)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Content-Security-Policy"] == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
    )
    assert response.content == (XOR / "report.html").read_bytes()


def test_the_command_writes_the_page_and_its_pictures(tmp_path: Path) -> None:
    assert command_line.main(["report", "versicolor-petal", "diabetes", "--out", str(tmp_path)]) == 0
    found = {path.name for path in (tmp_path / "versicolor-petal").iterdir()}
    assert found == {
        "report.html", "network.png", "learning-curve.png", "decision-boundary.png", "calibration.png",
        "confusion-matrix.png",
    }  # fmt: skip
    assert (tmp_path / "diabetes/predicted-and-true.png").read_bytes().startswith(b"\x89PNG")
    assert len(pictures((tmp_path / "versicolor-petal/report.html").read_bytes())) == 5


def test_the_command_shows_digits_with_their_predictions(mnist_dir: Path, tmp_path: Path) -> None:
    arguments = ["report", "mnist-deep", "--out", str(tmp_path), "--data-dir", str(mnist_dir)]
    assert command_line.main(arguments) == 0
    for name in ("predictions.png", "misclassified-rows.png"):
        assert width(tmp_path / "mnist-deep" / name) > 400


def test_a_recipe_without_a_bundle_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["report", "xor", "--models-dir", str(tmp_path)]) == 1
    assert "`digitalis train xor` makes one" in capsys.readouterr().err


def test_a_bundle_of_other_data_is_not_reported_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.bundles.restore.open_data", lambda _name, _folder: open_dataset("or", tmp_path))
    assert command_line.main(["report", "xor", "--out", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_confusion_matrix_agrees_with_the_manifest(tmp_path: Path) -> None:
    for name in ("iris", "breast-cancer", "versicolor-sepal"):
        bundle, contents = latest_bundle(name, MODELS)
        _, result, _ = restore(bundle, contents, tmp_path)
        evaluation = Evaluation.of(result.network, result.evaluation_split)
        confusion = evaluation.confusion_matrix()
        assert np.trace(confusion) / confusion.sum() == pytest.approx(bundle.metrics["accuracy"], abs=1e-6)
        wrong = evaluation.misclassified(limit=1000)
        assert len(wrong) == confusion.sum() - np.trace(confusion)
        assert [one.confidence for one in wrong] == sorted((one.confidence for one in wrong), reverse=True)
        assert all(one.true != one.predicted for one in wrong)


def test_names_and_summaries_are_escaped(tmp_path: Path) -> None:
    """Names come from data sets, and a summary from the author of the recipe."""
    bundle, contents = latest_bundle("xor", MODELS)
    recipe, result, dataset = restore(bundle, contents, tmp_path)
    named = dataclasses.replace(dataset, labels=("<b>no</b>", "yes & <i>"))  # type: ignore[type-var]
    report = Report("1", msgspec.structs.replace(recipe, summary="<script>alert(1)</script>"), result, named)
    page = report.html(report.sections())
    assert b"<script" not in page
    assert b"&lt;b&gt;no&lt;/b&gt;" in page
    assert b"<i>" not in page


def test_a_report_has_the_look_of_the_pages_of_the_service(tmp_path: Path) -> None:
    look = (ROOT / "service/page/static/look.css").read_text().strip()
    report = Report("1", *restore(*latest_bundle("xor", MODELS), tmp_path))
    assert look in report.html([]).decode()


def test_the_calibration_error_is_the_mean_difference_of_confidence_and_accuracy() -> None:
    """Half of the rows with confidence 0.8 and accuracy 3/4, half with confidence 0.6 and accuracy 7/8; shuffled."""
    confidence = np.repeat([0.8, 0.6], 600)
    wrong = np.concatenate([np.arange(600) % 4 == 0, np.arange(600) % 8 == 0])
    order = np.random.default_rng(0).permutation(1200)
    outputs = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)[order]
    calibration = Evaluation(outputs, wrong.astype(np.int64)[order]).calibration()
    assert calibration is not None
    assert calibration.error == pytest.approx((0.05 + 0.275) / 2, abs=0.01)
    assert list(calibration.confidence) == sorted(calibration.confidence)
    assert Evaluation(outputs[:50], wrong.astype(np.int64)[:50]).calibration() is None


def test_the_errors_of_a_regression_are_absolute() -> None:
    outputs = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    targets = np.array([[2.0], [1.0], [5.0], [4.0]], np.float32)
    errors = dict(Evaluation(outputs, targets).errors_by_value())
    assert errors["largest"] == [2.0]
    assert errors["half of them below (median)"] == [1.0]
    assert errors["root mean squared error"] == [pytest.approx(6**0.5 / 2)]
    assert errors["R²"] == [pytest.approx(1 - 6 / 10)]


@pytest.mark.parametrize(("parameter", "count"), [("optimisers", 6), ("batches", 3)])
def test_compare_trains_each_variant_and_plots_the_curves(
    parameter: str, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["compare", parameter, "iris", "--epochs", "3", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"\d\.\d{4} +\d\.\d{4} +\d+\.\d ", printed)) == count
    assert width(tmp_path / "iris" / f"{parameter}.png") > 800


def test_variants_that_a_recipe_cannot_have_are_left_out_of_a_comparison(
    mnist_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mnist` has batch normalisation, a one-cycle schedule, a teacher and an OOD head."""
    options = ["--rows", "60", "--epochs", "1", "--out", str(tmp_path), "--data-dir", str(mnist_dir)]
    assert command_line.main(["compare", "optimisers", "mnist", *options]) == 0
    printed = capsys.readouterr().out
    assert "Adagrad (learning rate 0.01) is left out: recipe mnist: schedule 'one-cycle' cycles the momentum" in printed
    assert len(re.findall(r"\d\.\d{4} +\d\.\d{4} +\d+\.\d ", printed)) == 5
    assert command_line.main(["compare", "batches", "mnist", *options]) == 0
    assert "stochastic (batch size 1) is left out: recipe mnist: batch_norm needs two rows" in capsys.readouterr().out


def test_one_comparison_that_fails_does_not_stop_the_next_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--epochs", "1", "--out", str(tmp_path)]
    assert command_line.main(["compare", "batches", "xor-by-hand", "iris", *options]) == 1
    assert "1 of 2 recipes failed: xor-by-hand" in capsys.readouterr().err
    assert (tmp_path / "iris/batches.png").exists()


def test_one_bundle_that_cannot_be_verified_does_not_stop_the_next_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "iris/1")
    assert command_line.main(["verify", missing, str(XOR)]) == 1
    printed = capsys.readouterr()
    assert f"1 of 2 bundles failed: {missing}" in printed.err
    assert "TorchScript   256" in printed.out


def test_epochs_stop_only_the_recipes_with_fixed_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "and-by-hand", "and-short", "--epochs", "400", "--models-dir", str(tmp_path)]
    assert command_line.main(arguments) == 1
    errors = capsys.readouterr().err
    assert "and-by-hand has fixed weights" in errors
    assert "1 of 2 recipes failed: and-by-hand" in errors
    assert (tmp_path / "and-short/1/manifest.json").exists()


def test_fixed_weights_cannot_be_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command_line.main(["compare", "optimisers", "versicolor-by-hand", "--out", str(tmp_path)]) == 1
    assert "has fixed weights" in capsys.readouterr().err


def test_epochs_cannot_be_set_for_fixed_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command_line.main(["train", "xor-by-hand", "--epochs", "3", "--models-dir", str(tmp_path)]) == 1
    assert "has fixed weights" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_one_recipe_that_fails_does_not_stop_the_next_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shutil.copytree(MODELS / "xor", tmp_path / "models/xor")
    arguments = ["report", "or-by-hand", "xor", "--models-dir", str(tmp_path / "models"), "--out", str(tmp_path)]
    assert command_line.main(arguments) == 1
    errors = capsys.readouterr().err
    assert "no bundle of or-by-hand in" in errors
    assert "1 of 2 recipes failed: or-by-hand" in errors
    assert (tmp_path / "xor/report.html").exists()


@pytest.mark.parametrize("damage", ["no curve", "another recipe"])
def test_a_bundle_that_cannot_be_restored_is_reported_with_the_reason(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(XOR, tmp_path / "models/xor" / XOR.name))
    manifest = json.loads((folder / "manifest.json").read_text())
    if damage == "no curve":
        del manifest["files"]["curve.json"]
    else:
        manifest["recipe"]["activation"] = "gelu"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    arguments = ["report", "xor", "--models-dir", str(tmp_path / "models"), "--out", str(tmp_path)]
    assert command_line.main(arguments) == 1
    messages = {
        "no curve": f"xor/{XOR.name} holds no curve.json: train xor again",
        "another recipe": "its recipe cannot be read",
    }
    assert messages[damage] in capsys.readouterr().err


class TrainOnly:
    """A data set whose held-out rows must not be read."""

    name, source, licence, labels = "lines", "here", "free", ("0", "1")

    def train(self, seed: int) -> Split:
        return Split(torch.arange(120.0).unsqueeze(1), torch.arange(120) % 2)

    def held_out(self, seed: int) -> Split:
        raise AssertionError("the held-out rows were read")

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        return (Column("x", 0, 119),)

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        return ()


def test_compare_evaluates_on_rows_of_the_training_data_that_it_does_not_train_on() -> None:
    train, validation = split_training_data(TrainOnly(), rows=90, seed=0)
    assert (len(train.targets), len(validation.targets)) == (75, 15)
    assert not set(train.inputs.flatten().tolist()) & set(validation.inputs.flatten().tolist())
    recipe = msgspec.structs.replace(RECIPES["hours-pass"], scaling="standardised")
    for run in compare("optimisers", recipe, TrainOnly(), rows=90, epochs=1, progress=Progress.silent()):
        assert run.score * 15 == pytest.approx(round(run.score * 15), abs=1e-3)  # a fraction of fifteen rows


@pytest.mark.parametrize("recipe", ["iris", "mnist-dropout", "wine"])
def test_every_optimiser_is_compared_once_the_recipes_own_at_its_learning_rate(recipe: str) -> None:
    found = dict(variants("optimisers", RECIPES[recipe], rows=60))
    assert sorted(title.split(" (")[0] for title in found) == [
        "Adagrad", "Adam", "AdamW", "Adamax", "RMSprop", "SGD"
    ]  # fmt: skip
    assert RECIPES[recipe].gradient_descent.optimiser in [config.optimiser for config in found.values()]


def test_every_batch_size_is_compared_once() -> None:
    assert list(dict(variants("batches", RECIPES["iris"], rows=12))) == [
        "stochastic (batch size 1)", "full batch (batch size 12)"
    ]  # fmt: skip


@pytest.mark.parametrize("recipe", ["xor", "linear-regression"])
def test_too_few_rows_cannot_be_compared_on(recipe: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command_line.main(["compare", "optimisers", recipe, "--out", str(tmp_path)]) == 1
    assert "at least 24 are needed" in capsys.readouterr().err


def test_a_long_learning_curve_is_downsampled_from_its_first_point_to_its_last() -> None:
    curve = downsample_curve([CurvePoint(epoch, epoch / 100, 1 / epoch, None) for epoch in range(1, 5001)])
    assert len(curve) == 100
    assert (curve[0].epoch, curve[-1].epoch) == (1, 5000)
    steps = {round(b.epoch - a.epoch) for a, b in itertools.pairwise(curve)}
    assert steps <= {50, 51}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_a_bundles_learning_curve_goes_to_the_last_epoch(recipe: Recipe) -> None:
    curve = read_curve(latest_bundle(recipe.name, MODELS)[1])
    training = recipe.training
    last_epoch = [training.epochs] if isinstance(training, GradientDescent) else []
    assert [point.epoch for point in curve][-1:] == last_epoch


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_the_tolerance_of_golden_examples_is_small(folder: Path) -> None:
    """At most a thousandth of the range of each output in the training data."""
    bundle, contents = load_bundle(folder)
    tolerances = read_golden(bundle.signature, contents)[2]
    assert list(tolerances) == [output.name for output in bundle.signature.outputs]
    ranges = [target.maximum - target.minimum for target in bundle.targets] or [1.0]
    for tolerance in tolerances.values():
        assert (tolerance / np.array(ranges) < 1e-3).all()
