"""Loading of bundles, and the error messages for damaged ones."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import IRIS, IRIS_VERSION, MODELS, newest
from model_folder import edit_manifest, flip_byte
from running_service import failed_start

from service.app import create_app
from service.bundle.loading import load_bundle
from service.bundle.manifest import FORMAT, ModelId
from service.errors import BundleError, ModelUnavailable
from service.images.normaliser import NORMALISER, is_normalised
from service.inference.model import Model
from service.inference.version_folders import find_bundles
from service.settings import Settings

Damage = Callable[[Path], object]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the Iris bundle, to be damaged."""
    return Path(shutil.copytree(IRIS, tmp_path / "models/iris" / IRIS_VERSION))


def edit_golden(folder: Path, edit: Callable[[dict[str, dict[str, list[list[float]]]]], None]) -> None:
    golden = json.loads((folder / "golden.json").read_text())
    edit(golden)
    (folder / "golden.json").write_text(json.dumps(golden))
    files = json.loads((folder / "manifest.json").read_text())["files"]
    checksum = hashlib.sha256((folder / "golden.json").read_bytes()).hexdigest()
    edit_manifest(folder, files=files | {"golden.json": checksum})


def edit_histogram(folder: Path, **changes: object) -> None:
    first, *rest = json.loads((folder / "manifest.json").read_text())["baseline"]
    edit_manifest(folder, baseline=[first | changes, *rest])


def replace_network(folder: Path) -> None:
    """Another network, with the right checksum but another signature."""
    shutil.copy(newest("mnist-deep") / "model.onnx", folder / "model.onnx")
    files = json.loads((folder / "manifest.json").read_text())["files"]
    checksum = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    edit_manifest(folder, files=files | {"model.onnx": checksum})


def change_output(golden: dict[str, dict[str, list[list[float]]]]) -> None:
    golden["outputs"]["probabilities"][2][1] += 0.01


def remove_output(golden: dict[str, dict[str, list[list[float]]]]) -> None:
    golden["outputs"]["probabilities"].pop()


def make_inputs_ragged(golden: dict[str, dict[str, list[list[float]]]]) -> None:
    golden["inputs"]["features"][0].pop()


def make_a_regression(folder: Path) -> None:
    signature = json.loads((folder / "manifest.json").read_text())["signature"]
    signature["outputs"][0]["name"] = "values"
    edit_manifest(folder, task="regression", labels=[], signature=signature)


def add_target(folder: Path) -> None:
    edit_manifest(folder, targets=[{"name": "y", "minimum": 0, "maximum": 1}])


def remove_inputs(folder: Path) -> None:
    signature = json.loads((folder / "manifest.json").read_text())["signature"]
    edit_manifest(folder, normaliser=NORMALISER, signature=signature | {"inputs": []})


DAMAGES: list[tuple[str, Damage, str]] = [
    ("a flipped byte", flip_byte, "model.onnx: damaged: SHA-256 is"),
    ("a missing file", lambda folder: (folder / "model.pt").unlink(), "model.pt: No such file"),
    ("no manifest", lambda folder: (folder / "manifest.json").unlink(), "manifest.json: No such file"),
    ("not JSON", lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json: Input data"),
    (
        "a later format",
        lambda folder: edit_manifest(folder, format=FORMAT + 1),
        f"manifest.json: format {FORMAT + 1}, this service reads format {FORMAT}",
    ),
    ("an unknown field", lambda folder: edit_manifest(folder, colour=1), "unknown field `colour`"),
    ("a field of the wrong type", lambda folder: edit_manifest(folder, labels="abc"), "Expected `array`, got `str`"),
    ("another name", lambda folder: edit_manifest(folder, name="lily"), "it is lily/{version}, but its folder is iris"),
    ("another version", lambda folder: edit_manifest(folder, version="99"), "it is iris/99, but its folder is iris/"),
    ("a missing label", lambda folder: edit_manifest(folder, labels=["a", "b"]), "multiclass with 2 labels"),
    ("no features", lambda folder: edit_manifest(folder, features=[]), "does not fit 0 features"),
    ("another task", lambda folder: edit_manifest(folder, task="binary"), "binary with 3 labels"),
    ("a regression without targets", make_a_regression, "regression with 0 labels and 0 targets does not fit"),
    ("targets of a classifier", add_target, "multiclass with 3 labels and 1 targets does not fit"),
    ("a path with ..", lambda folder: edit_manifest(folder, files={"../x": ""}), "files must include golden.json"),
    ("a normaliser but no inputs", remove_inputs, "the signature must have one input"),
    (
        "a normaliser for vectors",
        lambda folder: edit_manifest(folder, normaliser=NORMALISER),
        "only a model of digits has one",
    ),
    ("no baseline", lambda f: edit_manifest(f, baseline=[]), "baseline of : expected sepal length (cm)"),
    ("a missing fraction", lambda f: edit_histogram(f, fractions=[1.0]), "baseline of sepal length (cm): edges"),
    ("decreasing edges", lambda f: edit_histogram(f, edges=[2, 1], fractions=[0.5, 0.5, 0]), "edges must increase"),
    ("a sum of 0.9", lambda f: edit_histogram(f, edges=[1], fractions=[0.5, 0.4]), "of all bins add up to 1"),
    ("a fraction over 1", lambda f: edit_histogram(f, edges=[], fractions=[2]), "Expected `float` <= 1"),
    ("a missing label fraction", lambda f: edit_manifest(f, label_fractions=[0.5, 0.5]), "label_fractions must be one"),
    ("a threshold over 1", lambda f: edit_manifest(f, abstention={"min_probability": 2}), "Expected `float` <= 1"),
    (
        "a threshold for an output that the network does not have",
        lambda f: edit_manifest(f, abstention={"min_probability": 0.5, "max_background": 0.5}),
        "Abstention(min_probability=0.5, max_background=0.5) does not fit the outputs ()",
    ),
    ("two equal labels", lambda folder: edit_manifest(folder, labels=["a", "a", "b"]), "two labels are the same"),
    ("another network", replace_network, "model.onnx: its inputs are"),
    ("another golden output", lambda f: edit_golden(f, change_output), "golden.json: example 2: probabilities[1]"),
    ("a missing golden output", lambda f: edit_golden(f, remove_output), "golden.json: probabilities has shape [3, 3]"),
    ("ragged golden inputs", lambda f: edit_golden(f, make_inputs_ragged), "golden.json: setting an array element"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in DAMAGES], ids=[case[0] for case in DAMAGES])
def test_a_damaged_bundle_is_an_error_that_names_the_folder_and_the_reason(
    bundle: Path, damage: Damage, message: str
) -> None:
    Model.open(bundle, Settings(device="cpu"))
    damage(bundle)
    with pytest.raises(BundleError) as error:
        Model.open(bundle, Settings(device="cpu"))
    assert str(bundle) in str(error.value)
    assert message.format(version=IRIS_VERSION) in str(error.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_byte, "iris/{version}/model.onnx: damaged: SHA-256 is"),
        (lambda folder: edit_golden(folder, change_output), "iris/{version}/golden.json: example 2: probabilities[1]"),
    ],
    ids=["checksum", "golden example"],
)
def test_a_model_without_a_version_that_opens_stops_the_start_with_one_line_and_no_traceback(
    bundle: Path, damage: Damage, message: str
) -> None:
    damage(bundle)
    failed = failed_start(models_dir=str(bundle.parent.parent), workers="2")
    assert failed.returncode == 2
    _starting, line = failed.stderr.splitlines()
    assert line.startswith("digitalis: no bundle can be opened: ")
    assert message.format(version=IRIS_VERSION) in line


@pytest.mark.parametrize("normaliser", [None, "ink-1", "ink-99"])
def test_a_network_for_another_version_of_the_normaliser_is_an_error(tmp_path: Path, normaliser: str | None) -> None:
    folder = newest("mnist")
    copy = Path(shutil.copytree(folder, tmp_path / "mnist" / folder.name))
    Model.open(copy, Settings(device="cpu"))
    edit_manifest(copy, normaliser=normaliser)
    with pytest.raises(BundleError, match=f"normaliser {normaliser!r}: this service has {NORMALISER!r}; export the"):
        Model.open(copy, Settings(device="cpu"))


def test_the_golden_examples_are_checked_on_torchscript_too(bundle: Path) -> None:
    edit_golden(bundle, change_output)
    with pytest.raises(BundleError, match="on TorchScript"):
        Model.open(bundle, Settings(device="cpu", runtime="torchscript"))


def test_every_bundle_of_the_repository_loads() -> None:
    folders = find_bundles(MODELS)
    assert {folder.parent for folder in folders} == set(MODELS.iterdir())
    for folder in folders:
        bundle, _ = load_bundle(folder)
        assert (folder.parent.name, folder.name) == (bundle.name, bundle.version)


def test_the_golden_examples_of_image_bundles_are_three_normalised_images_and_two_others() -> None:
    loaded = [load_bundle(folder) for folder in find_bundles(MODELS)]
    image_bundles = [contents for bundle, contents in loaded if bundle.takes_images]
    assert image_bundles
    for contents in image_bundles:
        golden = np.array(json.loads(contents["golden.json"])["inputs"]["image"], np.uint8)
        assert [is_normalised(image) for image in golden] == [True, True, True, False, False]


def test_what_is_beside_the_versions_and_is_not_a_version_is_logged_and_skipped(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (bundle.parent / "tmp").mkdir()
    (bundle.parent / "0").mkdir()
    for name in ("notes.txt", "17"):
        (bundle.parent / name).write_text("not a folder")
    (bundle.parent.parent / "README.md").write_text("beside the models")
    assert find_bundles(bundle.parent.parent) == [bundle]
    skipped = [record.getMessage().split(": ")[1] for record in caplog.records]
    assert skipped == [str(bundle.parent / name) for name in ("0", "17", "notes.txt", "tmp")]


def test_the_newest_version_that_opens_is_the_default_and_another_is_unavailable(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = Path(shutil.copytree(bundle, bundle.parent / "99"))
    edit_manifest(damaged, version="99")
    flip_byte(damaged)
    models = create_app(Settings(device="cpu"), find_bundles(bundle.parent.parent)).models
    models.check_every_model_opens()
    assert models.find("iris").id == ("iris", IRIS_VERSION)
    assert models.versions("iris") == [IRIS_VERSION]
    reason = models.unavailable[ModelId("iris", "99")]
    assert reason.startswith("iris/99/model.onnx: damaged: SHA-256 is ")
    with pytest.raises(ModelUnavailable, match=r"iris/99 cannot be opened: iris/99/model\.onnx: damaged"):
        models.find("iris", "99")
    (record,) = caplog.records
    assert record.getMessage().startswith(f"iris/99 is not served: {damaged}/model.onnx: damaged")
    assert not record.exc_info


def test_an_unexpected_exception_makes_one_bundle_unavailable_and_is_logged_with_its_traceback(
    bundle: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = Model.open

    def fail_for_iris(folder: Path, settings: Settings) -> Model:
        if folder == bundle:
            raise RecursionError("too deep")
        return real_open(folder, settings)

    monkeypatch.setattr(Model, "open", fail_for_iris)
    models = create_app(Settings(device="cpu"), [bundle, newest("wine")]).models
    assert models.names() == ["wine"]
    assert models.unavailable == {ModelId("iris", IRIS_VERSION): "an unexpected error, which the log has"}
    (record,) = caplog.records
    assert record.exc_info
    with pytest.raises(ModelUnavailable, match="cannot be opened: an unexpected error, which the log"):
        models.versions("iris")
    with pytest.raises(BundleError, match="no version of iris can be opened: too deep"):
        models.check_every_model_opens()


def test_a_repository_of_which_nothing_opens_is_an_error(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    with pytest.raises(BundleError, match=f"no bundle can be opened: iris/{IRIS_VERSION}/manifest.json: No such file"):
        create_app(Settings(device="cpu"), [bundle])


def test_hidden_folders_are_ignored(bundle: Path) -> None:
    (bundle.parent / ".cache").mkdir()
    assert find_bundles(bundle.parent.parent) == [bundle]


@pytest.mark.parametrize("folder_name", ["empty", "missing", "file", "n" * 300])
def test_without_any_bundle_the_start_fails_and_the_error_names_the_folder_and_the_setting(
    tmp_path: Path, folder_name: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    folder = tmp_path / folder_name
    failed = failed_start(models_dir=str(folder))
    assert failed.returncode == 2
    line = failed.stderr.splitlines()[-1]
    assert line.startswith(f"digitalis: {folder}: ")
    assert "DIGITALIS_MODELS_DIR names" in line


def served(models_dir: Path, **settings: Any) -> dict[str, str]:
    """What is served of a folder: names and versions, with the label of a setosa."""
    app = create_app(Settings(device="cpu", models_dir=models_dir, **settings))
    setosa = {"features": np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)}
    return {str(model.id): model.bundle.labels[model.predict(setosa)["probabilities"].argmax()] for model in app.models}


def test_a_single_bundle_may_be_the_folder_of_the_models_as_kserve_mounts_it(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(IRIS, tmp_path / "mnt/models"))
    assert served(folder) == {f"iris/{IRIS_VERSION}": "setosa"}
    assert served(folder, model_name="flowers") == {f"flowers/{IRIS_VERSION}": "setosa"}
    (folder / "serving.toml").write_text(f"version = {IRIS_VERSION}\n")
    assert served(folder) == {f"iris/{IRIS_VERSION}": "setosa"}
    flip_byte(folder)
    with pytest.raises(BundleError, match=r"^no bundle can be opened: model\.onnx: damaged"):
        served(folder)


def test_the_folder_of_the_models_may_have_the_versions_of_one(tmp_path: Path) -> None:
    shutil.copytree(IRIS, tmp_path / "models" / IRIS_VERSION)
    other = Path(shutil.copytree(IRIS, tmp_path / "models/99"))
    edit_manifest(other, version="99")
    assert served(tmp_path / "models") == {"iris/99": "setosa", f"iris/{IRIS_VERSION}": "setosa"}
    (tmp_path / "models/serving.toml").write_text(f"version = {IRIS_VERSION}\n")
    app = create_app(Settings(device="cpu", models_dir=tmp_path / "models", model_name="flowers"))
    assert str(app.models.find("flowers").id) == f"flowers/{IRIS_VERSION}"
