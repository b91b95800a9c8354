"""One step of gradient descent on a mini-batch, as a recipe asks for it."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from training import tasks
from training.backprop import descend, linear_layers
from training.recipes.definition import SGD, Adagrad, Adam, Adamax, Descent, Optimiser, Recipe, RMSprop

Step = Callable[[Tensor, Tensor], Tensor]
"""Learn from inputs [n, features] and `wanted` targets [n, units]; return the logits [n, units] from before."""

StepOf = Callable[[nn.Sequential, Recipe, Descent], Step]

OPTIMISERS: dict[type[Optimiser], type[torch.optim.Optimizer]] = {
    SGD: torch.optim.SGD,
    Adagrad: torch.optim.Adagrad,
    RMSprop: torch.optim.RMSprop,
    Adam: torch.optim.Adam,
    Adamax: torch.optim.Adamax,
}


def optimiser_of(descent: Descent, parameters: "list[Tensor]") -> torch.optim.Optimizer:
    """PyTorch's optimiser of that name, with the rate and the L2 penalty of the recipe."""
    kind = OPTIMISERS[type(descent.optimiser)]
    return kind(parameters, lr=descent.optimiser.rate, weight_decay=descent.l2)  # type: ignore[call-arg]


def step_of(layers: nn.Sequential, recipe: Recipe, descent: Descent) -> Step:
    """The step for this recipe: the written-out one where it fits, automatic differentiation elsewhere."""
    plain = isinstance(descent.optimiser, SGD) and not descent.dropout and not descent.l2
    if plain and recipe.task == "multiclass" and recipe.activation == "relu":
        return partial(descend, linear_layers(layers), rate=descent.optimiser.rate)
    return automatic(layers, recipe, descent)


def automatic(layers: nn.Sequential, recipe: Recipe, descent: Descent) -> Step:
    """Forward, loss, backward by PyTorch's automatic differentiation, and the optimiser's step."""
    optimiser = optimiser_of(descent, list(layers.parameters()))

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        optimiser.zero_grad()
        with torch.enable_grad():
            logits: Tensor = layers(inputs)
            tasks.loss(recipe.task, logits, targets).backward()
        optimiser.step()
        return logits.detach()

    return step
