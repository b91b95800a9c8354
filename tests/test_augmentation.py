"""Distortions of training images, what each may change and what it must not; and lessons from a teacher."""

from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from service.images.normaliser import is_normalised
from training.augmentation.distortion import Distorter, extents
from training.augmentation.normaliser_artifacts import residues, with_residue
from training.datasets import open_dataset
from training.learning.distillation import convolutions, learning_from
from training.learning.train import train_once
from training.networks.network import ImageNetwork, Pixels
from training.progress import Progress
from training.recipes import RECIPES
from training.recipes.recipe import AdamW, Descent, Distortion, Teacher

TEACHER = Teacher(AdamW(), batch=40, epochs=1, channels=(4, 8))


@pytest.fixture
def images() -> Tensor:
    """Sixty-four L-shaped strokes, 20 pixels high."""
    strokes = torch.zeros(64, 28, 28, dtype=torch.uint8)
    strokes[:, 4:24, 10:13] = 255
    strokes[:, 21:24, 10:20] = 255
    return strokes


def distorted(images: Tensor, distortion: Distortion, seed: int = 0) -> Tensor:
    return Distorter(distortion, seed)(with_residue(images, distortion, seed, Progress.silent()))


def ink(images: Tensor) -> Tensor:
    return images.flatten(1).to(torch.float32).sum(dim=1)


def test_no_distortion_changes_nothing(images: Tensor) -> None:
    assert torch.equal(distorted(images, Distortion()), images)


def test_a_seed_draws_the_same_distortions_every_time(images: Tensor) -> None:
    distortion = RECIPES["mnist"].descent.distortion
    assert distortion
    first, second, other = (distorted(images, distortion, seed) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert len(torch.unique(first, dim=0)) == len(images)


@pytest.mark.parametrize("name", [name for name in Distortion.__struct_fields__ if name != "residue"])
def test_each_distortion_changes_every_image_alone(images: Tensor, name: str) -> None:
    softened = avg_pool2d(images.to(torch.float32), 3, stride=1, padding=1).to(torch.uint8)
    found = distorted(softened, Distortion(**{name: 20.0 if name == "rotation" else 1.0}))
    assert found.shape == images.shape
    assert found.dtype == torch.uint8
    assert (found != softened).flatten(1).any(dim=1).float().mean() > 0.9


def test_another_aspect_keeps_the_longest_side(images: Tensor) -> None:
    sides = extents(distorted(images, Distortion(aspect=0.4)))
    assert sides[:, 0].std() > 1
    assert sides.amax(dim=1).sub(20).abs().max() <= 2


def test_thickness_takes_and_gives_ink(images: Tensor) -> None:
    share = ink(distorted(images, Distortion(thickness=0.8))) / ink(images)
    assert share.min() < 0.8
    assert share.max() > 1.2


def test_a_shift_moves_the_ink_and_loses_none(images: Tensor) -> None:
    moved = distorted(images, Distortion(shift=2.0))
    torch.testing.assert_close(ink(moved), ink(images), rtol=0.02, atol=0)


def test_the_residue_is_what_the_normaliser_makes_of_small_and_bilevel_pictures(images: Tensor) -> None:
    found = distorted(images, Distortion(residue=1.0))
    assert (found != images).flatten(1).any(dim=1).float().mean() > 0.9
    assert all(is_normalised(image) for image in found.numpy())
    blank = torch.zeros(2, 28, 28, dtype=torch.uint8)
    assert torch.equal(residues(blank, 0, Progress.silent()), blank)


def test_as_many_images_are_seen_as_residue_as_the_recipe_says(images: Tensor) -> None:
    found = distorted(images.repeat(20, 1, 1), Distortion(residue=0.3))
    changed = (found != images.repeat(20, 1, 1)).flatten(1).any(dim=1).float().mean()
    assert 0.2 < changed < 0.4


def test_distortions_are_written_into_the_bundle_with_the_recipe() -> None:
    recipe = RECIPES["mnist"]
    assert msgspec.convert(msgspec.to_builtins(recipe), type(recipe)) == recipe


def test_a_teachers_network_convolves_twice_for_each_of_its_channels_and_ends_in_the_classes() -> None:
    layers = convolutions(Teacher(AdamW(), batch=1, epochs=1, channels=(4, 8)), classes=10)
    assert layers(torch.zeros(5, 784)).shape == (5, 10)
    shapes = [tuple(layer.weight.shape) for layer in layers if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert shapes == [(4, 1, 3, 3), (4, 4, 3, 3), (8, 4, 3, 3), (8, 8, 3, 3), (10, 8)]


def test_a_pupil_learns_its_teachers_answers_whatever_the_labels_say() -> None:
    torch.manual_seed(0)
    teacher = ImageNetwork(Pixels(centred=False), convolutions(TEACHER, 10), nn.Softmax(dim=1))
    inputs, labels = torch.rand(40, 784), torch.eye(10)[torch.zeros(40, dtype=torch.int64)]
    layers = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    descent = Descent(AdamW(0.01), batch=40, epochs=1, teacher=TEACHER)
    step = learning_from(teacher)(layers, "multiclass", descent, 200)
    for _ in range(200):
        step(inputs, labels)
    with torch.no_grad():
        wanted, learned = torch.softmax(teacher.layers(inputs), 1), torch.softmax(layers(inputs), 1)
    assert (wanted - learned).abs().max() < 0.02


@pytest.mark.slow
def test_the_recipe_with_its_teacher_learns_in_three_epochs_what_takes_the_lecture_ten(mnist_dir: Path) -> None:
    recipe = RECIPES["mnist"]
    teacher = Teacher(AdamW(0.003), batch=256, epochs=2)
    fit = msgspec.structs.replace(recipe.descent, epochs=3, teacher=teacher)
    recipe = msgspec.structs.replace(recipe, fit=fit)
    torch.set_num_threads(2)
    trained = train_once(recipe, open_dataset("mnist", mnist_dir), 0, torch.device("cpu"), Progress.silent())
    assert trained.metrics["accuracy"] > 0.97
