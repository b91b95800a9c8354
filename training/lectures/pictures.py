"""Plots of the lectures' activation functions and decision boundaries, as PNG."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import torch
from matplotlib.figure import Figure

from training.datasets import open_dataset
from training.lectures import worked_examples
from training.lectures.rows import LatestBundles
from training.recipes import RECIPES
from training.recipes.recipe import Activation
from training.report import plots


def render_pictures(bundles: LatestBundles) -> Iterator[tuple[str, bytes]]:
    """Pictures (PNG) with their file names: activations, and decision boundaries side by side."""
    yield "activations.png", plot_activations()
    for name, recipes in {
        "gates": ("and-by-hand", "or-by-hand", "xor-by-hand", "xor"),
        "versicolor": (
            "versicolor-neuron",
            "versicolor-by-hand",
            "versicolor-by-hand-or",
            "versicolor-sepal",
            "versicolor-petal",
        ),
        "moons": ("moons-logistic", "moons-mlp", "moons-deep", "moons-deep-l2"),
        "spirals": ("spirals-logistic", "spirals-mlp", "spirals-deep", "spirals-deep-l2"),
    }.items():
        yield f"{name}.png", plot_boundaries(bundles, recipes)


def plot_activations() -> bytes:
    """Each activation function over -5 to 5, with its derivative."""
    x = torch.linspace(-5, 5, 401)
    names = [name for name in get_args(Activation) if name != "none"]
    figure = Figure(figsize=(12, 3), layout="tight")
    for i, name in enumerate(names, 1):
        ax = figure.add_subplot(1, len(names), i)
        values, derivatives = worked_examples.activation_and_derivative(name, x)
        ax.plot(x.numpy(), values.numpy(), color=plots.MAIN_COLOUR, label=name)
        ax.plot(x.numpy(), derivatives.numpy(), color=plots.LOSS_COLOUR, linestyle="--", label="derivative")
        ax.legend(frameon=False, fontsize=8)
        ax.grid(visible=True, alpha=0.25)
    return plots.render_png(figure)


def plot_boundaries(bundles: LatestBundles, names: tuple[str, ...]) -> bytes:
    """The decision boundaries of several recipes side by side, with their training data."""
    figure = Figure(figsize=(3.6 * len(names), 3.6), layout="tight")
    for i, name in enumerate(names, 1):
        ax = figure.add_subplot(1, len(names), i)
        bundle = bundles.bundle(name)
        points = open_dataset(RECIPES[name].dataset, Path()).train(bundle.seed)
        plots.draw_decision_boundary(ax, bundles.network(name), bundle.features, points)
        metrics = bundle.metrics
        on_train = metrics.get("train_accuracy", metrics["accuracy"])
        held_out = f", held out {metrics['accuracy']:.3f}" if "train_accuracy" in metrics else ""
        ax.set_title(f"{name}, seed {bundle.seed}\naccuracy: training {on_train:.3f}{held_out}", fontsize=10)
    return plots.render_png(figure)
