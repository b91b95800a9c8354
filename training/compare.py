"""One recipe trained with several optimisers or batch sizes, side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
import torch
from matplotlib.figure import Figure

from training.augmentation.normaliser_artifacts import with_artifacts
from training.datasets import Dataset, Split
from training.errors import TrainingError
from training.learning.curve import CurvePoint
from training.learning.fit import fit
from training.learning.optimisation import autograd_step
from training.learning.train import evaluate
from training.networks.network import build_initialised
from training.progress import Progress
from training.recipes.gradient_descent import SGD, Adagrad, Adam, Adamax, GradientDescent, Optimiser, RMSprop
from training.recipes.recipe import Recipe
from training.report import plots

MIN_HELD_OUT_ROWS = 4
COLOURS = ("#3a6ea5", "#c8553d", "#5b8e4d", "#8a5a9e", "#c49a2c")


@dataclass(frozen=True)
class Run:
    """One variant of the training: its learning curve, and its score, the recipe's metric on held-out rows."""

    variant: str
    curve: list[CurvePoint]
    score: float


def split_training_data(dataset: Dataset, rows: int, seed: int) -> tuple[Split, Split]:
    """A random sample of at most `rows` rows of the training data, split: five sixths to train on, a sixth held out.

    The data set's own held-out data is not read.
    """
    data = dataset.train(seed)
    order = torch.randperm(len(data.targets), generator=torch.Generator().manual_seed(seed))[:rows]
    train_rows = len(order) * 5 // 6
    first, last = order[:train_rows], order[train_rows:]
    return Split(data.inputs[first], data.targets[first]), Split(data.inputs[last], data.targets[last])


def variants(parameter: str, recipe: Recipe, rows: int) -> Iterator[tuple[str, GradientDescent]]:
    """The recipe's training with each optimiser (`parameter` "optimisers") or with each batch size ("batches").

    The recipe's own optimiser keeps its learning rate; the others have PyTorch's default (SGD: 0.01).
    """
    config = msgspec.structs.replace(recipe.gradient_descent, curve_every=0)
    if parameter == "optimisers":
        own = {type(config.optimiser): config.optimiser}
        defaults: tuple[Optimiser, ...] = (SGD(0.01), Adagrad(), Adam(), Adamax(), RMSprop())
        for optimiser in (own.get(type(default), default) for default in defaults):
            title = f"{type(optimiser).__name__} (learning rate {optimiser.learning_rate:g})"
            yield title, msgspec.structs.replace(config, optimiser=optimiser)
        return
    for batch_size in sorted({1, 12, 128, rows}):
        if batch_size <= rows:
            kind = {1: "stochastic", rows: "full batch"}.get(batch_size, "mini-batch")
            yield f"{kind} (batch size {batch_size})", msgspec.structs.replace(config, batch_size=batch_size)


def compare(
    parameter: str, recipe: Recipe, dataset: Dataset, rows: int, epochs: int, progress: Progress
) -> Iterator[Run]:
    """Train the recipe's network with each variant, from the same seed, on as many rows and for as many epochs.

    All variants use automatic differentiation, so that their times can be compared. Raises `TrainingError` if there are
    too few rows, `BadRecipe` for fixed weights, and `Diverged`.
    """
    train, held_out = split_training_data(dataset, rows, recipe.seed)
    distortion = recipe.gradient_descent.distortion
    train = Split(with_artifacts(train.inputs, distortion, recipe.seed, progress), train.targets)
    if len(held_out.targets) < MIN_HELD_OUT_ROWS:
        raise TrainingError(
            f"{recipe.name}: a sixth of {len(train.targets) + len(held_out.targets)} rows is too few for a comparison: "
            f"at least {6 * MIN_HELD_OUT_ROWS} are needed"
        )
    for title, config in variants(parameter, recipe, len(train.targets)):
        training = msgspec.structs.replace(config, epochs=epochs)
        variant = msgspec.structs.replace(recipe, name=f"{recipe.name}, {title}", training=training)
        progress.start_network(variant, recipe.seed, verbose=False)
        network = build_initialised(variant, train, recipe.seed)
        curve = fit(network, train, variant, recipe.seed, progress, autograd_step)
        score = evaluate(network.eval(), recipe, held_out)[recipe.acceptance.metric]
        yield Run(title, curve, score)


def plot_losses(runs: Iterable[Run], title: str) -> bytes:
    """The loss of each run over epochs and over seconds, as PNG."""
    figure = Figure(figsize=(10, 4), layout="tight")
    for i, (unit, field) in enumerate((("epochs", "epoch"), ("seconds", "seconds")), 1):
        ax = figure.add_subplot(1, 2, i)
        for run, colour in zip(runs, COLOURS, strict=False):
            xs, losses = [getattr(point, field) for point in run.curve], [point.loss for point in run.curve]
            ax.plot(xs, losses, color=colour, label=run.variant)
        ax.set(xlabel=unit, ylabel="loss", yscale="log", title=title if i == 1 else "")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(visible=True, alpha=0.25)
    ax.legend(frameon=False, fontsize=8)
    return plots.render_png(figure)
