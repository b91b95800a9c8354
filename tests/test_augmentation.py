"""Distortions of training images, what each may change and what it must not; and knowledge distillation."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from service.images.normaliser import is_normalised
from service.images.normaliser.mnist_geometry import fit_mnist_geometry
from training.augmentation.distortion import Distorter, ink_extents
from training.augmentation.normaliser_artifacts import roundtrip_through_normaliser, with_artifacts
from training.datasets import open_dataset
from training.learning.distillation import build_teacher, distillation_step
from training.learning.train import train_one_seed
from training.networks.network import ImageNetwork
from training.progress import Progress
from training.recipes import RECIPES
from training.recipes.gradient_descent import AdamW, Distortion, GradientDescent, Teacher

TEACHER = Teacher(AdamW(), batch_size=40, epochs=1, channels=(4, 8))


@pytest.fixture
def images() -> Tensor:
    """Sixty-four L-shaped strokes, 20 pixels high."""
    strokes = torch.zeros(64, 28, 28, dtype=torch.uint8)
    strokes[:, 4:24, 10:13] = 255
    strokes[:, 21:24, 10:20] = 255
    return strokes


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """Sixty-four digits in print."""
    canvases = [Image.new("L", (200, 200)) for _ in range(10)]
    for digit, canvas in enumerate(canvases):
        ImageDraw.Draw(canvas).text((100, 100), str(digit), 255, ImageFont.load_default(size=120), anchor="mm")
    images = [fit_mnist_geometry(np.asarray(canvas.crop(canvas.getbbox()))) for canvas in canvases]
    return torch.from_numpy(np.stack([images[i % 10] for i in range(64)]))


def distorted(images: Tensor, distortion: Distortion, seed: int = 0) -> Tensor:
    return Distorter(distortion, seed)(with_artifacts(images, distortion, seed, Progress.silent()))


def ink(images: Tensor) -> Tensor:
    return images.flatten(1).to(torch.float32).sum(dim=1)


def test_no_distortion_changes_nothing(images: Tensor) -> None:
    assert torch.equal(distorted(images, Distortion()), images)


def test_the_same_seed_gives_the_same_distortions(images: Tensor) -> None:
    distortion = RECIPES["mnist"].gradient_descent.distortion
    assert distortion
    first, second, other = (distorted(images, distortion, seed) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert len(torch.unique(first, dim=0)) == len(images)


@pytest.mark.parametrize("name", [name for name, kind in Distortion.__annotations__.items() if kind is float])
def test_each_distortion_alone_changes_every_image(images: Tensor, name: str) -> None:
    softened = avg_pool2d(images.to(torch.float32), 3, stride=1, padding=1).to(torch.uint8)
    found = distorted(softened, msgspec.convert({name: 20.0 if name == "rotation" else 1.0}, Distortion))
    assert found.shape == images.shape
    assert found.dtype == torch.uint8
    assert (found != softened).flatten(1).any(dim=1).float().mean() > 0.9


def test_another_aspect_keeps_the_longest_side(images: Tensor) -> None:
    sides = ink_extents(distorted(images, Distortion(aspect=0.4)))
    assert sides[:, 0].std() > 1
    assert sides.amax(dim=1).sub(20).abs().max() <= 2


def test_thickness_adds_and_removes_ink(images: Tensor) -> None:
    ratio = ink(distorted(images, Distortion(thickness=0.8))) / ink(images)
    assert ratio.min() < 0.8
    assert ratio.max() > 1.2


def test_a_shift_moves_the_ink_and_loses_none(images: Tensor) -> None:
    moved = distorted(images, Distortion(shift=2.0))
    torch.testing.assert_close(ink(moved), ink(images), rtol=0.02, atol=0)


def test_images_with_artifacts_are_normalised_small_and_bilevel_pictures(digits: Tensor) -> None:
    found = distorted(digits, Distortion(artifact_fraction=1.0))
    assert (found != digits).flatten(1).any(dim=1).float().mean() > 0.9
    assert all(is_normalised(image) for image in found.numpy())
    blank = torch.zeros(2, 28, 28, dtype=torch.uint8)
    assert torch.equal(roundtrip_through_normaliser(blank, 0.5, 0, Progress.silent()), blank)


def test_images_in_pictures_like_those_of_the_segmenter_are_still_the_same_digits(digits: Tensor) -> None:
    found = roundtrip_through_normaliser(digits, 1.0, 0, Progress.silent())
    difference = (found.to(torch.float32) - digits).abs().mean(dim=(1, 2))
    assert (difference > 0).float().mean() > 0.9
    others = (found.to(torch.float32) - digits.roll(3, dims=0)).abs().mean(dim=(1, 2))
    assert (difference < others).float().mean() > 0.85
    assert torch.equal(found, roundtrip_through_normaliser(digits, 1.0, 0, Progress.silent()))


def test_the_recipes_fraction_of_the_images_has_artifacts(digits: Tensor) -> None:
    found = distorted(digits.repeat(20, 1, 1), Distortion(artifact_fraction=0.3))
    changed = (found != digits.repeat(20, 1, 1)).flatten(1).any(dim=1).float().mean()
    assert 0.2 < changed < 0.4


def test_a_recipe_with_distortions_survives_the_manifest() -> None:
    recipe = RECIPES["mnist"]
    assert msgspec.convert(msgspec.to_builtins(recipe), type(recipe)) == recipe


def test_the_original_and_each_copy_with_artifacts_are_drawn_as_the_recipe_says(images: Tensor) -> None:
    versions = images.repeat(40, 1, 1)[:, None].repeat(1, 4, 1, 1)
    for copy in range(4):
        versions[:, copy, 0, 0] = copy  # a mark of each
    distorter = Distorter(Distortion(artifact_fraction=0.6, artifact_copies=3), 0)
    drawn = distorter._select_version(versions)[:, 0, 0]
    shares = torch.bincount(drawn.long(), minlength=4) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor([0.4, 0.2, 0.2, 0.2]), atol=0.06, rtol=0)


def test_each_image_has_the_copies_that_the_recipe_says(digits: Tensor) -> None:
    distortion = Distortion(artifact_fraction=0.5, artifact_copies=2)
    versions = with_artifacts(digits[:8], distortion, 0, Progress.silent())
    assert versions.shape == (8, 3, 28, 28)
    assert torch.equal(versions[:, 0], digits[:8])
    assert not torch.equal(versions[:, 1], versions[:, 2])


def teacher_network() -> ImageNetwork:
    recipe = RECIPES["mnist"]
    training = msgspec.structs.replace(recipe.gradient_descent, teacher=TEACHER)
    return build_teacher(msgspec.structs.replace(recipe, training=training), 0)[0]


def test_a_teacher_has_two_convolutions_for_each_of_its_channels_and_a_logit_for_each_class() -> None:
    layers = teacher_network().layers
    assert layers(torch.zeros(5, 784)).shape == (5, 10)
    shapes = [tuple(layer.weight.shape) for layer in layers if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert shapes == [(4, 1, 3, 3), (4, 4, 3, 3), (8, 4, 3, 3), (8, 8, 3, 3), (10, 8)]


def test_a_student_learns_its_teachers_predictions_whatever_the_labels_are() -> None:
    torch.manual_seed(0)
    teacher = teacher_network()
    inputs, labels = torch.rand(40, 784), torch.eye(10)[torch.zeros(40, dtype=torch.int64)]
    layers = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    config = GradientDescent(AdamW(0.01), batch_size=40, epochs=1, teacher=TEACHER)
    step = distillation_step(teacher)(layers, "multiclass", config, 200)
    for _ in range(200):
        step(inputs, labels)
    with torch.no_grad():
        expected, found = torch.softmax(teacher.layers(inputs), 1), torch.softmax(layers(inputs), 1)
    assert (expected - found).abs().max() < 0.02


@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)]
)
def test_with_its_teacher_the_recipe_reaches_in_three_epochs_what_takes_the_lecture_ten(
    mnist_dir: Path, device: str
) -> None:
    recipe = RECIPES["mnist"]
    teacher = Teacher(AdamW(0.003), batch_size=256, epochs=2)
    training = msgspec.structs.replace(recipe.gradient_descent, epochs=3, teacher=teacher)
    recipe = msgspec.structs.replace(recipe, training=training)
    torch.set_num_threads(2)
    result = train_one_seed(recipe, open_dataset("mnist", mnist_dir), 0, torch.device(device), Progress.silent())
    assert result.metrics["accuracy"] > 0.97
