"""A seed sweep: the same small network trained from many seeds, as one batch, to count how often training converges."""

import copy

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from training.datasets.dataset import Split
from training.learning import tasks
from training.learning.optimisation import build_optimiser
from training.networks.network import build_initialised
from training.recipes.recipe import Recipe


def train_sweep(recipe: Recipe, train: Split) -> Tensor:
    """Train the network from the seeds 0 to `recipe.sweep_seeds` - 1, in full batches.

    Returns the logits of each network for all rows: FP32 [seeds, n, units]. The networks are independent: the losses
    are added up, and each parameter occurs in one of them only.
    """
    config = recipe.gradient_descent
    networks = [build_initialised(recipe, train, seed) for seed in range(recipe.sweep_seeds)]
    parameters, buffers = stack_module_state([network.layers for network in networks])
    template = copy.deepcopy(networks[0].layers).to("meta")
    inputs = networks[0].scale(train.inputs)
    encoded = tasks.encode_targets(recipe.task, train.targets, networks[0])

    def logits(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        outputs: Tensor = functional_call(template, (parameters, buffers), (inputs,))
        return outputs

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        return tasks.loss(recipe.task, logits(parameters, buffers), encoded)

    optimiser = build_optimiser(config, list(parameters.values()))
    for _ in range(config.epochs):
        optimiser.zero_grad()
        vmap(loss)(parameters, buffers).sum().backward()
        optimiser.step()
    with torch.no_grad():
        all_logits: Tensor = vmap(logits)(parameters, buffers)
    return all_logits


def count_converged(recipe: Recipe, train: Split) -> int:
    """How many networks of the seed sweep reach the acceptance threshold on the training data."""
    encoded = tasks.encode_targets(recipe.task, train.targets, build_initialised(recipe, train, recipe.seed))
    correct = [tasks.count_correct(recipe.task, logits, encoded) for logits in train_sweep(recipe, train)]
    return sum(count >= recipe.acceptance.threshold * len(encoded) for count in correct)
