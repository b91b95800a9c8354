"""What is none of the classes: a second network, on top of the hidden layers of one that has learned already."""

from typing import cast

import msgspec
import torch
from torch import nn

from training.augmentation.normaliser_artifacts import with_residue
from training.augmentation.ood_negatives import strangers
from training.datasets import Split
from training.learning.fit import fit
from training.networks.network import BothClasses, Hidden, ImageNetwork, WaryImageNetwork
from training.progress import Progress
from training.recipes.recipe import Background, Recipe


def learn_background(network: WaryImageNetwork, recipe: Recipe, digits: Split, seed: int, progress: Progress) -> None:
    """Train the background alone, as a binary classifier: strangers, and digits that are drawn by the seed.

    The digits' inputs are UINT8 [n, 28, 28] or, with their residue, [n, 2, 28, 28].
    """
    how = cast(Background, recipe.background)
    plain = digits.inputs[:, 0] if digits.inputs.dim() == 4 else digits.inputs
    strange = strangers(plain, digits.targets, how.strangers, seed, progress)
    found = with_residue(strange, recipe.descent.distortion, seed, progress)
    order = torch.randperm(len(digits.targets), generator=torch.Generator().manual_seed(seed))
    known = digits.inputs[order[: 2 * how.strangers]]
    data = Split(torch.cat([known, found]), torch.cat([torch.zeros(len(known)), torch.ones(len(found))]))
    descent = msgspec.structs.replace(
        recipe.descent, optimiser=how.optimiser, batch=how.batch, epochs=how.epochs, teacher=None, background=None
    )
    its_recipe = msgspec.structs.replace(recipe, name=f"{recipe.name}'s background", task="binary", fit=descent)
    network.requires_grad_(requires_grad=False)
    network.background.requires_grad_()
    on_top = nn.Sequential(Hidden(network), *network.background)
    progress.run(its_recipe, seed, in_full=seed == recipe.seed)
    fit(ImageNetwork(network.scale, on_top, BothClasses()), data, its_recipe, seed, progress)
    network.eval()
