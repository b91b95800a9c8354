"""Training: one plain loop over tensors that already lie in memory, on the device.

Same seed, same machine, same number of threads: same weights.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from training.datasets import Dataset, Split
from training.errors import BelowBar
from training.networks import Network, VectorNetwork, build
from training.progress import Progress
from training.recipes.definition import SGD, Recipe


@dataclass(frozen=True)
class Trained:
    """A network, the data it came from, and how good it is on data that it never saw."""

    network: Network
    seed: int
    train: Split
    held_out: Split
    metrics: dict[str, float] = field(default_factory=dict)


def train(recipe: Recipe, dataset: Dataset, device: torch.device, progress: Progress) -> Trained:
    """Train with the recipe's seed, and with the other seeds of its bar; raise `BelowBar` if that is not reached."""
    seeds = [recipe.seed, *(seed for seed in range(recipe.bar.seeds) if seed != recipe.seed)][: recipe.bar.seeds]
    runs = []
    for seed in seeds:
        progress.run(recipe, seed, seeds)
        runs.append(train_once(recipe, dataset, seed, device, progress))
        progress.judged(runs[-1].metrics["accuracy"], len(runs[-1].held_out.targets))
    accuracies = torch.tensor([run.metrics["accuracy"] for run in runs], dtype=torch.float64)
    run = runs[0]
    if len(runs) > 1:
        run.metrics["accuracy_seeds"] = len(runs)
        run.metrics["accuracy_mean"] = round(accuracies.mean().item(), 6)
        run.metrics["accuracy_deviation"] = round(accuracies.std().item(), 6)
        run.metrics["accuracy_lowest"] = accuracies.min().item()
        run.metrics["accuracy_highest"] = accuracies.max().item()
    if accuracies.mean() < recipe.bar.accuracy:
        over = f" (mean of {len(runs)} seeds)" if len(runs) > 1 else ""
        raise BelowBar(
            f"{recipe.name}: held-out accuracy {accuracies.mean():.4f}{over} is below its bar "
            f"{recipe.bar.accuracy}: no bundle is written"
        )
    return run


def train_once(recipe: Recipe, dataset: Dataset, seed: int, device: torch.device, progress: Progress) -> Trained:
    """One network from one seed, judged on the held-out data, which is opened after the last epoch."""
    torch.manual_seed(seed)
    data = dataset.train(seed)
    network = build(recipe)
    if isinstance(network, VectorNetwork):
        network.standardise_by(data.inputs)
    network.to(device)
    fit(network, data.to(device), recipe, seed, progress)
    network.cpu().eval()
    held_out = dataset.held_out(seed)
    with torch.inference_mode():
        hits = network(held_out.inputs).argmax(dim=1) == held_out.targets
    return Trained(network, seed, data, held_out, {"accuracy": round(hits.double().mean().item(), 6)})


def fit(network: Network, data: Split, recipe: Recipe, seed: int, progress: Progress) -> None:
    """Gradient descent on the training data, mini-batch by mini-batch, in an order drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    loss_of = nn.CrossEntropyLoss()
    step = optimise(recipe.optimiser, network.layers.parameters())
    inputs = network.prepare(data.inputs)
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
        batches = zip(inputs[order].split(recipe.batch), data.targets[order].split(recipe.batch), strict=True)
        for batch, targets in progress.epoch(epoch, batches):
            logits = network.layers(batch)
            loss = loss_of(logits, targets)
            loss.backward()
            step()
            progress.seen(loss.detach(), logits.detach(), targets)


def optimise(optimiser: SGD, parameters: Iterable[nn.Parameter]) -> Callable[[], None]:
    """What is to be called after each backward pass.

    Plain SGD moves each parameter during that pass, as soon as its gradient is there and still in the cache, which
    makes the step a tenth shorter; nothing is left to do afterwards.
    """

    def descend(parameter: Tensor) -> None:
        parameter.data.add_(cast(Tensor, parameter.grad), alpha=-optimiser.rate)
        parameter.grad = None

    for parameter in parameters:
        parameter.register_post_accumulate_grad_hook(descend)
    return lambda: None
