"""Confidence that means something: a temperature, and thresholds below which an answer is unsure.

All is found on validation images that the network did not learn from, each distorted as in training several times:
uploads are as hard as those, and MNIST as it is would be too easy.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from service.bundle.manifest import Abstention
from training.augmentation.distortion import Distorter
from training.augmentation.normaliser_artifacts import with_residue
from training.datasets import Split
from training.networks.network import Network
from training.progress import Progress
from training.recipes.recipe import Recipe

LOOKS = 10  # at each validation image
RIGHT = 0.999  # of the answers at or above the threshold of probability, on those images
LOST = 0.0075  # of digits may be taken for no digits
TEMPERATURES = torch.logspace(-1, 1, 401)  # in steps of 1.2 %


@torch.inference_mode()
def calibrate(
    network: Network, recipe: Recipe, validation: Split, seed: int, progress: Progress
) -> tuple[float, Abstention]:
    """Divide the network's logits by the best temperature, inside its last layer; find the thresholds for it.

    The temperature makes the labels likeliest (Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural
    networks", 2017).
    """
    inputs, targets = looks(recipe, validation, seed, progress)
    temperature = best_temperature(network.layers(network.scale(inputs)), targets)
    last = cast(nn.Linear, network.layers[-1])
    last.weight.div_(temperature)
    last.bias.div_(temperature)
    probabilities, *background = network.outputs(inputs)
    highest = rounded(background[0].quantile(1 - LOST).item()) if background else None
    return temperature, Abstention(rounded(threshold(probabilities, targets)), highest)


def rounded(probability: float) -> float:
    """To four digits, counted from 0 or from 1, whichever is nearer: 0.00001234, 0.99999."""
    return float(f"{probability:.4g}") if probability < 0.5 else 1 - float(f"{1 - probability:.4g}")


def looks(recipe: Recipe, validation: Split, seed: int, progress: Progress) -> tuple[Tensor, Tensor]:
    """UINT8 [looks * n, 28, 28]: every image as it looks several times, distorted; and the class INT64 [looks * n].

    Once, as it is, where the recipe has no distortions.
    """
    distortion = recipe.descent.distortion
    if distortion is None:
        return validation.inputs, validation.targets
    distort, images = Distorter(distortion, seed), with_residue(validation.inputs, distortion, seed, progress)
    return torch.cat([distort(images) for _ in range(LOOKS)]), validation.targets.repeat(LOOKS)


def best_temperature(logits: Tensor, targets: Tensor) -> float:
    """What logits [n, classes] are to be divided by, so that the targets INT64 [n] become as likely as they can."""
    losses = torch.stack([cross_entropy(logits / temperature, targets) for temperature in TEMPERATURES])
    return TEMPERATURES[losses.argmin()].item()


def threshold(probabilities: Tensor, targets: Tensor) -> float:
    """The lowest confidence (0 to 1) from which on `RIGHT` of the answers are right; 1 where there is none.

    Of probabilities [n, classes] against targets INT64 [n].
    """
    confidence, answers = probabilities.max(dim=1)
    order = confidence.argsort(descending=True, stable=True)
    hits = (answers == targets)[order].double()
    share = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
    enough = (share >= RIGHT).nonzero()
    return confidence[order][enough[-1]].item() if len(enough) else 1.0
