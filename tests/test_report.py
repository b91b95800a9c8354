"""The page of a bundle, the command that draws it with data, and the comparisons."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import MODELS
from PIL import Image
from running_service import RunningService

from service.bundle import REPORT, load_bundle
from service.repository import find_bundles
from training import __main__ as command_line
from training.datasets import open_dataset
from training.recipes import RECIPES
from training.reopen import newest, reopen
from training.report.judgement import Judgement

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


@pytest.mark.parametrize("name", ["mnist-deep", "mnist-dropout", "mnist-dropout-slow"])
def test_no_picture_of_a_digit_is_in_a_bundle(name: str) -> None:
    """The network, the curve and the calibration; mistakes are a table."""
    page = newest(name, MODELS)[1][REPORT].decode()
    assert len(pictures(page.encode())) == 3
    assert "Worst mistakes" in page
    assert "Predictions" not in page


@pytest.mark.parametrize("path", ["/v1/models/xor/report", "/v1/models/xor/versions/1/report"])
def test_the_service_shows_the_page(service: RunningService, path: str) -> None:
    answer = service.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.content == (MODELS / "xor/1/report.html").read_bytes()


def test_the_command_writes_the_page_and_its_pictures(tmp_path: Path) -> None:
    assert command_line.main(["report", "versicolor-petal", "diabetes", "--out", str(tmp_path)]) == 0
    found = {path.name for path in (tmp_path / "versicolor-petal").iterdir()}
    assert found == {
        "report.html", "the-network.png", "learning-curve.png", "decision-boundary.png", "calibration.png"
    }  # fmt: skip
    assert (tmp_path / "diabetes/foretold-and-true.png").read_bytes().startswith(b"\x89PNG")
    assert len(pictures((tmp_path / "versicolor-petal/report.html").read_bytes())) == 4


def test_the_command_shows_digits_as_they_were_read(mnist_dir: Path, tmp_path: Path) -> None:
    asked = ["report", "mnist-deep", "--out", str(tmp_path), "--data-dir", str(mnist_dir)]
    assert command_line.main(asked) == 0
    for name in ("predictions.png", "worst-mistakes.png"):
        assert width(tmp_path / "mnist-deep" / name) > 400


def test_a_recipe_without_a_bundle_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["report", "xor", "--models-dir", str(tmp_path)]) == 1
    assert "`python -m training train xor` makes one" in capsys.readouterr().err


def test_a_bundle_of_other_data_is_not_reported_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.reopen.open_dataset", lambda _name, _folder: open_dataset("or", tmp_path))
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


def test_calibration_is_the_distance_of_confidence_and_accuracy() -> None:
    """Always 0.8 sure, right three times in four: off by 0.05; and of fewer rows nothing is said."""
    answers = np.tile(np.array([[0.8, 0.2]], np.float32), (600, 1))
    targets = (np.arange(600) % 4 == 0).astype(np.int64)
    calibration = Judgement(answers, targets).calibration()
    assert calibration is not None
    assert calibration.error == pytest.approx(0.05, abs=1e-6)
    assert Judgement(answers[:50], targets[:50]).calibration() is None


@pytest.mark.parametrize(("what", "ways"), [("optimisers", 5), ("batches", 3)])
def test_compare_trains_each_way_and_draws_the_curves(
    what: str, ways: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["compare", what, "iris", "--epochs", "3", "--out", str(tmp_path)]
    assert command_line.main(asked) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"\d\.\d{4} +\d\.\d{4} +\d+\.\d ", printed)) == ways
    assert width(tmp_path / "iris" / f"{what}.png") > 800


def test_what_is_set_by_hand_cannot_be_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command_line.main(["compare", "optimisers", "and-by-hand", "--out", str(tmp_path)]) == 1
    assert "set by hand" in capsys.readouterr().err


def test_no_epochs_can_be_asked_for_weights_that_are_set_by_hand(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command_line.main(["train", "xor-by-hand", "--epochs", "3", "--models-dir", str(tmp_path)]) == 1
    assert "set by hand" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_every_recipe_has_a_row_in_the_lectures() -> None:
    assert {recipe.lecture.row for recipe in RECIPES.values()} <= set(range(1, 19))
