"""Gradient descent, epoch by epoch: one plain loop over tensors that already lie in memory, on the device."""

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from training.augmentation.distortion import Distorter
from training.datasets import Split
from training.errors import Diverged
from training.learning import tasks
from training.learning.optimisation import StepOf, step_of
from training.networks.network import Network
from training.progress import Point, Progress
from training.recipes.recipe import ByHand, Distortion, Recipe


@torch.no_grad()
def fit(
    network: Network, data: Split, recipe: Recipe, seed: int, progress: Progress, step_of: StepOf = step_of
) -> list[Point]:
    """Gradient descent on the training data, mini-batch by mini-batch; returns the learning curve.

    Weights that were set by hand stay as they are, and have no curve. Raises `Diverged` when the loss is no number.
    """
    if isinstance(recipe.fit, ByHand):
        return []
    descent = recipe.fit
    generator = torch.Generator().manual_seed(seed)
    network.train()
    steps = descent.epochs * math.ceil(len(data.targets) / descent.batch)
    step = step_of(network.layers, recipe.task, descent, steps)
    look = Looks(network, descent.distortion, seed)
    inputs, targets = look.once(data.inputs), tasks.wanted(recipe.task, data.targets, network)
    curve: list[Point] = []
    started = time.monotonic()
    for epoch in range(descent.epochs):
        batches = list(shuffled(inputs, targets, descent.batch, generator))
        window = descent.trace or len(batches)
        for start in range(0, len(batches), window):
            part = batches[start : start + window]
            logits = torch.cat([step(look.again(seen), answers) for seen, answers in part])
            passed = epoch + min(1.0, (start + window) / len(batches))
            wanted = torch.cat([answers for _, answers in part])
            curve.append(_point(recipe, passed, time.monotonic() - started, logits, wanted))
            progress.learned(curve[-1])
            if not math.isfinite(curve[-1].loss):
                message = f"{recipe.name}: the loss is no number after epoch {passed:g}"
                raise Diverged(f"{message}: the rate {descent.optimiser.rate:g} is too high")
    return curve


class Looks:
    """How a network gets to see its training data: scaled once and for all, or distorted anew at every look."""

    def __init__(self, network: Network, distortion: Distortion | None, seed: int) -> None:
        self._scale = network.scale
        self._distort = Distorter(distortion, seed) if distortion else None

    def once(self, inputs: Tensor) -> Tensor:
        """What can be done before the first epoch."""
        return inputs if self._distort else self._scale(inputs)

    def again(self, inputs: Tensor) -> Tensor:
        """What must be done for every mini-batch."""
        return self._scale(self._distort(inputs)) if self._distort else inputs


def shuffled(
    inputs: Tensor, targets: Tensor, batch: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """The rows in mini-batches, in an order drawn by the seed."""
    if batch >= len(inputs):
        return iter([(inputs, targets)])
    order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
    return zip(inputs[order].split(batch), targets[order].split(batch), strict=True)


def _point(recipe: Recipe, epoch: float, seconds: float, logits: Tensor, targets: Tensor) -> Point:
    accuracy = None if recipe.task == "regression" else tasks.right(recipe.task, logits, targets) / len(targets)
    return Point(epoch, seconds, tasks.loss(recipe.task, logits, targets).item(), accuracy)
