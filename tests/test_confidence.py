"""Calibrated probabilities, thresholds of abstention, and OOD negatives."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from service.images.normaliser import is_normalised
from training.augmentation.normaliser_artifacts import with_artifacts
from training.augmentation.ood_negatives import font_files, ood_negatives
from training.datasets.dataset import Split
from training.learning.calibration import (
    MAX_FALSE_REJECTION,
    augmented_validation,
    best_temperature,
    calibrate,
    confidence_threshold,
    round_probability,
)
from training.learning.ood_head import train_ood_head
from training.networks.mlp import add_batch_norm, mlp
from training.networks.network import ImageNetwork, ImageNetworkWithOod, Network
from training.networks.scaling import PixelScaling
from training.progress import Progress
from training.recipes import RECIPES
from training.recipes.gradient_descent import AdamW, OodHead


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    """Ten strokes for each of ten classes: upright for 1, with a bar at the top for 7, at the bottom for the others."""
    strokes = torch.zeros(100, 28, 28, dtype=torch.uint8)
    strokes[:, 4:24, 13:15] = 255
    digits = torch.arange(100) % 10
    strokes[digits == 7, 4:6, 6:15] = 255
    others = (digits != 1) & (digits != 7)
    strokes[others, 22:24, 6:15] = 255
    return strokes, digits


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_the_best_temperature_corrects_overconfident_and_underconfident_logits(factor: float) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=random) * 2
    targets = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=random).squeeze(1)
    assert best_temperature(factor * logits, targets) == pytest.approx(factor, rel=0.05)


def test_few_of_the_right_predictions_are_below_the_threshold() -> None:
    confidence = torch.linspace(0.5, 1, 10_000)
    probabilities = torch.stack([confidence, 1 - confidence], dim=1)
    targets = torch.zeros(10_000, dtype=torch.int64)
    targets[:2000:2] = 1  # below 0.6 every other prediction is wrong
    threshold = confidence_threshold(probabilities, targets, 0.08)
    right = confidence[targets == 0]
    assert (right < threshold).float().mean() == pytest.approx(0.08, abs=0.001)
    assert (confidence[targets == 1] < threshold).float().mean() > 0.7
    assert confidence_threshold(probabilities, torch.ones(10_000, dtype=torch.int64), 0.08) == 1.0


def network_with_ood(hidden: int = 12) -> ImageNetworkWithOod:
    layers = nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    return ImageNetworkWithOod(PixelScaling(centred=False), layers, nn.Softmax(dim=1), mlp((hidden, 16, 1))).eval()


@pytest.mark.parametrize("has_ood", [False, True])
def test_calibration_changes_no_prediction_and_makes_the_labels_more_likely(
    images: tuple[Tensor, Tensor], *, has_ood: bool
) -> None:
    torch.manual_seed(0)
    network: Network = network_with_ood()
    if not has_ood:
        network = ImageNetwork(network.scale, network.layers, network.output)
    last = network.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(100)  # far too confident
    recipe, data = RECIPES["mnist"], Split(*images)
    inputs, targets = augmented_validation(recipe, data, 0, Progress.silent())
    assert len(inputs) == len(targets) == 1000
    with torch.inference_mode():
        before = network.all_outputs(inputs)[0]
        temperature, abstention = calibrate(network, recipe, data, 0, Progress.silent())
        after, *ood_scores = network.all_outputs(inputs)
    assert temperature > 1
    assert torch.equal(before.argmax(dim=1), after.argmax(dim=1))
    assert nll_loss(after.log(), targets) < nll_loss(before.clamp(min=1e-30).log(), targets)
    if has_ood:
        assert abstention.max_background
        rejected = (ood_scores[0] > abstention.max_background).double().mean().item()
        assert rejected == pytest.approx(MAX_FALSE_REJECTION, abs=0.002)
    else:
        assert abstention.max_background is None


@pytest.mark.parametrize("probability", [0.0, 0.00001234, 0.4, 0.5, 0.987654, 0.99998766, 1.0])
def test_a_threshold_is_rounded_where_it_matters(probability: float) -> None:
    tolerance = 1e-3 * min(probability, 1 - probability)
    assert round_probability(probability) == pytest.approx(probability, abs=max(tolerance, 1e-12))


def test_a_rounded_threshold_has_no_rounding_noise() -> None:
    assert round_probability(0.0000123456) == 0.00001235
    assert round_probability(0.9876543) == 0.98765
    assert repr(round_probability(0.99998766)) == "0.99998766"


def test_the_ood_head_reads_all_hidden_activations_with_batch_norm_too() -> None:
    torch.manual_seed(0)
    layers = mlp((784, 7, 5, 10))
    network = ImageNetworkWithOod(PixelScaling(centred=False), layers, nn.Softmax(dim=1), mlp((12, 3, 1))).eval()
    scaled = torch.rand(4, 784)
    hidden, logits = network.hidden_and_logits(scaled)
    first = layers[:2](scaled)
    torch.testing.assert_close(hidden, torch.cat([first, layers[2:4](first)], dim=1))
    torch.testing.assert_close(logits, layers(scaled))
    images = torch.zeros(4, 28, 28, dtype=torch.uint8)
    with pytest.warns(FutureWarning, match="deprecated"):
        scripted = torch.jit.script(network)
    torch.testing.assert_close(scripted(images), network(images))
    network.layers = add_batch_norm(layers).eval()
    assert network.hidden_and_logits(scaled)[0].shape == (4, 12)


def test_a_network_with_an_ood_head_outputs_probabilities_and_ood_scores() -> None:
    with torch.inference_mode():
        probabilities, ood_scores = network_with_ood().all_outputs(torch.zeros(3, 28, 28, dtype=torch.uint8))
    assert (probabilities.shape, ood_scores.shape) == ((3, 10), (3, 1))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3))


def test_the_ood_head_is_trained_and_all_other_weights_stay(images: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    network = network_with_ood(hidden=200)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    head = OodHead(AdamW(0.01), batch_size=50, epochs=40, units=16, negatives=50)
    training = msgspec.structs.replace(RECIPES["mnist"].gradient_descent, ood_head=head)
    recipe = msgspec.structs.replace(RECIPES["mnist"], training=training)
    inputs = with_artifacts(images[0], training.distortion, 0, Progress.silent())
    train_ood_head(network, recipe, Split(inputs, images[1]), 0, torch.device("cpu"), Progress.silent())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) != name.startswith("ood_head."), name
    with torch.inference_mode():
        negatives = network.all_outputs(ood_negatives(*images, 50, 0, Progress.silent()))[1].mean()
        digits = network.all_outputs(images[0])[1].mean()
    assert negatives > digits + 0.3


def test_ood_negatives_are_normalised_as_digits_are(images: tuple[Tensor, Tensor]) -> None:
    found = ood_negatives(*images, 60, 0, Progress.silent())
    assert found.shape == (60, 28, 28)
    assert len(torch.unique(found, dim=0)) > 50
    assert torch.equal(found, ood_negatives(*images, 60, 0, Progress.silent()))
    assert np.mean([is_normalised(picture) for picture in found.numpy()]) > 0.9


def test_the_fonts_of_the_letters_are_installed_with_training() -> None:
    assert len(font_files()) >= 12
    assert all(isinstance(path, Path) and path.exists() for path in font_files())
