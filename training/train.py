"""Training: one plain loop over tensors that already lie in memory, on the device.

Same seed, same machine, same number of threads: same weights.
"""

from dataclasses import dataclass, field

import torch
from torch.nn.functional import one_hot

from training.backprop import descend, linear_layers
from training.datasets import Dataset, Split
from training.errors import BelowBar, TrainingError
from training.networks import Network, VectorNetwork, build
from training.progress import Progress
from training.recipes.definition import Recipe


@dataclass(frozen=True)
class Trained:
    """A network, the data it came from, and how good it is on data that it never saw."""

    network: Network
    seed: int
    train: Split
    held_out: Split
    metrics: dict[str, float] = field(default_factory=dict)


def device_named(name: str) -> torch.device:
    """`auto` (CUDA if it answers), `cpu` or `cuda`; raises `TrainingError` for a `cuda` that is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: PyTorch finds no CUDA GPU here; --device cpu trains without one")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def train(recipe: Recipe, dataset: Dataset, device: torch.device, threads: int, progress: Progress) -> Trained:
    """Train with the recipe's seed, and with the other seeds of its bar; raise `BelowBar` if that is not reached."""
    torch.set_num_threads(threads)
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


@torch.no_grad()
def fit(network: Network, data: Split, recipe: Recipe, seed: int, progress: Progress) -> None:
    """Gradient descent on the training data, mini-batch by mini-batch, in an order drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    layers = linear_layers(network.layers)
    inputs = network.prepare(data.inputs)
    targets = one_hot(data.targets, recipe.layers[-1]).to(inputs.dtype)
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
        batches = zip(inputs[order].split(recipe.batch), targets[order].split(recipe.batch), strict=True)
        for batch, wanted in progress.epoch(epoch, list(batches)):
            logits = descend(layers, batch, wanted, recipe.optimiser.rate)
            progress.seen(logits, wanted)
