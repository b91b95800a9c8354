"""One step of gradient descent on a mini-batch, as a recipe asks for it."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from service.bundle.manifest import Task
from training.learning import tasks
from training.learning.backprop import descend, linear_layers
from training.recipes.recipe import SGD, Adagrad, Adam, Adamax, AdamW, Descent, Optimiser, RMSprop

Step = Callable[[Tensor, Tensor], Tensor]
"""Learn from inputs [n, features] and `wanted` targets [n, units]; return the logits [n, units] from before."""

StepOf = Callable[[nn.Sequential, Task, Descent, int], Step]
"""Makes the step for these layers; the last argument is how many steps there will be."""

CYCLE_UP = 0.1  # of the steps: so long the rate of one cycle rises

OPTIMISERS: dict[type[Optimiser], type[torch.optim.Optimizer]] = {
    SGD: torch.optim.SGD,
    Adagrad: torch.optim.Adagrad,
    RMSprop: torch.optim.RMSprop,
    Adam: torch.optim.Adam,
    AdamW: torch.optim.AdamW,
    Adamax: torch.optim.Adamax,
}


def optimiser_of(descent: Descent, parameters: "list[Tensor]") -> torch.optim.Optimizer:
    """PyTorch's optimiser of that name, with the rate and the L2 penalty of the recipe."""
    kind = OPTIMISERS[type(descent.optimiser)]
    return kind(parameters, lr=descent.optimiser.rate, weight_decay=descent.l2)  # type: ignore[call-arg]


def in_precision(descent: Descent, inputs: Tensor) -> torch.autocast:
    """In this context matrix products are computed as precisely as the recipe asks for."""
    return torch.autocast(inputs.device.type, torch.bfloat16, enabled=descent.precision == "bfloat16")


def step_of(layers: nn.Sequential, task: Task, descent: Descent, steps: int) -> Step:
    """A step for these layers: the written-out one where it fits, automatic differentiation elsewhere."""
    relu = all(isinstance(layer, (nn.Linear, nn.ReLU)) for layer in layers)
    if relu and task == "multiclass" and _is_plain(descent):
        return partial(descend, linear_layers(layers), rate=descent.optimiser.rate)
    return automatic(layers, task, descent, steps)


def _is_plain(descent: Descent) -> bool:
    return isinstance(descent.optimiser, SGD) and not (descent.l2 or descent.teacher or descent.schedule != "constant")


def automatic(layers: nn.Sequential, task: Task, descent: Descent, steps: int) -> Step:
    """Forward, loss, backward by PyTorch's automatic differentiation, and the optimiser's step."""
    optimiser = optimiser_of(descent, list(layers.parameters()))
    rate = descent.optimiser.rate
    temperature = descent.teacher.temperature if descent.teacher else 1.0
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None
    if descent.schedule == "one-cycle" and steps > 2:
        rises = max(CYCLE_UP, 2 / steps)  # for two steps at least: its scheduler divides by one less
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=rises)

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        optimiser.zero_grad()
        with torch.enable_grad():
            with in_precision(descent, inputs):
                logits: Tensor = layers(inputs).float()
            # Softening by T makes gradients smaller by its square.
            (tasks.loss(task, logits / temperature, targets) * temperature**2).backward()
        optimiser.step()
        if schedule:
            schedule.step()
        return logits.detach()

    return step
