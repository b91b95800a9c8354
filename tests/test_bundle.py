"""Damage to a bundle, and what the start says of it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import MODELS
from running_service import failed_start

from service.bundle.manifest import load_bundle
from service.errors import BundleError
from service.images.normaliser import is_normalised
from service.inference.repository import Model, find_bundles
from service.settings import Settings

Damage = Callable[[Path], object]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the Iris bundle, to be damaged."""
    return Path(shutil.copytree(MODELS / "iris/3", tmp_path / "models/iris/3"))


def edit_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def edit_golden(folder: Path, edit: Callable[[dict[str, dict[str, list[list[float]]]]], None]) -> None:
    golden = json.loads((folder / "golden.json").read_text())
    edit(golden)
    (folder / "golden.json").write_text(json.dumps(golden))
    files = json.loads((folder / "manifest.json").read_text())["files"]
    checksum = hashlib.sha256((folder / "golden.json").read_bytes()).hexdigest()
    edit_manifest(folder, files=files | {"golden.json": checksum})


def edit_distribution(folder: Path, **changes: object) -> None:
    first, *rest = json.loads((folder / "manifest.json").read_text())["distributions"]
    edit_manifest(folder, distributions=[first | changes, *rest])


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (folder / "model.onnx").write_bytes(content)


def swap_the_networks(folder: Path) -> None:
    """Another network with a checksum to match: only its signature gives it away."""
    shutil.copy(MODELS / "mnist-deep/4/model.onnx", folder / "model.onnx")
    files = json.loads((folder / "manifest.json").read_text())["files"]
    checksum = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    edit_manifest(folder, files=files | {"model.onnx": checksum})


def other_answer(golden: dict[str, dict[str, list[list[float]]]]) -> None:
    golden["outputs"]["probabilities"][2][1] += 0.01


def fewer_answers(golden: dict[str, dict[str, list[list[float]]]]) -> None:
    golden["outputs"]["probabilities"].pop()


def ragged(golden: dict[str, dict[str, list[list[float]]]]) -> None:
    golden["inputs"]["features"][0].pop()


def make_a_regression(folder: Path) -> None:
    signature = json.loads((folder / "manifest.json").read_text())["signature"]
    signature["outputs"][0]["name"] = "values"
    edit_manifest(folder, task="regression", labels=[], signature=signature)


def name_targets(folder: Path) -> None:
    edit_manifest(folder, targets=[{"name": "y", "minimum": 0, "maximum": 1}])


def no_inputs(folder: Path) -> None:
    signature = json.loads((folder / "manifest.json").read_text())["signature"]
    edit_manifest(folder, normaliser="ink-2", signature=signature | {"inputs": []})


DAMAGES: list[tuple[str, Damage, str]] = [
    ("a byte flipped", flip_a_byte, "model.onnx: damaged: SHA-256 is"),
    ("a file missing", lambda folder: (folder / "model.pt").unlink(), "model.pt: No such file"),
    ("no manifest", lambda folder: (folder / "manifest.json").unlink(), "manifest.json: No such file"),
    ("not JSON", lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json: Input data"),
    ("a later format", lambda f: edit_manifest(f, format=4), "manifest.json: format 4, this service reads format 3"),
    ("a field that nobody knows", lambda folder: edit_manifest(folder, colour=1), "unknown field `colour`"),
    ("a field of the wrong type", lambda folder: edit_manifest(folder, labels="abc"), "Expected `array`, got `str`"),
    ("another name", lambda folder: edit_manifest(folder, name="lily"), "it is lily/3, in this folder"),
    ("another version", lambda folder: edit_manifest(folder, version="1"), "it is iris/1, in this folder"),
    ("a label too few", lambda folder: edit_manifest(folder, labels=["a", "b"]), "multiclass with 2 labels"),
    ("no features", lambda folder: edit_manifest(folder, features=[]), "with 0 features"),
    ("a task that it is not", lambda folder: edit_manifest(folder, task="binary"), "binary with 3 labels"),
    ("a regression without targets", make_a_regression, "regression with 0 labels and 0 targets does not fit"),
    ("targets of a classifier", name_targets, "multiclass with 3 labels and 1 targets does not fit"),
    ("a file elsewhere", lambda folder: edit_manifest(folder, files={"../x": ""}), "files must name model.onnx"),
    ("no inputs, and a normaliser", no_inputs, "the signature must have one input"),
    ("a normaliser for vectors", lambda f: edit_manifest(f, normaliser="ink-2"), "a model of vectors has none"),
    ("no distributions", lambda f: edit_manifest(f, distributions=[]), "distributions of : expected sepal length (cm)"),
    ("too few shares", lambda f: edit_distribution(f, shares=[1.0]), "distribution of sepal length (cm): edges"),
    ("edges that fall", lambda f: edit_distribution(f, edges=[2, 1], shares=[0.5, 0.5, 0]), "edges must rise"),
    ("shares of other rows", lambda f: edit_distribution(f, edges=[1], shares=[0.5, 0.4]), "be 1 together"),
    ("a share over 1", lambda f: edit_distribution(f, edges=[], shares=[2]), "Expected `float` <= 1"),
    ("a share too few", lambda f: edit_manifest(f, label_shares=[0.5, 0.5]), "label_shares must be of all"),
    ("a threshold over 1", lambda f: edit_manifest(f, abstention={"probability": 2}), "Expected `float` <= 1"),
    (
        "a threshold for a background that it has not",
        lambda f: edit_manifest(f, abstention={"probability": 0.5, "background": 0.5}),
        "Abstention(probability=0.5, background=0.5) does not fit the outputs ()",
    ),
    ("two labels alike", lambda folder: edit_manifest(folder, labels=["a", "a", "b"]), "two labels are the same"),
    ("another network", swap_the_networks, "model.onnx: its inputs are"),
    ("a golden example off", lambda f: edit_golden(f, other_answer), "golden.json: example 2: probabilities[1]"),
    ("a golden example short", lambda f: edit_golden(f, fewer_answers), "golden.json: 2 outputs for 3 inputs"),
    ("a golden example ragged", lambda folder: edit_golden(folder, ragged), "golden.json: setting an array element"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "words"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_a_damaged_bundle_does_not_open_and_says_which_file_and_why(bundle: Path, damage: Damage, words: str) -> None:
    Model.open(bundle, Settings(device="cpu"))
    damage(bundle)
    with pytest.raises(BundleError) as refused:
        Model.open(bundle, Settings(device="cpu"))
    assert str(bundle) in str(refused.value)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_byte, "iris/3/model.onnx: damaged: SHA-256 is"),
        (lambda folder: edit_golden(folder, other_answer), "iris/3/golden.json: example 2: probabilities[1]"),
    ],
    ids=["checksum", "golden example"],
)
def test_a_damaged_bundle_stops_the_start_without_a_traceback(bundle: Path, damage: Damage, words: str) -> None:
    damage(bundle)
    failed = failed_start(models_dir=str(bundle.parent.parent), workers="2")
    assert failed.returncode == 2
    (message,) = failed.stderr.splitlines()
    assert message.startswith("digitalis: ")
    assert words in message


@pytest.mark.parametrize("normaliser", [None, "ink-1", "ink-99"])
def test_a_network_for_another_ink_normaliser_does_not_open(tmp_path: Path, normaliser: str | None) -> None:
    folder = max((MODELS / "mnist").iterdir())
    copy = Path(shutil.copytree(folder, tmp_path / "mnist" / folder.name))
    Model.open(copy, Settings(device="cpu"))
    edit_manifest(copy, normaliser=normaliser)
    with pytest.raises(BundleError, match=f"ink normaliser {normaliser!r}: this service has 'ink-2'; export the"):
        Model.open(copy, Settings(device="cpu"))


def test_torchscript_answers_the_golden_examples_too(bundle: Path) -> None:
    edit_golden(bundle, other_answer)
    with pytest.raises(BundleError, match="on TorchScript"):
        Model.open(bundle, Settings(device="cpu", runtime="torchscript"))


def test_every_bundle_of_the_project_loads() -> None:
    for folder in find_bundles(MODELS):
        bundle, _ = load_bundle(folder)
        assert (folder.parent.name, folder.name) == (bundle.name, bundle.version)


def test_image_bundles_have_pictures_as_the_ink_normaliser_makes_them_among_their_golden_examples() -> None:
    found = [load_bundle(folder) for folder in find_bundles(MODELS)]
    images = [contents for bundle, contents in found if bundle.takes_images]
    assert images
    for contents in images:
        golden = np.array(json.loads(contents["golden.json"])["inputs"]["image"], np.uint8)
        assert [is_normalised(image) for image in golden] == [True, True, True, False, False]


def test_a_stray_among_the_versions_is_refused(bundle: Path) -> None:
    (bundle.parent / "old").mkdir()
    with pytest.raises(BundleError, match="old: not a version folder"):
        find_bundles(bundle.parent.parent)


def test_hidden_folders_are_passed_over(bundle: Path) -> None:
    (bundle.parent / ".cache").mkdir()
    assert find_bundles(bundle.parent.parent) == [bundle]


@pytest.mark.parametrize("folder_name", ["empty", "missing"])
def test_no_bundle_at_all_stops_the_start_and_names_the_folder(tmp_path: Path, folder_name: str) -> None:
    (tmp_path / "empty").mkdir()
    folder = tmp_path / folder_name
    failed = failed_start(models_dir=str(folder))
    assert failed.returncode == 2
    assert str(folder) in failed.stderr
    assert "DIGITALIS_MODELS_DIR" in failed.stderr
