"""Calibrated confidence: a temperature, and the thresholds of abstention.

The service abstains if the confidence is below one threshold, or the OOD score above the other.

All are fitted on validation images, which the network was not trained on, in several augmented copies: uploads are as
hard as those, while plain MNIST images would be too easy.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from service.bundle.manifest import Abstention
from training.augmentation.distortion import Distorter
from training.augmentation.normaliser_artifacts import with_artifacts
from training.datasets.dataset import Split
from training.networks.network import Network
from training.progress import Progress
from training.recipes.recipe import Recipe

AUGMENTED_COPIES = 10  # of each validation image
MAX_FALSE_REJECTION = 0.0075  # fraction of those images whose OOD score may be above its threshold
TEMPERATURES = torch.logspace(-1, 1, 401)  # 0.1 to 10, in steps of 1.2 %


@torch.inference_mode()
def calibrate(
    network: Network, recipe: Recipe, validation: Split, seed: int, progress: Progress
) -> tuple[float, Abstention]:
    """Divide the weights of the last layer, and so the logits, by the best temperature; return it and the thresholds.

    (Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", 2017.)
    """
    inputs, targets = augmented_validation(recipe, validation, seed, progress)
    temperature = best_temperature(network.layers(network.scale(inputs)), targets)
    last = cast(nn.Linear, network.layers[-1])
    last.weight.div_(temperature)
    last.bias.div_(temperature)
    probabilities, *ood_scores = network.all_outputs(inputs)
    max_ood = round_probability(ood_scores[0].quantile(1 - MAX_FALSE_REJECTION).item()) if ood_scores else None
    threshold = confidence_threshold(probabilities, targets, recipe.max_unsure)
    return temperature, Abstention(round_probability(threshold), max_ood)


def round_probability(probability: float) -> float:
    """To four significant digits of its distance from 0 or from 1, whichever is nearer.

    0.0000123456 becomes 0.00001235, and 0.9876543 becomes 0.98765.
    """
    return float(f"{probability:.4g}") if probability < 0.5 else round(1 - float(f"{1 - probability:.4g}"), 12)


def augmented_validation(recipe: Recipe, validation: Split, seed: int, progress: Progress) -> tuple[Tensor, Tensor]:
    """Distorted copies of all validation images, UINT8 [copies * n, 28, 28], and their classes INT64 [copies * n].

    One copy of each image, not distorted, if the recipe has no distortion.
    """
    distortion = recipe.gradient_descent.distortion
    if distortion is None:
        return validation.inputs, validation.targets
    distort, images = Distorter(distortion, seed), with_artifacts(validation.inputs, distortion, seed, progress)
    copies = torch.cat([distort(images) for _ in range(AUGMENTED_COPIES)])
    return copies, validation.targets.repeat(AUGMENTED_COPIES)


def best_temperature(logits: Tensor, targets: Tensor) -> float:
    """The temperature that minimises the cross-entropy of logits FP32 [n, classes] and classes INT64 [n]: 0.1 to 10."""
    losses = torch.stack([cross_entropy(logits / temperature, targets) for temperature in TEMPERATURES])
    return TEMPERATURES[losses.argmin()].item()


def confidence_threshold(probabilities: Tensor, targets: Tensor, unsure: float) -> float:
    """The confidence (0 to 1) that this fraction of the right predictions do not reach; 1 if none is right.

    `probabilities` are FP32 [n, classes], `targets` INT64 [n].
    """
    confidence, predicted = probabilities.max(dim=1)
    right = confidence[predicted == targets].sort().values
    return right[int(unsure * len(right))].item() if len(right) else 1.0
