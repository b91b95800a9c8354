"""Pictures of one's own: a folder of them becomes a model, which reads uploads as it reads their arrays."""

import io
import json
import random
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from in_process import Response, post
from PIL import Image, ImageDraw, ImageFont
from running_service import ROOT

from service.app import create_app
from service.bundle.loading import load_bundle
from service.bundle.manifest import Preprocess
from service.http.routing import DigitalisApp
from service.images.fitting import fit
from service.inference.version_folders import find_bundles
from service.settings import Settings
from training.__main__ import main
from training.datasets.dataset import Split
from training.errors import DataUnavailable
from training.pictures.picture_dataset import PictureDataset, read_images
from training.pictures.proposal import propose_pictures
from training.recipes.pictures import Pictures
from training.recipes.recipe_file import read_recipe, write_recipe

BAD_FOLDERS = json.loads((ROOT / "tests/corpus/bad_folders.json").read_text())
FONT = Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
FIT = Preprocess("fit")


def letter(text: str, generator: random.Random, colour: tuple[int, int, int] | None = None) -> Image.Image:
    """A letter in a picture of its own size: dark on light, or in a colour."""
    width, height = generator.randint(30, 90), generator.randint(30, 90)
    paper = (generator.randint(190, 255),) * 3
    ink = colour or (generator.randint(0, 80),) * 3
    picture = Image.new("RGB", (width, height), paper)
    font = ImageFont.truetype(str(FONT), int(0.8 * min(width, height)))
    ImageDraw.Draw(picture).text((width / 2, height / 2), text, ink, font, anchor="mm")
    return picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred letters of four kinds, in a folder for each."""
    folder = tmp_path_factory.mktemp("pictures") / "letters"
    generator = random.Random(0)
    for text in "ABCD":
        (folder / text).mkdir(parents=True)
        for i in range(25):
            letter(text, generator).save(folder / text / f"{i}.{'jpg' if i % 5 == 0 else 'png'}")
    (folder / "A/notes.txt").write_text("drawn by a test")
    return folder


@pytest.fixture(scope="module")
def models(folder: Path) -> Path:
    models = folder.parent / "models"
    assert main(["train", str(folder), "--models", str(models)]) == 0
    return models


@pytest.fixture(scope="module", params=["onnx", "torchscript"])
def app(request: pytest.FixtureRequest, models: Path) -> DigitalisApp:
    return served(models, request.param)


def served(models: Path, runtime: str = "onnx") -> DigitalisApp:
    settings = Settings(device="cpu", workers=1, intra_op_threads=1, log_requests="none", runtime=runtime)
    return create_app(settings, find_bundles(models))


def upload(app: DigitalisApp, name: str, file: bytes, query: str = "") -> Response:
    return post(app, f"/v1/models/{name}:predict{query}", file, {"Content-Type": "image/png"})


def ask(app: DigitalisApp, name: str, instances: Any) -> Response:
    body = json.dumps({"instances": instances}).encode()
    return post(app, f"/v1/models/{name}:predict", body, {"Content-Type": "application/json"})


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


# The model.


def test_uploads_are_read_exactly_as_their_arrays_are(app: DigitalisApp, folder: Path) -> None:
    """Training, arrays and uploads: one code makes the images of all."""
    files = sorted(folder.glob("*/*.*g"))
    images = read_images(files, Pictures(path=str(folder), labels=("A", "B", "C", "D")))
    by_array = ask(app, "letters", images.tolist()).json()["predictions"]
    by_upload = [upload(app, "letters", file.read_bytes()).json()["predictions"][0] for file in files]
    for one, other in zip(by_array, by_upload, strict=True):
        assert one["label"] == other["label"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
    right = sum(one["label"] == file.parent.name for one, file in zip(by_upload, files, strict=True))
    assert right >= 90


def test_the_manifest_says_how_pictures_are_preprocessed(models: Path) -> None:
    bundle, _ = load_bundle(models / "letters/1")
    assert (bundle.preprocess, bundle.normaliser, bundle.image_shape) == (FIT, None, (28, 28))
    assert [one.name for one in bundle.baseline] == ["brightness", "contrast", "confidence"]
    assert bundle.recipe["pictures"]["labels"] == ["A", "B", "C", "D"]


def test_the_image_that_the_network_got_can_be_seen(app: DigitalisApp) -> None:
    response = upload(app, "letters", png(letter("A", random.Random(1))), "?debug=ink")
    ink = response.json()["predictions"][0]["ink"]
    assert ink["png"].startswith("data:image/png;base64,")
    assert not ink["untouched"]


def test_an_array_of_another_size_is_named(app: DigitalisApp) -> None:
    error = ask(app, "letters", [np.zeros((20, 28), int).tolist()]).json()["error"]
    assert error == "instances[0]: 20 rows of [28] numbers, expected 28 rows of 28"


def test_files_that_are_no_pictures_are_left_out_and_named(folder: Path) -> None:
    assert any(
        "left out, as no pictures by their names: 1," in note for note in propose_pictures(folder, FIT, 28).notes
    )


def test_the_recipe_of_pictures_can_be_written_changed_and_trained(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(folder), "--side", "16"]) == 0
    text = capsys.readouterr().out
    assert 'preprocess = { method = "fit" }' in text
    path = tmp_path / "letters.toml"
    path.write_text(text.replace("epochs = 200", "epochs = 3").replace("patience = 20", "patience = 0"))
    read_recipe(path)
    assert main(["train", str(path), "--models", str(tmp_path / "models")]) in (0, 1)
    assert write_recipe(propose_pictures(folder, FIT, 16)) == text


def test_a_mistake_in_the_recipe_of_pictures_is_named_with_its_line(folder: Path, tmp_path: Path) -> None:
    text = write_recipe(propose_pictures(folder, FIT, 28)).replace('method = "fit"', 'method = "fitted"')
    (tmp_path / "letters.toml").write_text(text)
    with pytest.raises(Exception, match=r"line \d+ \(pictures.preprocess.method\): invalid enum value 'fitted'"):
        read_recipe(tmp_path / "letters.toml")


def test_two_classes_in_colour_are_told_apart_by_colour_alone(tmp_path: Path) -> None:
    generator = random.Random(0)
    for name, colour in (("red", (200, 30, 30)), ("green", (30, 150, 30))):
        (tmp_path / "apples" / name).mkdir(parents=True)
        for i in range(20):
            letter("O", generator, colour).save(tmp_path / "apples" / name / f"{i}.png")
    options = ["--colour", "--side", "32", "--models", str(tmp_path / "models")]
    assert main(["train", str(tmp_path / "apples"), *options]) == 0
    bundle, _ = load_bundle(tmp_path / "models/apples/1")
    assert (bundle.task, bundle.image_shape) == ("binary", (32, 32, 3))
    app = served(tmp_path / "models")
    for name, colour in (("red", (200, 30, 30)), ("green", (30, 150, 30))):
        response = upload(app, "apples", png(letter("O", generator, colour)))
        assert response.json()["predictions"][0]["label"] == name
    response = ask(app, "apples", [np.zeros((32, 32, 2), int).tolist()])
    assert (
        response.json()["error"] == "instances[0]: 32 rows of [32] pixels, expected 32 rows of 32 pixels of 3 numbers"
    )


def test_pictures_that_must_have_the_size_already_are_refused_in_another(tmp_path: Path) -> None:
    for name, level in (("dark", 40), ("light", 220)):
        (tmp_path / "tiles" / name).mkdir(parents=True)
        for i in range(20):
            Image.new("L", (8, 8), level + i).save(tmp_path / "tiles" / name / f"{i}.png")
    options = ["--preprocess", "none", "--side", "8", "--models", str(tmp_path / "models")]
    assert main(["train", str(tmp_path / "tiles"), *options]) == 0
    app = served(tmp_path / "models")
    assert upload(app, "tiles", png(Image.new("L", (8, 8), 230))).json()["predictions"][0]["label"] == "light"
    response = upload(app, "tiles", png(Image.new("L", (9, 8), 230)))
    assert (response.status, response.json()["error"]) == (422, "the body: 9x8 pixels, expected 8x8")


# Fitting.


def test_a_picture_is_fitted_with_its_proportions_on_the_colour_of_its_border() -> None:
    picture = np.full((20, 40), 200, np.uint8)
    picture[5:15, 10:30] = 20
    image = fit(picture, (28, 28), "kept")
    assert image.shape == (28, 28)
    assert (image[:6] == 200).all()
    assert image[14, 14] == 20
    ink = np.argwhere(image < 110)
    height, width = ink.max(axis=0) - ink.min(axis=0) + 1
    assert width / height == pytest.approx(2, abs=0.4)


@pytest.mark.parametrize("ink", ["kept", "dark", "light"])
def test_light_ink_is_made_dark_if_the_network_takes_dark_ink(ink: Any) -> None:
    picture = np.full((28, 28), 30, np.uint8)
    picture[10:18, 10:18] = 240
    image = fit(picture, (28, 28), ink)
    assert (image[0, 0] > image[14, 14]) == (ink == "dark")
    assert np.array_equal(fit(255 - picture, (28, 28), ink), image) == (ink != "kept")


def test_a_picture_of_one_pixel_and_a_very_wide_one_are_fitted() -> None:
    assert fit(np.full((1, 1), 7, np.uint8), (28, 28), "dark").shape == (28, 28)
    assert fit(np.zeros((1, 5000, 3), np.uint8), (16, 32), "kept").shape == (16, 32, 3)


# The data set, and bad folders.


def test_classes_have_their_share_in_each_part(folder: Path) -> None:
    recipe = propose_pictures(folder, FIT, 28).recipe
    assert recipe.pictures
    dataset = PictureDataset(recipe, recipe.pictures)
    train, held_out = dataset.train(0), dataset.held_out(0)
    assert (len(train.targets), len(held_out.targets)) == (80, 20)
    assert counts(held_out) == [5, 5, 5, 5]


def counts(split: Split) -> list[int]:
    return list(np.bincount(split.targets.numpy()).tolist())


def test_a_damaged_picture_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    pictures = Pictures(path=str(tmp_path), labels=("a", "b"))
    with pytest.raises(DataUnavailable, match=r"1 of 2 pictures cannot be used.*\n.*bad.png: it cannot be read"):
        read_images([next(folder.glob("A/*.png")), tmp_path / "bad.png"], pictures)


@pytest.mark.parametrize("case", BAD_FOLDERS, ids=[case["name"] for case in BAD_FOLDERS])
def test_a_folder_that_cannot_be_used_says_why(
    case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, count in case["folders"].items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("L", (8, 8), 10 * i).save(folder / name / f"{i}.png")
    assert main(["train", str(folder), *case.get("options", []), "--models", str(tmp_path / "models")]) == 1
    assert case["says"] in capsys.readouterr().err
    assert not list((tmp_path / "models").glob("*"))
