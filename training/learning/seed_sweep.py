"""Many small networks trained at once, as one batch: what is a matter of luck takes many draws to be seen."""

import copy

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from training.datasets import Split
from training.learning import tasks
from training.learning.optimisation import optimiser_of
from training.networks.network import prepared
from training.recipes.recipe import Descent, Recipe


def trials(recipe: Recipe, descent: Descent, data: Split) -> Tensor:
    """Train the recipe's network from seeds 0 to `recipe.trials` - 1, each step on all rows of the data.

    Returns the logits of each for every row: FP32 [trials, n, units]. Each network moves by the gradient of its own
    loss alone: the losses are added up, and no parameter takes part in two of them.
    """
    networks = [prepared(recipe, data, seed) for seed in range(recipe.trials)]
    parameters, buffers = stack_module_state([network.layers for network in networks])
    shape = copy.deepcopy(networks[0].layers).to("meta")
    inputs = networks[0].scale(data.inputs)
    targets = tasks.wanted(recipe.task, data.targets, networks[0])

    def logits(weights: dict[str, Tensor], others: dict[str, Tensor]) -> Tensor:
        answer: Tensor = functional_call(shape, (weights, others), (inputs,))
        return answer

    def loss(weights: dict[str, Tensor], others: dict[str, Tensor]) -> Tensor:
        return tasks.loss(recipe.task, logits(weights, others), targets)

    optimiser = optimiser_of(descent, list(parameters.values()))
    for _ in range(descent.epochs):
        optimiser.zero_grad()
        vmap(loss)(parameters, buffers).sum().backward()
        optimiser.step()
    with torch.no_grad():
        answers: Tensor = vmap(logits)(parameters, buffers)
    return answers


def reaching(recipe: Recipe, descent: Descent, data: Split) -> int:
    """How many of the trials classify at least the bar's share of the rows as they should."""
    targets = tasks.wanted(recipe.task, data.targets, prepared(recipe, data, recipe.seed))
    found = [tasks.right(recipe.task, logits, targets) for logits in trials(recipe, descent, data)]
    return sum(right >= recipe.bar.value * len(targets) for right in found)
