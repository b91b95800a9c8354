"""The training loop: epochs over mini-batches of tensors in memory, on the device."""

import math
import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from training.augmentation.distortion import Distorter
from training.datasets.dataset import Split
from training.errors import Diverged
from training.learning import tasks
from training.learning.curve import CurvePoint
from training.learning.early_stopping import EarlyStopping
from training.learning.optimisation import StepFactory, make_step
from training.networks.network import Network
from training.progress import Progress
from training.recipes.gradient_descent import Distortion
from training.recipes.recipe import FixedWeights, Recipe


@torch.no_grad()  # only the training steps by automatic differentiation enable gradients
def fit(
    network: Network, train: Split, recipe: Recipe, seed: int, progress: Progress, step_factory: StepFactory = make_step
) -> list[CurvePoint]:
    """Train the network on the training data, mini-batch by mini-batch; return the learning curve.

    A network with fixed weights is not changed, and its curve is empty. Raises `Diverged` if the loss becomes NaN or
    infinite.
    """
    if isinstance(recipe.training, FixedWeights):
        return []
    config = recipe.training
    generator = torch.Generator().manual_seed(seed)
    network.train()
    steps = config.epochs * math.ceil(len(train.targets) / config.batch_size)
    pipeline = InputPipeline(network, config.distortion, seed)
    inputs, encoded = pipeline.prepare(train.inputs), tasks.encode_targets(recipe.task, train.targets, network)
    weights = tasks.balanced_class_weights(encoded) if config.class_weights else None
    if weights is not None:
        step_factory = partial(make_step, class_weights=weights)
    step = step_factory(network.layers, recipe.task, config, steps)
    stopping = (
        EarlyStopping(network, recipe, train.validation, weights) if config.patience and train.validation else None
    )
    curve: list[CurvePoint] = []
    started = time.monotonic()
    for epoch in range(config.epochs):
        batches = list(shuffled_batches(inputs, encoded, config.batch_size, generator))
        window = config.curve_every or len(batches)
        for start in range(0, len(batches), window):
            part = batches[start : start + window]
            logits = torch.cat([step(pipeline.augment(batch), batch_encoded) for batch, batch_encoded in part])
            part_encoded = torch.cat([batch_encoded for _, batch_encoded in part])
            epochs = epoch + min(1.0, (start + window) / len(batches))
            curve.append(_curve_point(recipe, epochs, time.monotonic() - started, logits, part_encoded))
            progress.update(curve[-1])
            if not math.isfinite(curve[-1].loss):
                message = f"{recipe.name}: the loss is NaN or infinite after epoch {epochs:g}"
                learning_rate = config.optimiser.learning_rate
                raise Diverged(f"{message}: the learning rate {learning_rate:g} is probably too high")
        if stopping and stopping.is_over():
            break
    if stopping:
        stopping.restore_best()
    return curve


class InputPipeline:
    """Scales raw inputs once before training, or, with distortions, distorts and scales every mini-batch."""

    def __init__(self, network: Network, distortion: Distortion | None, seed: int) -> None:
        self._scale = network.scale
        self._distort = Distorter(distortion, seed) if distortion else None

    def prepare(self, inputs: Tensor) -> Tensor:
        """All raw inputs, before the first epoch: scaled inputs, or raw ones if they will be distorted."""
        return inputs if self._distort else self._scale(inputs)

    def augment(self, inputs: Tensor) -> Tensor:
        """A mini-batch of prepared inputs: scaled inputs FP32 [n, features], distorted if the recipe says so."""
        return self._scale(self._distort(inputs)) if self._distort else inputs


def shuffled_batches(
    inputs: Tensor, targets: Tensor, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets in mini-batches, in random order; all rows in their own order if they fit in one batch."""
    if batch_size >= len(inputs):
        return iter([(inputs, targets)])
    order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
    return zip(inputs[order].split(batch_size), targets[order].split(batch_size), strict=True)


def _curve_point(recipe: Recipe, epoch: float, seconds: float, logits: Tensor, targets: Tensor) -> CurvePoint:
    classifies = recipe.task in ("binary", "multiclass")
    accuracy = tasks.count_correct(recipe.task, logits, targets) / len(targets) if classifies else None
    return CurvePoint(epoch, seconds, tasks.loss(recipe.task, logits, targets).item(), accuracy)
