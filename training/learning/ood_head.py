"""The out-of-distribution head: trained on the frozen hidden layers of a classifier, to detect images of no class."""

from typing import cast

import msgspec
import torch
from torch import nn

from training.augmentation.normaliser_artifacts import with_artifacts
from training.augmentation.ood_negatives import ood_negatives
from training.datasets.dataset import Split
from training.learning.fit import fit
from training.networks.network import BinaryProbabilities, HiddenActivations, ImageNetwork, ImageNetworkWithOod
from training.progress import Progress
from training.recipes.gradient_descent import GradientDescent, OodHead
from training.recipes.recipe import Recipe


def train_ood_head(
    network: ImageNetworkWithOod, recipe: Recipe, train: Split, seed: int, device: torch.device, progress: Progress
) -> None:
    """Train the OOD head alone, as a binary classifier: OOD negatives against a random sample of the digits.

    It is trained on the device; the network is on the CPU before and after. `train.inputs` are UINT8 [n, 28, 28] or,
    with normaliser artifacts, [n, 1 + copies, 28, 28]. Weight decay, precision and distortion are the classifier's.
    """
    head = cast(OodHead, recipe.ood_head)
    plain = train.inputs[:, 0] if train.inputs.dim() == 4 else train.inputs
    negatives = ood_negatives(plain, train.targets, head.negatives, seed, progress)
    negatives = with_artifacts(negatives, recipe.gradient_descent.distortion, seed, progress)
    order = torch.randperm(len(train.targets), generator=torch.Generator().manual_seed(seed))
    digits = train.inputs[order[: 2 * head.negatives]]
    is_ood = torch.cat([torch.zeros(len(digits)), torch.ones(len(negatives))])
    classifier = recipe.gradient_descent
    config = GradientDescent(
        head.optimiser,
        head.batch_size,
        head.epochs,
        weight_decay=classifier.weight_decay,
        schedule="one-cycle",
        precision=classifier.precision,
        distortion=classifier.distortion,
    )
    head_recipe = msgspec.structs.replace(recipe, name=f"{recipe.name}'s OOD head", task="binary", training=config)
    network.requires_grad_(requires_grad=False)
    network.ood_head.requires_grad_()
    layers = nn.Sequential(HiddenActivations(network), *network.ood_head)
    progress.start_network(head_recipe, seed, verbose=seed == recipe.seed)
    data = Split(torch.cat([digits, negatives]), is_ood).to(device)
    fit(ImageNetwork(network.scale, layers, BinaryProbabilities()).to(device), data, head_recipe, seed, progress)
    network.cpu().eval()
