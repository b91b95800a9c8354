"""The page of a bundle, the command that draws it with data, and the comparisons."""

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
from conftest import MODELS
from PIL import Image
from running_service import RunningService

from service.bundle.golden import read_golden
from service.bundle.manifest import REPORT, Feature, load_bundle
from service.inference.repository import find_bundles
from training import __main__ as command_line
from training.bundles.export import thinned
from training.bundles.restore import curve_of, newest, reopen
from training.compare import Shortened, compare, ways
from training.datasets import Split, open_dataset
from training.progress import Point, Progress
from training.recipes import RECIPES
from training.recipes.recipe import Descent, Recipe
from training.report.evaluation import Judgement
from training.report.page import Report

FOLDERS = find_bundles(MODELS)


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
    trained = bundle.recipe["fit"]["by"] == "descent"
    assert "The network" in titles
    assert ("Learning curve" in titles) == trained
    assert ("How far off" if bundle.task == "regression" else "Confusion matrix") in titles
    assert ("Decision boundary" in titles) == (len(bundle.features) == 2 and bundle.task == "binary")
    assert all(min(picture.size) > 100 for picture in pictures(page))


@pytest.mark.parametrize("name", ["mnist", "mnist-deep", "mnist-dropout", "mnist-dropout-slow"])
def test_no_picture_of_a_digit_is_in_a_bundle(name: str) -> None:
    """The network, the curve and the calibration; mistakes are a table."""
    page = newest(name, MODELS)[1][REPORT].decode()
    assert len(pictures(page.encode())) == 3
    assert "Worst mistakes" in page
    assert "Predictions" not in page


@pytest.mark.parametrize("path", ["/v1/models/xor/report", "/v1/models/xor/versions/2/report"])
def test_the_service_shows_the_page(service: RunningService, path: str) -> None:
    answer = service.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
    )
    assert answer.content == (MODELS / "xor/2/report.html").read_bytes()


def test_the_command_writes_the_page_and_its_pictures(tmp_path: Path) -> None:
    assert command_line.main(["report", "versicolor-petal", "diabetes", "--out", str(tmp_path)]) == 0
    found = {path.name for path in (tmp_path / "versicolor-petal").iterdir()}
    assert found == {
        "report.html", "the-network.png", "learning-curve.png", "decision-boundary.png", "calibration.png",
        "confusion-matrix.png",
    }  # fmt: skip
    assert (tmp_path / "diabetes/foretold-and-true.png").read_bytes().startswith(b"\x89PNG")
    assert len(pictures((tmp_path / "versicolor-petal/report.html").read_bytes())) == 5


def test_the_command_shows_digits_as_they_were_read(mnist_dir: Path, tmp_path: Path) -> None:
    asked = ["report", "mnist-deep", "--out", str(tmp_path), "--data-dir", str(mnist_dir)]
    assert command_line.main(asked) == 0
    for name in ("predictions.png", "worst-mistakes.png"):
        assert width(tmp_path / "mnist-deep" / name) > 400


def test_a_recipe_without_a_bundle_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["report", "xor", "--models-dir", str(tmp_path)]) == 1
    assert "`python -m training train xor` makes one" in capsys.readouterr().err


def test_a_bundle_of_other_data_is_not_reported_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.bundles.restore.open_dataset", lambda _name, _folder: open_dataset("or", tmp_path))
    assert command_line.main(["report", "xor", "--out", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_judgement_counts_what_the_manifest_says(tmp_path: Path) -> None:
    for name in ("iris", "breast-cancer", "versicolor-sepal"):
        bundle, contents = newest(name, MODELS)
        _, trained, _ = reopen(bundle, contents, tmp_path)
        judgement = Judgement.of(trained.network, trained.judged_on)
        confusion = judgement.confusion()
        assert np.trace(confusion) / confusion.sum() == pytest.approx(bundle.metrics["accuracy"], abs=1e-6)
        wrong = judgement.mistakes(most=1000)
        assert len(wrong) == confusion.sum() - np.trace(confusion)
        assert [mistake.probability for mistake in wrong] == sorted((m.probability for m in wrong), reverse=True)
        assert all(mistake.truth != mistake.answer for mistake in wrong)


def test_what_a_data_set_calls_things_is_text_and_not_markup(tmp_path: Path) -> None:
    """Names come from data sets, and a summary from whoever wrote the recipe."""
    bundle, contents = newest("xor", MODELS)
    recipe, trained, dataset = reopen(bundle, contents, tmp_path)
    named = dataclasses.replace(dataset, labels=("<b>no</b>", "yes & <i>"))  # type: ignore[type-var]
    report = Report("1", msgspec.structs.replace(recipe, summary="<script>alert(1)</script>"), trained, named)
    page = report.html(report.sections())
    assert b"<script" not in page
    assert b"&lt;b&gt;no&lt;/b&gt;" in page
    assert b"<i>" not in page


def test_calibration_is_the_mean_distance_of_confidence_and_accuracy() -> None:
    """Half of the rows 0.8 sure and right 3 times in 4, half 0.6 sure and right 7 times in 8; shuffled."""
    sure = np.repeat([0.8, 0.6], 600)
    wrong = np.concatenate([np.arange(600) % 4 == 0, np.arange(600) % 8 == 0])
    order = np.random.default_rng(0).permutation(1200)
    answers = np.stack([sure, 1 - sure], axis=1).astype(np.float32)[order]
    calibration = Judgement(answers, wrong.astype(np.int64)[order]).calibration()
    assert calibration is not None
    assert calibration.error == pytest.approx((0.05 + 0.275) / 2, abs=0.01)
    assert list(calibration.confidence) == sorted(calibration.confidence)
    assert Judgement(answers[:50], wrong.astype(np.int64)[:50]).calibration() is None


def test_how_far_off_a_regression_is_has_no_sign() -> None:
    answers = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    targets = np.array([[2.0], [1.0], [5.0], [4.0]], np.float32)
    assert dict(Judgement(answers, targets).errors())["all"] == [2.0]
    assert dict(Judgement(answers, targets).errors())["half"] == [1.0]


@pytest.mark.parametrize(("what", "count"), [("optimisers", 5), ("batches", 3)])
def test_compare_trains_each_way_and_draws_the_curves(
    what: str, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["compare", what, "iris", "--epochs", "3", "--out", str(tmp_path)]
    assert command_line.main(asked) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"\d\.\d{4} +\d\.\d{4} +\d+\.\d ", printed)) == count
    assert width(tmp_path / "iris" / f"{what}.png") > 800


def test_what_is_set_by_hand_cannot_be_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command_line.main(["compare", "optimisers", "versicolor-by-hand", "--out", str(tmp_path)]) == 1
    assert "set by hand" in capsys.readouterr().err


def test_no_epochs_can_be_asked_for_weights_that_are_set_by_hand(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command_line.main(["train", "xor-by-hand", "--epochs", "3", "--models-dir", str(tmp_path)]) == 1
    assert "set by hand" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_one_recipe_that_fails_keeps_no_other_from_its_turn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shutil.copytree(MODELS / "xor", tmp_path / "models/xor")
    asked = ["report", "or-by-hand", "xor", "--models-dir", str(tmp_path / "models"), "--out", str(tmp_path)]
    assert command_line.main(asked) == 1
    errors = capsys.readouterr().err
    assert "no bundle of or-by-hand in" in errors
    assert "1 of 2 recipes failed: or-by-hand" in errors
    assert (tmp_path / "xor/report.html").exists()


@pytest.mark.parametrize("damage", ["no curve", "another recipe"])
def test_a_bundle_that_cannot_be_reopened_says_why(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(MODELS / "xor/2", tmp_path / "models/xor/2"))
    manifest = json.loads((folder / "manifest.json").read_text())
    if damage == "no curve":
        del manifest["files"]["curve.json"]
    else:
        manifest["recipe"]["activation"] = "gelu"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    asked = ["report", "xor", "--models-dir", str(tmp_path / "models"), "--out", str(tmp_path)]
    assert command_line.main(asked) == 1
    said = {"no curve": "xor/2 holds no curve.json: train xor again", "another recipe": "its recipe cannot be read"}
    assert said[damage] in capsys.readouterr().err


class TrainOnly:
    """A data set that must not be asked for what it holds out."""

    name, source, licence, labels = "lines", "here", "free", ("0", "1")

    def train(self, seed: int) -> Split:
        return Split(torch.arange(120.0).unsqueeze(1), torch.arange(120) % 2)

    def held_out(self, seed: int) -> Split:
        raise AssertionError("the held-out rows were asked for")

    def features(self, train: Split) -> tuple[Feature, ...]:
        return (Feature("x", 0, 119),)

    def targets(self, train: Split) -> tuple[Feature, ...]:
        return ()


def test_compare_judges_on_rows_of_the_training_data_that_were_not_learned_from() -> None:
    learned, judged = Shortened(TrainOnly(), rows=90).split(seed=0)
    assert (len(learned.targets), len(judged.targets)) == (75, 15)
    assert not set(learned.inputs.flatten().tolist()) & set(judged.inputs.flatten().tolist())
    recipe = msgspec.structs.replace(RECIPES["hours-pass"], scaling="standardised")
    for run in compare("optimisers", recipe, TrainOnly(), rows=90, epochs=1, progress=Progress.silent()):
        assert run.reached * 15 == pytest.approx(round(run.reached * 15), abs=1e-3)  # a share of fifteen rows


@pytest.mark.parametrize("recipe", ["iris", "mnist-dropout", "wine"])
def test_every_optimiser_is_compared_once_the_recipes_own_at_its_rate(recipe: str) -> None:
    found = dict(ways("optimisers", RECIPES[recipe], rows=60))
    assert sorted(way.split(",")[0] for way in found) == ["Adagrad", "Adam", "Adamax", "RMSprop", "SGD"]
    assert RECIPES[recipe].descent.optimiser in [descent.optimiser for descent in found.values()]


def test_every_batch_size_is_compared_once() -> None:
    assert list(dict(ways("batches", RECIPES["iris"], rows=12))) == [
        "stochastic, 1 row a step", "whole batch, 12 rows a step"
    ]  # fmt: skip


@pytest.mark.parametrize("recipe", ["xor", "linear-regression"])
def test_too_few_rows_cannot_be_compared_on(recipe: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command_line.main(["compare", "optimisers", recipe, "--out", str(tmp_path)]) == 1
    assert "at least 24 are needed" in capsys.readouterr().err


def test_a_long_learning_curve_is_thinned_from_its_first_point_to_its_last() -> None:
    curve = thinned([Point(epoch, epoch / 100, 1 / epoch, None) for epoch in range(1, 5001)])
    assert len(curve) == 100
    assert (curve[0].epoch, curve[-1].epoch) == (1, 5000)
    steps = {round(b.epoch - a.epoch) for a, b in itertools.pairwise(curve)}
    assert steps <= {50, 51}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_a_bundles_learning_curve_goes_to_the_last_epoch(recipe: Recipe) -> None:
    curve = curve_of(newest(recipe.name, MODELS)[1])
    assert [point.epoch for point in curve][-1:] == ([recipe.fit.epochs] if isinstance(recipe.fit, Descent) else [])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_a_golden_example_leaves_no_room_for_another_network(folder: Path) -> None:
    """An output may be off by a thousandth of what it ranges over in training at most."""
    bundle, contents = load_bundle(folder)
    tolerances = read_golden(bundle, contents)[2]
    assert list(tolerances) == [output.name for output in bundle.signature.outputs]
    spread = [target.maximum - target.minimum for target in bundle.targets] or [1.0]
    for tolerance in tolerances.values():
        assert (tolerance / np.array(spread) < 1e-3).all()
