"""Training: one plain loop over tensors that already lie in memory, on the device.

Same seed, same machine, same number of threads: same weights.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from training import tasks
from training.check import check
from training.datasets import Dataset, Split
from training.descent import StepOf, step_of
from training.distort import Distorter
from training.errors import BelowBar, Diverged, TrainingError
from training.networks import Network, folded, prepared
from training.progress import Point, Progress
from training.recipes.definition import ByHand, Descent, Distortion, Recipe, Teacher
from training.teacher import learning_from, untaught
from training.trials import reaching


@dataclass(frozen=True)
class Trained:
    """A network, the data it came from, how it learned, and how good it is on data that it never saw.

    `held_out` is None where all there is was learned from; the metrics are of that then.
    """

    network: Network
    seed: int
    train: Split
    held_out: Split | None
    curve: list[Point]
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def judged_on(self) -> Split:
        """The rows that the metrics are of."""
        return self.held_out or self.train


def device_named(name: str) -> torch.device:
    """`auto` (CUDA if it answers), `cpu` or `cuda`; raises `TrainingError` for a `cuda` that is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: PyTorch finds no CUDA GPU here; --device cpu trains without one")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def train(recipe: Recipe, dataset: Dataset, device: torch.device, threads: int, progress: Progress) -> Trained:
    """Train with the recipe's seed, and with the other seeds of its bar; raise `BelowBar` if that is not reached."""
    torch.set_num_threads(threads)
    metric, bar = recipe.bar.metric, recipe.bar.value
    seeds = [recipe.seed, *(seed for seed in range(recipe.bar.seeds) if seed != recipe.seed)][: recipe.bar.seeds]
    runs = []
    for seed in seeds:
        progress.run(recipe, seed, in_full=seed == recipe.seed)
        runs.append(train_once(recipe, dataset, seed, device, progress))
        progress.judged(metric, runs[-1].metrics[metric], held_out=runs[-1].held_out is not None)
    run = runs[0]
    found = torch.tensor([run.metrics[metric] for run in runs], dtype=torch.float64)
    if len(runs) > 1:
        run.metrics[f"{metric}_seeds"] = len(runs)
        run.metrics[f"{metric}_mean"] = round(found.mean().item(), 6)
        run.metrics[f"{metric}_deviation"] = round(found.std().item(), 6)
        run.metrics[f"{metric}_lowest"] = found.min().item()
        run.metrics[f"{metric}_highest"] = found.max().item()
        if run.held_out:
            on_train = [run.metrics[f"train_{metric}"] for run in runs]
            run.metrics[f"train_{metric}_mean"] = round(sum(on_train) / len(runs), 6)
    if recipe.trials:
        run.metrics["trials"] = recipe.trials
        run.metrics["trials_reaching_bar"] = reaching(recipe, recipe.descent, run.train)
    if found.mean() < bar:
        over = f" (mean of {len(runs)} seeds)" if len(runs) > 1 else ""
        judged = "held-out " if run.held_out else ""
        raise BelowBar(
            f"{recipe.name}: {judged}{metric} {found.mean():.4f}{over} is below its bar {bar}: no bundle is written"
        )
    return run


def train_once(recipe: Recipe, dataset: Dataset, seed: int, device: torch.device, progress: Progress) -> Trained:
    """One network from one seed, judged on the held-out data, which is opened after the last epoch."""
    data = dataset.train(seed)
    check(recipe, dataset, data)
    way = taught(recipe, data.to(device), seed, progress) if _has_teacher(recipe) else step_of
    network = prepared(recipe, data, seed).to(device)
    curve = fit(network, data.to(device), recipe, seed, progress, way)
    network.cpu().eval()
    network.layers = folded(network.layers)
    held_out = dataset.held_out(seed)
    trained = Trained(network, seed, data, held_out, curve)
    trained.metrics.update(judge(network, recipe, trained.judged_on))
    if held_out:
        on_train = judge(network, recipe, data)
        trained.metrics[f"train_{recipe.bar.metric}"] = on_train[recipe.bar.metric]
    return trained


def _has_teacher(recipe: Recipe) -> bool:
    return isinstance(recipe.fit, Descent) and recipe.fit.teacher is not None


def taught(recipe: Recipe, data: Split, seed: int, progress: Progress) -> StepOf:
    """Train the recipe's teacher; what comes back makes steps that learn from it."""
    teacher = cast(Teacher, recipe.descent.teacher)
    network, its_recipe = untaught(recipe, teacher, seed)
    progress.run(its_recipe, seed, in_full=seed == recipe.seed)
    fit(network.to(data.inputs.device), data, its_recipe, seed, progress)
    progress.run(recipe, seed, in_full=seed == recipe.seed)
    return learning_from(network)


def judge(network: Network, recipe: Recipe, data: Split) -> dict[str, float]:
    """What the network's answers to this data are worth."""
    with torch.inference_mode():
        return tasks.judge(recipe.task, network(data.inputs), data.targets)


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
        return self._distort.prepared(inputs) if self._distort else self._scale(inputs)

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
