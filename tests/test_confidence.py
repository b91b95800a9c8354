"""Calibrated probabilities, thresholds of abstention, and pictures of what is no digit."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from service.images.normaliser import is_normalised
from training.augmentation.normaliser_artifacts import with_residue
from training.augmentation.ood_negatives import fonts, strangers
from training.datasets import Split
from training.learning.calibration import LOST, best_temperature, calibrate, looks, rounded, threshold
from training.learning.ood_head import learn_background
from training.networks.network import ImageNetwork, Network, Pixels, WaryImageNetwork, mlp
from training.progress import Progress
from training.recipes import RECIPES
from training.recipes.recipe import AdamW, Background


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    """Ten strokes for each of ten classes: upright ones for 1, with a roof for 7, with a foot for the others."""
    strokes = torch.zeros(100, 28, 28, dtype=torch.uint8)
    strokes[:, 4:24, 13:15] = 255
    digits = torch.arange(100) % 10
    strokes[digits == 7, 4:6, 6:15] = 255
    footed = (digits != 1) & (digits != 7)
    strokes[footed, 22:24, 6:15] = 255
    return strokes, digits


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_a_temperature_undoes_what_made_logits_too_sure_or_too_shy(factor: float) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=random) * 2
    targets = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=random).squeeze(1)
    assert best_temperature(factor * logits, targets) == pytest.approx(factor, rel=0.05)


def test_a_threshold_leaves_out_what_is_less_often_right_than_it_must_be() -> None:
    confidence = torch.linspace(0.5, 1, 10_000)
    probabilities = torch.stack([confidence, 1 - confidence], dim=1)
    targets = torch.zeros(10_000, dtype=torch.int64)
    targets[:2000:2] = 1  # below 0.6 every other answer is wrong
    found = threshold(probabilities, targets)
    assert 0.59 < found < 0.61
    sure = confidence >= found
    assert targets[sure].sum() <= 0.001 * sure.sum()
    assert threshold(probabilities, torch.ones(10_000, dtype=torch.int64)) == 1.0


def wary_network(hidden: int = 12) -> WaryImageNetwork:
    layers = nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    return WaryImageNetwork(Pixels(centred=False), layers, nn.Softmax(dim=1), mlp((hidden, 16, 1))).eval()


@pytest.mark.parametrize("wary", [False, True])
def test_calibration_changes_no_answer_and_makes_the_labels_likelier(
    images: tuple[Tensor, Tensor], *, wary: bool
) -> None:
    torch.manual_seed(0)
    network: Network = wary_network()
    if not wary:
        network = ImageNetwork(network.scale, network.layers, network.output)
    last = network.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(100)  # far too sure
    recipe, data = RECIPES["mnist"], Split(*images)
    seen, targets = looks(recipe, data, 0, Progress.silent())
    assert len(seen) == len(targets) == 1000
    with torch.inference_mode():
        before = network.outputs(seen)[0]
        temperature, abstention = calibrate(network, recipe, data, 0, Progress.silent())
        after, *background = network.outputs(seen)
    assert temperature > 1
    assert torch.equal(before.argmax(dim=1), after.argmax(dim=1))
    assert nll_loss(after.log(), targets) < nll_loss(before.clamp(min=1e-30).log(), targets)
    if wary:
        assert abstention.background
        assert (background[0] > abstention.background).double().mean().item() == pytest.approx(LOST, abs=0.002)
    else:
        assert abstention.background is None


@pytest.mark.parametrize("probability", [0.0, 0.00001234, 0.4, 0.5, 0.987654, 0.99998766, 1.0])
def test_a_threshold_is_rounded_where_it_matters(probability: float) -> None:
    room = 1e-3 * min(probability, 1 - probability)
    assert rounded(probability) == pytest.approx(probability, abs=max(room, 1e-12))


def test_a_wary_network_gives_its_classes_and_beside_them_what_is_none_of_them() -> None:
    with torch.inference_mode():
        probabilities, background = wary_network().outputs(torch.zeros(3, 28, 28, dtype=torch.uint8))
    assert (probabilities.shape, background.shape) == ((3, 10), (3, 1))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3))


def test_the_background_is_learned_and_everything_else_stays_as_it_is(images: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    network = wary_network(hidden=200)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    how = Background(AdamW(0.01), batch=50, epochs=40, units=16, strangers=50)
    recipe = RECIPES["mnist"]
    recipe = msgspec.structs.replace(recipe, fit=msgspec.structs.replace(recipe.descent, background=how))
    inputs = with_residue(images[0], recipe.descent.distortion, 0, Progress.silent())
    learn_background(network, recipe, Split(inputs, images[1]), seed=0, progress=Progress.silent())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) != name.startswith("background."), name
    with torch.inference_mode():
        strange = network.outputs(strangers(*images, 50, 0, Progress.silent()))[1].mean()
        familiar = network.outputs(images[0])[1].mean()
    assert strange > familiar + 0.3


def test_strangers_are_made_as_the_normaliser_makes_digits(images: tuple[Tensor, Tensor]) -> None:
    found = strangers(*images, 60, 0, Progress.silent())
    assert found.shape == (60, 28, 28)
    assert len(torch.unique(found, dim=0)) > 50
    assert torch.equal(found, strangers(*images, 60, 0, Progress.silent()))
    assert np.mean([is_normalised(picture) for picture in found.numpy()]) > 0.9


def test_letters_come_from_fonts_that_are_there_wherever_training_is() -> None:
    assert len(fonts()) >= 12
    assert all(isinstance(path, Path) and path.exists() for path in fonts())
