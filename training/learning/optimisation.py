"""One step of gradient descent on a mini-batch, as a recipe configures it."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from service.bundle.manifest import Task
from training.learning import tasks
from training.learning.backprop import sgd_step
from training.networks.mlp import linear_parameters
from training.recipes.gradient_descent import SGD, Adagrad, Adam, Adamax, AdamW, GradientDescent, Optimiser, RMSprop

TrainingStep = Callable[[Tensor, Tensor], Tensor]
"""Takes scaled inputs [n, features] and encoded targets [n, units], and updates the weights; returns the logits
[n, units] from before the update."""

StepFactory = Callable[[nn.Sequential, Task, GradientDescent, int], TrainingStep]
"""Makes the training step of these layers; the last argument is the number of steps of the whole training."""

WARMUP_FRACTION = 0.1  # of the steps of a one-cycle schedule, in which the learning rate rises

OPTIMISERS: dict[type[Optimiser], type[torch.optim.Optimizer]] = {
    SGD: torch.optim.SGD,
    Adagrad: torch.optim.Adagrad,
    RMSprop: torch.optim.RMSprop,
    Adam: torch.optim.Adam,
    AdamW: torch.optim.AdamW,
    Adamax: torch.optim.Adamax,
}


def build_optimiser(config: GradientDescent, parameters: "list[Tensor]") -> torch.optim.Optimizer:
    """PyTorch's optimiser, with the learning rate and the weight decay of the recipe."""
    optimiser = OPTIMISERS[type(config.optimiser)]
    learning_rate = config.optimiser.learning_rate
    return optimiser(parameters, lr=learning_rate, weight_decay=config.weight_decay)  # type: ignore[call-arg]


def autocast(config: GradientDescent, inputs: Tensor) -> torch.autocast:
    """The context in which matrix products are computed with the precision of the recipe."""
    return torch.autocast(inputs.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")


def make_step(
    layers: nn.Sequential, task: Task, config: GradientDescent, steps: int, class_weights: Tensor | None = None
) -> TrainingStep:
    """The training step of these layers: the written-out one if it applies, else automatic differentiation."""
    relu = all(isinstance(layer, (nn.Linear, nn.ReLU)) for layer in layers)
    if relu and task == "multiclass" and _is_plain_sgd(config):
        return partial(sgd_step, linear_parameters(layers), learning_rate=config.optimiser.learning_rate)
    return autograd_step(layers, task, config, steps, class_weights=class_weights)


def _is_plain_sgd(config: GradientDescent) -> bool:
    extras = (
        config.weight_decay
        or config.teacher
        or config.class_weights
        or config.schedule != "constant"
        or config.precision != "float32"
    )
    return isinstance(config.optimiser, SGD) and not extras


def autograd_step(
    layers: nn.Sequential,
    task: Task,
    config: GradientDescent,
    steps: int,
    temperature: float = 1.0,
    class_weights: Tensor | None = None,
) -> TrainingStep:
    """The training step by automatic differentiation: forward, loss, backward, optimiser and schedule.

    `temperature` divides the logits in the loss; only knowledge distillation uses another one than 1.
    """
    optimiser = build_optimiser(config, list(layers.parameters()))
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None
    if config.schedule == "one-cycle" and steps > 2:
        warmup = max(WARMUP_FRACTION, 2 / steps)  # at least two steps: OneCycleLR divides by their number minus 1
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, config.optimiser.learning_rate, total_steps=steps, pct_start=warmup
        )

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        optimiser.zero_grad()
        with torch.enable_grad():
            with autocast(config, inputs):
                logits: Tensor = layers(inputs).float()
            # A temperature T divides the gradients by T squared.
            (tasks.loss(task, logits / temperature, targets, class_weights) * temperature**2).backward()
        optimiser.step()
        if schedule:
            schedule.step()
        return logits.detach()

    return step
