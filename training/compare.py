"""One recipe trained in several ways, side by side: by each optimiser, or in batches of several sizes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
import torch
from matplotlib.figure import Figure

from training.augmentation.normaliser_artifacts import with_residue
from training.datasets import Dataset, Split
from training.errors import TrainingError
from training.learning.fit import fit
from training.learning.optimisation import automatic
from training.learning.train import judge
from training.networks.network import prepared
from training.progress import Point, Progress
from training.recipes.recipe import SGD, Adagrad, Adam, Adamax, Descent, Optimiser, Recipe, RMSprop
from training.report import plots

FEWEST = 4  # rows to be judged on
HUES = ("#3a6ea5", "#c8553d", "#5b8e4d", "#8a5a9e", "#c49a2c")


@dataclass(frozen=True)
class Shortened:
    """The first rows of another data set's training part, of which the last sixth is held out: no test row is read."""

    whole: Dataset
    rows: int

    def split(self, seed: int) -> tuple[Split, Split]:
        """What is learned from, and what is not; drawn by the seed."""
        data = self.whole.train(seed)
        order = torch.randperm(len(data.targets), generator=torch.Generator().manual_seed(seed))[: self.rows]
        learned = len(order) * 5 // 6
        first, last = order[:learned], order[learned:]
        return Split(data.inputs[first], data.targets[first]), Split(data.inputs[last], data.targets[last])


@dataclass(frozen=True)
class Run:
    """One way to train, how it went, and what it reached on rows that were not learned from."""

    way: str
    curve: list[Point]
    reached: float


def ways(what: str, recipe: Recipe, rows: int) -> Iterator[tuple[str, Descent]]:
    """The recipe's descent, changed: by each optimiser, or by each size of a batch.

    An optimiser has PyTorch's default rate (SGD 0.01), but for the recipe's own, which keeps its rate.
    """
    descent = msgspec.structs.replace(recipe.descent, trace=0)
    if what == "optimisers":
        own = {type(descent.optimiser): descent.optimiser}
        defaults: tuple[Optimiser, ...] = (SGD(0.01), Adagrad(), Adam(), Adamax(), RMSprop())
        for optimiser in (own.get(type(default), default) for default in defaults):
            name = type(optimiser).__name__
            yield f"{name}, rate {optimiser.rate:g}", msgspec.structs.replace(descent, optimiser=optimiser)
        return
    for batch in sorted({1, 12, 128, rows}):
        if batch <= rows:
            name = {1: "stochastic", rows: "whole batch"}.get(batch, "mini-batch")
            count = "1 row" if batch == 1 else f"{batch} rows"
            yield f"{name}, {count} a step", msgspec.structs.replace(descent, batch=batch)


def compare(what: str, recipe: Recipe, dataset: Dataset, rows: int, epochs: int, progress: Progress) -> Iterator[Run]:
    """Train the recipe's network from its seed in each way, on as many rows and for as many epochs.

    All of them by automatic differentiation, so that their seconds can be compared too.
    """
    learned, held_out = Shortened(dataset, rows).split(recipe.seed)
    inputs = with_residue(learned.inputs, recipe.descent.distortion, recipe.seed, progress)
    learned = Split(inputs, learned.targets)
    if len(held_out.targets) < FEWEST:
        raise TrainingError(
            f"{recipe.name}: a sixth of {len(learned.targets) + len(held_out.targets)} rows is too few to compare on: "
            f"at least {6 * FEWEST} are needed"
        )
    for way, descent in ways(what, recipe, len(learned.targets)):
        changed = msgspec.structs.replace(
            recipe, name=f"{recipe.name}, {way}", fit=msgspec.structs.replace(descent, epochs=epochs)
        )
        progress.run(changed, recipe.seed, in_full=False)
        network = prepared(changed, learned, recipe.seed)
        curve = fit(network, learned, changed, recipe.seed, progress, automatic)
        yield Run(way, curve, judge(network.eval(), recipe, held_out)[recipe.bar.metric])


def drawn(runs: Iterable[Run], title: str) -> bytes:
    """The loss of each, against epochs and against seconds."""
    figure = Figure(figsize=(10, 4), layout="tight")
    for place, (name, of) in enumerate((("epochs", "epoch"), ("seconds", "seconds")), 1):
        axes = figure.add_subplot(1, 2, place)
        for run, hue in zip(runs, HUES, strict=False):
            axes.plot([getattr(p, of) for p in run.curve], [p.loss for p in run.curve], color=hue, label=run.way)
        axes.set(xlabel=name, ylabel="loss", yscale="log", title=title if place == 1 else "")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return plots.png(figure)
