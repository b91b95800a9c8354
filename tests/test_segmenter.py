"""The segmenter: synthetic pictures, a training run that can be resumed, and the files in the service package."""

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from conftest import newest
from PIL import Image, ImageDraw, ImageFont

from service.bundle.loading import load_bundle, sha256
from service.bundle.manifest import GOLDEN, MANIFEST, ONNX, TORCHSCRIPT, DataSource
from service.errors import BundleError
from service.images.normaliser import normalise_with_report
from service.images.normaliser.mnist_geometry import fit_mnist_geometry
from service.images.normaliser.segmentation import INPUT_SIDES, SIDE_MULTIPLE, Grey, Segmented
from service.inference.segmenter import FOLDER, load_segmenter, open_segmenter
from service.settings import Settings
from training.__main__ import main
from training.bundles.restore import torchscript_weights
from training.errors import BelowThreshold, TrainingError, VerificationFailed
from training.progress import Progress
from training.segmenter import clutter, command
from training.segmenter.capture import blur, jpeg, light, small_original
from training.segmenter.digit_fields import DigitFields
from training.segmenter.distance_fields import DistanceFields, distance_fields, skeletons
from training.segmenter.draws import Draws
from training.segmenter.export import export_segmenter, is_segmenter, verify_segmenter
from training.segmenter.network import MULTIPLE, Segmenter
from training.segmenter.recipe import SEGMENTER, SegmenterRecipe
from training.segmenter.rendering import render
from training.segmenter.scenes import SHAPES, compose
from training.segmenter.training import SegmenterTraining

SOURCE = DataSource(name="print", source="a font", licence="none", checksum="", train_rows=10, held_out_rows=10)
SMALL = msgspec.structs.replace(SEGMENTER, samples=48, batch_size=8, threshold=0.0)


def printed_digit(digit: int) -> np.ndarray[Any, Any]:
    """A digit of Pillow's font, in MNIST's geometry."""
    canvas = Image.new("L", (200, 200))
    ImageDraw.Draw(canvas).text((100, 100), str(digit), 255, ImageFont.load_default(size=120), anchor="mm")
    return fit_mnist_geometry(np.asarray(canvas.crop(canvas.getbbox())))


@pytest.fixture(scope="module")
def digits() -> DistanceFields:
    """The ten digits in print."""
    images = torch.from_numpy(np.stack([printed_digit(digit) for digit in range(10)]))
    return distance_fields(images, Progress.silent())


def draws(count: int, seed: int = 0) -> Draws:
    return Draws(count, torch.Generator().manual_seed(seed))


def test_a_distance_field_is_positive_in_the_ink_and_measures_in_pixels() -> None:
    y, x = np.indices((28, 28)) - 13.5
    disc = torch.from_numpy(np.where(np.hypot(x, y) < 8, 255, 0).astype(np.uint8))
    fields = distance_fields(disc[None], Progress.silent())
    outline, skeleton = fields.fields[0].float() / 16
    assert outline[32, 32].item() == pytest.approx(8, abs=0.6)
    assert outline[32, 8].item() == pytest.approx(-4, abs=0.6)  # twelve pixels left of the middle
    assert skeleton[32, 32] < 1
    assert fields.hulls[0].amax(dim=0).tolist() == pytest.approx([24, 24], abs=0.6)


def test_a_skeleton_is_thin_and_lies_in_the_middle_of_its_stroke() -> None:
    bar = np.zeros((1, 20, 30), np.bool_)
    bar[0, 8:13, 4:26] = True
    (line,) = skeletons(bar)
    assert np.flatnonzero(line.any(axis=1)).tolist() == [10]
    assert np.count_nonzero(line) >= 16


@pytest.mark.parametrize("stretched", [pytest.param(True, id="stretched"), pytest.param(False, id="in proportion")])
def test_a_digit_is_rendered_into_its_box(digits: DistanceFields, *, stretched: bool) -> None:
    room = torch.tensor([[10.0, 6.0, 40.0, 58.0]]).repeat(64, 1)
    found = render(digits, room, torch.full((64,), stretched), (64, 64), draws(64))
    assert (found.boxes - room).abs().median(dim=0).values[[1, 3] if stretched else [0, 2]].max() < 1.5
    errors = []
    for ink, box in zip(found.ink, found.boxes, strict=True):
        rows, columns = (torch.nonzero((ink > 0.3).any(dim=axis))[:, 0] for axis in (1, 0))
        errors.append(torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - box)
    off = torch.stack(errors).abs()
    assert off.median() < 1.5
    assert off.max() < 8, "an elastic distortion moves an edge by a few pixels at most"


def test_the_same_seed_composes_the_same_pictures(digits: DistanceFields) -> None:
    one, same, other = (compose(digits, draws(16, seed)) for seed in (1, 1, 2))
    assert torch.equal(one.pictures, same.pictures)
    assert torch.equal(one.masks, same.masks)
    assert one.pictures.shape != other.pictures.shape or not torch.equal(one.pictures, other.pictures)


def test_pictures_are_of_every_shape_number_and_polarity_and_their_masks_fit(digits: DistanceFields) -> None:
    some = draws(32)
    batches = [compose(digits, some) for _ in range(60)]
    assert {tuple(batch.pictures.shape[1:]) for batch in batches} == set(SHAPES)
    counts = torch.cat([batch.digits for batch in batches])
    assert [(counts == n).float().mean().item() for n in (0, 1, 2)] == pytest.approx([0.15, 0.7, 0.15], abs=0.04)
    for batch in batches:
        assert batch.pictures.shape == batch.masks.shape
        assert 0 <= batch.pictures.min() <= batch.pictures.max() <= 1
        assert 0 <= batch.masks.min() <= batch.masks.max() <= 1
        assert not batch.masks[batch.digits == 0].any()
    inked = torch.cat([batch.masks[batch.digits == 1].flatten(1).amax(1) > 0.2 for batch in batches])
    assert inked.float().mean() > 0.97, "some digits lie off the paper, or are drawn with the faintest pen"


def test_ink_is_lighter_than_what_surrounds_it_where_the_picture_is_inverted(digits: DistanceFields) -> None:
    some, lighter, inverted = draws(64), [], []
    for _ in range(10):
        batch = compose(digits, some)
        one = (batch.digits == 1) & (batch.masks.flatten(1).sum(1) > 60)
        ink = (batch.pictures * batch.masks).sum((1, 2)) / batch.masks.sum((1, 2))
        paper = (batch.pictures * (1 - batch.masks)).sum((1, 2)) / (1 - batch.masks).sum((1, 2))
        lighter.append((ink > paper)[one])
        inverted.append(batch.inverted[one] > 0.5)
    assert (torch.cat(lighter) == torch.cat(inverted)).float().mean() > 0.8


def test_every_kind_of_clutter_is_darkness_of_the_right_shape(digits: DistanceFields) -> None:
    boxes = torch.tensor([[20.0, 10.0, 40.0, 50.0]]).repeat(24, 1)
    for shape in ((64, 40), (48, 64)):
        some = draws(24)
        layers = {
            "lines": clutter.ruled_lines(boxes, shape, some),
            "frames": clutter.frames(shape, some),
            "table": clutter.table(shape, some),
            "padding": clutter.padding(boxes, shape, some),
            "specks": clutter.specks(shape, some),
            "print": clutter.print_marks(shape, some),
            "neighbours": clutter.neighbours(digits, shape, some),
            "blots": clutter.blots(shape, some),
        }
        for name, layer in layers.items():
            assert layer.shape == (24, *shape), name
            assert 0 <= layer.min() <= layer.max() <= 1.3, name
            assert layer.flatten(1).any(1).float().mean() > 0.5, name


def test_capturing_keeps_the_brightness_of_even_paper() -> None:
    paper = torch.full((16, 64, 48), 0.6)
    some, bilevel = draws(16), torch.zeros(16, dtype=torch.bool)
    assert light((64, 48), some).mean().item() == pytest.approx(1, abs=0.15)
    torch.testing.assert_close(blur(paper, some), paper, atol=1e-5, rtol=0)
    torch.testing.assert_close(jpeg(paper, some), paper, atol=0.03, rtol=0)
    small = small_original(paper, 20, torch.zeros(16), bilevel, some)
    torch.testing.assert_close(small, paper, atol=1e-5, rtol=0)


def weights(run: SegmenterTraining) -> torch.Tensor:
    return torch.cat([tensor.flatten().float() for tensor in run.network.state_dict().values()])


def test_a_run_that_is_resumed_ends_with_the_weights_of_one_that_was_not(
    digits: DistanceFields, tmp_path: Path
) -> None:
    whole = SegmenterTraining(digits, SMALL)
    whole.run(tmp_path / "whole", lambda *_: None)
    first = SegmenterTraining(digits, SMALL)
    for _ in range(3):
        first._train_step()
    first.save(tmp_path / "half")
    second = SegmenterTraining(digits, SMALL)
    second.load(tmp_path / "half")
    second.run(tmp_path / "half", lambda *_: None)
    assert second.step == whole.step == 6
    assert torch.equal(weights(second), weights(whole))
    other = SegmenterTraining(digits, msgspec.structs.replace(SMALL, seed=1))
    with pytest.raises(TrainingError, match="a checkpoint of another recipe"):
        other.load(tmp_path / "half")


def train(recipe: SegmenterRecipe, digits: DistanceFields, tmp_path: Path, *, resume: bool = False) -> Path:
    """`train segmenter` with digits in print and without a compiler; returns the folder of its files."""
    folder, checkpoint = tmp_path / "segmenter", tmp_path / "checkpoint"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "load_digits", lambda *_: DigitFields(digits, digits, SOURCE))
        patch.setattr("shutil.which", lambda _: None)
        command.train_segmenter(
            recipe, tmp_path, Progress.silent(), resume=resume, checkpoint=checkpoint, folder=folder
        )
    return folder


def test_training_writes_files_that_compute_what_the_network_computes(digits: DistanceFields, tmp_path: Path) -> None:
    folder = train(SMALL, digits, tmp_path)
    assert is_segmenter(folder)
    assert {each.runtime for each in verify_segmenter(folder)} == {"ONNX Runtime", "TorchScript"}
    manifest, _ = load_segmenter(folder)
    assert msgspec.convert(manifest.recipe, SegmenterRecipe) == SMALL
    assert set(manifest.metrics) == {"iou", "number_accuracy", "polarity_accuracy", "empty_pixels"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["segmenter"]
    train(SMALL, digits, tmp_path)
    assert {path.name for path in folder.iterdir()} == {MANIFEST, *manifest.files}, "older files are left in it"


def test_below_its_threshold_nothing_is_written_and_the_checkpoint_stays(
    digits: DistanceFields, tmp_path: Path
) -> None:
    recipe = msgspec.structs.replace(SMALL, threshold=1.0)
    with pytest.raises(BelowThreshold, match=r"IoU 0\.\d+ is below its acceptance threshold 1\.0"):
        train(recipe, digits, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]
    with pytest.raises(TrainingError, match="--resume goes on from it"):
        train(recipe, digits, tmp_path)
    with pytest.raises(BelowThreshold):
        train(recipe, digits, tmp_path, resume=True)


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_the_segmenter_of_the_service_opens_and_sees_a_digit(runtime: str) -> None:
    segment = open_segmenter(Settings(runtime=runtime, device="cpu"))
    canvas = Image.new("L", (64, 64), 255)
    ImageDraw.Draw(canvas).text((32, 32), "5", 0, ImageFont.load_default(size=44), anchor="mm")
    seen = segment(np.asarray(canvas))
    assert seen.ink.shape == (64, 64)
    assert seen.light_ink < 0.1
    assert seen.digits[1] > 0.5
    ink = np.asarray(canvas) < 128
    assert seen.ink[ink].mean() > 200
    assert seen.ink[~ink].mean() < 20


def test_the_files_of_the_service_are_those_of_the_recipe_and_verified() -> None:
    manifest, contents = load_segmenter()
    assert msgspec.convert(manifest.recipe, SegmenterRecipe).name == SEGMENTER.name
    assert manifest.metrics["iou"] >= SEGMENTER.threshold
    assert max(len(content) for content in contents.values()) < 450_000
    assert len(verify_segmenter(FOLDER)) == 8
    assert {path.name for path in FOLDER.iterdir()} == {MANIFEST, *manifest.files}


@pytest.mark.parametrize("name", [ONNX, TORCHSCRIPT])
def test_a_damaged_file_of_the_segmenter_is_named(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "segmenter")
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(BundleError, match=rf"{name}: damaged: SHA-256"):
        open_segmenter(Settings(device="cpu"), folder)
    with pytest.raises(VerificationFailed, match=name):
        verify_segmenter(folder)


def test_a_segmenter_of_another_version_of_the_normaliser_is_an_error(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "segmenter"
    export_segmenter(Segmenter(), SMALL, SOURCE, [], {}, folder)
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest | {"normaliser": "ink-2"}))
    with pytest.raises(BundleError, match="it is of 'ink-2', this service has 'ink-3'"):
        open_segmenter(Settings(device="cpu"), folder)


def remove_files(folder: Path) -> None:
    shutil.rmtree(folder)


def garble_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"\xff\xfe")


def leave_out_a_format(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest["files"].pop(ONNX))


def change_golden_outputs(folder: Path) -> None:
    golden = msgspec.json.decode((folder / GOLDEN).read_bytes())
    golden["outputs"]["light_ink"][0] = [0.5]
    content = msgspec.json.encode(golden)
    (folder / GOLDEN).write_bytes(content)
    edit_manifest(folder, lambda manifest: manifest["files"].update({GOLDEN: sha256(content)}))


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    edit(manifest)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_files, "manifest.json: No such file or directory"),
        (garble_manifest, "manifest.json: "),
        (leave_out_a_format, "manifest.json: files must include model.onnx"),
        (change_golden_outputs, "golden.json: example 0: light_ink"),
    ],
)
def test_a_damaged_segmenter_stops_the_start_with_its_file_and_the_reason(
    damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "segmenter")
    damage(folder)
    with pytest.raises(BundleError, match=re.escape(f"{folder}/{message}")):
        open_segmenter(Settings(device="cpu"), folder)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 7), (2, 3), (700, 20), (65, 65), (4000, 3000)])
def test_boxes_lie_within_each_other_in_pictures_of_any_size(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segmenter is one that finds ink in random rectangles, small ones in corners among them."""
    monkeypatch.setattr("service.images.normaliser.segmentation.MIN_CONTRAST", 0)
    random = np.random.default_rng(0)

    def segment(grey: Grey) -> Segmented:
        assert grey.dtype == np.uint8
        assert all(side % SIDE_MULTIPLE == 0 and 32 <= side <= 128 for side in grey.shape)
        ink = np.zeros(grey.shape, np.uint8)
        (top, bottom), (left, right) = (np.sort(random.integers(0, side + 1, 2)) for side in grey.shape)
        ink[top : bottom + 1, left : right + 1] = 255
        return Segmented(ink, (0.0, 1.0, 0.0), 0.0)

    picture = np.zeros(shape, np.uint8)
    for _ in range(40):
        digit = normalise_with_report(picture, segment)
        left, top, width, height = digit.box
        seen_left, seen_top, seen_width, seen_height = digit.mask_box
        assert min(width, height) >= 1
        assert 0 <= seen_left <= left < left + width <= seen_left + seen_width <= shape[1]
        assert 0 <= seen_top <= top < top + height <= seen_top + seen_height <= shape[0]
        assert digit.image.max() > 0


def test_the_network_takes_what_the_normaliser_gives_it() -> None:
    assert SIDE_MULTIPLE % MULTIPLE == 0
    assert all(side % SIDE_MULTIPLE == 0 for side in INPUT_SIDES)


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_several_threads_get_what_one_gets(runtime: str) -> None:
    segment = open_segmenter(Settings(runtime=runtime, device="cpu"))
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (64, side), np.uint8) for side in (64, 48, 40, 64) for _ in range(8)]
    expected = [segment(picture).ink for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda picture: segment(picture).ink, pictures))
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "segmenter", "--epochs", "3"), "--epochs: not for segmenter"),
        (("train", "iris", "--samples", "9"), "--samples: not for iris"),
        (("train", "iris", "--resume"), "--resume: not for iris"),
        (("train", "segmenter", "--resume"), "segmenter.checkpoint is not there"),
        (("recalibrate", "iris"), "iris takes feature vectors"),
    ],
)
def test_options_that_would_be_ignored_are_errors(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--models-dir", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err


def test_a_recalibrated_bundle_has_the_same_weights_as_its_next_version(mnist_dir: Path, tmp_path: Path) -> None:
    before = newest("mnist-deep")
    shutil.copytree(before, tmp_path / "mnist-deep" / before.name)
    assert main(["recalibrate", "mnist-deep", "--data-dir", str(mnist_dir), "--models-dir", str(tmp_path)]) == 0
    after = tmp_path / "mnist-deep" / str(int(before.name) + 1)
    found = [torchscript_weights(load_bundle(folder)[1]) for folder in (before, after)]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
