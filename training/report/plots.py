"""Each picture of a report, as PNG. matplotlib's figures alone: no window, and no state that pictures share."""

import io
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray
from PIL import Image

from service.bundle.manifest import Feature
from training.datasets import Split
from training.networks.network import Network
from training.progress import Point
from training.recipes.recipe import Recipe
from training.report.evaluation import Calibration, Mistake

rcParams["text.parse_math"] = False  # names of data sets are text, whatever signs they hold

INK, PAPER, LOSS, GOOD = "#333333", "#ffffff", "#b5446e", "#3a6ea5"
CLASSES = ("#3a6ea5", "#c8553d", "#5b8e4d", "#8a5a9e")
SHOWN_UNITS = 10
DPI = 100


def png(figure: Figure) -> bytes:
    """The figure as a PNG of 256 colours: half the size, and no eye sees it."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, bbox_inches="tight", facecolor=PAPER)
    small = io.BytesIO()
    Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE).save(small, "PNG", optimize=True)
    return small.getvalue()


def axes(width: float = 6.0, height: float = 3.6) -> tuple[Figure, Axes]:
    """An empty picture, of so many inches."""
    figure = Figure(figsize=(width, height))
    drawn = figure.add_subplot()
    drawn.spines[["top", "right"]].set_visible(False)
    return figure, drawn


def learning_curve(curve: Sequence[Point]) -> bytes:
    """Loss, and accuracy where there is one, against passes over the data."""
    figure, left = axes()
    epochs, losses = [point.epoch for point in curve], [point.loss for point in curve]
    left.plot(epochs, losses, color=LOSS)
    left.set_xlabel("epochs")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_ylabel("loss", color=LOSS)
    left.set_yscale("log")
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    within_a_decade = max(losses) < 10 * min(losses)  # few powers of ten to label, if any
    left.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}") if within_a_decade else NullFormatter())
    left.grid(visible=True, alpha=0.25)
    accuracies = [point.accuracy for point in curve if point.accuracy is not None]
    if accuracies:
        right = left.twinx()
        right.spines["top"].set_visible(False)
        right.plot(epochs, accuracies, color=GOOD)
        right.set_ylabel("accuracy", color=GOOD)
        right.set_ylim(0, 1.02)
    return png(figure)


def drawn_network(recipe: Recipe) -> bytes:
    """Units as dots, layer by layer, with the parameters of each step between them."""
    figure, drawn = axes(1.6 * len(recipe.layers), 3.6)
    drawn.axis("off")
    drawn.set(xlim=(-0.6, len(recipe.layers) - 0.4), ylim=(-1.5, 1.4))
    heights = [np.linspace(1, -1, n + 2)[1:-1] for n in (min(units, SHOWN_UNITS) for units in recipe.layers)]
    for x, (left, right) in enumerate(itertools.pairwise(heights)):
        for a, b in itertools.product(left, right):
            drawn.plot((x, x + 1), (a, b), color=INK, linewidth=0.4, alpha=0.35, zorder=1)
        count = (recipe.layers[x] + 1) * recipe.layers[x + 1]
        drawn.text(x + 0.5, -1.15, f"{count:,}\nparameters", ha="center", va="top", fontsize=8, color=INK)
    ends = {"multiclass": "softmax", "binary": "sigmoid", "regression": "values"}
    for x, (units, ys) in enumerate(zip(recipe.layers, heights, strict=True)):
        drawn.scatter([x] * len(ys), ys, s=70, color=GOOD, edgecolors=PAPER, zorder=2)
        last = x == len(recipe.layers) - 1
        what = "inputs" if x == 0 else ends[recipe.task] if last else recipe.activation
        more = f" ({SHOWN_UNITS} shown)" if units > SHOWN_UNITS else ""
        drawn.text(x, 1.08, f"{units}{more}\n{what}", ha="center", va="bottom", fontsize=8, color=INK)
    return png(figure)


def confusion(counts: NDArray[np.int64], labels: Sequence[str]) -> bytes:
    """How many rows of each class (down) were taken for each (across); darker for a larger share of the row."""
    size = 1.6 + 0.5 * len(labels)
    figure, drawn = axes(size, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = PAPER if shares[row, column] > 0.5 else INK
        drawn.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour)
    places = range(len(labels))
    drawn.set_xticks(places, labels, rotation=45, ha="right")
    drawn.set_yticks(places, labels)
    drawn.set(xlabel="taken for", ylabel="is")
    return png(figure)


def calibration(found: Calibration) -> bytes:
    """How often it is right against how sure it is: on the diagonal, its probabilities mean what they say."""
    figure, drawn = axes(3.8, 3.6)
    drawn.plot((0, 1), (0, 1), color=INK, linewidth=0.8, linestyle=":")
    drawn.plot(found.confidence, found.accuracy, color=GOOD, marker="o", markersize=4)
    low = max(0.0, min(found.confidence.min(), found.accuracy.min()) - 0.05)
    drawn.set(xlabel="probability that it gives", ylabel="share that is right", xlim=(low, 1.01), ylim=(low, 1.01))
    drawn.grid(visible=True, alpha=0.25)
    return png(figure)


def boundary(drawn: Axes, network: Network, features: tuple[Feature, ...], points: Split | None = None) -> None:
    """The probability of the positive class over two features, its even odds as a line, and the points on it."""
    across, up = (_around(feature) for feature in features)
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype(np.float32)
    with torch.inference_mode():
        positive = network(torch.from_numpy(grid))[:, 1].numpy().reshape(len(up), len(across))
    colours = ListedColormap(_between(CLASSES[0], CLASSES[1], 11))
    drawn.contourf(across, up, positive, levels=np.linspace(0, 1, 12), cmap=colours, alpha=0.4)
    drawn.contour(across, up, positive, levels=[0.5], colors=INK, linewidths=1.2)
    if points is not None:
        dots = [CLASSES[i] for i in points.targets.tolist()]
        x, y = points.inputs.T.numpy()
        drawn.scatter(x, y, c=dots, s=18, edgecolors=INK, linewidths=0.5)
    drawn.set(xlabel=features[0].name, ylabel=features[1].name)


def plane(network: Network, features: tuple[Feature, ...], points: Split | None) -> bytes:
    """A decision boundary alone."""
    figure, drawn = axes(4.6, 4.0)
    boundary(drawn, network, features, points)
    return png(figure)


def line(network: Network, feature: Feature, names: Sequence[str], points: Split | None) -> bytes:
    """Every output over the one feature."""
    figure, drawn = axes()
    across = _around(feature)
    with torch.inference_mode():
        answers = network(torch.from_numpy(across.astype(np.float32)[:, None])).numpy()
    for name, answer, colour in zip(names, answers.T, itertools.cycle(CLASSES), strict=False):
        drawn.plot(across, answer, color=colour, label=name)
    if points is not None and points.targets.is_floating_point():
        drawn.scatter(points.inputs.numpy(), points.targets[:, 0].numpy(), color=INK, s=18, zorder=3)
    drawn.set(xlabel=feature.name, ylabel="value" if len(names) == 1 else "probability")
    drawn.legend(frameon=False)
    drawn.grid(visible=True, alpha=0.25)
    return png(figure)


def values(answers: NDArray[np.generic], targets: NDArray[np.generic], names: Sequence[str]) -> bytes:
    """Foretold against true, one panel a value."""
    figure = Figure(figsize=(3.4 * len(names), 3.4), layout="tight")
    for i, name in enumerate(names):
        drawn = figure.add_subplot(1, len(names), i + 1)
        drawn.scatter(targets[:, i], answers[:, i], s=12, color=GOOD)
        low, high = float(targets[:, i].min()), float(targets[:, i].max())
        drawn.plot((low, high), (low, high), color=INK, linewidth=0.8, linestyle=":")
        drawn.set(xlabel=f"{name}: true", ylabel="foretold")
    return png(figure)


def images(data: Split, rows: Sequence[tuple[int, str, bool]]) -> bytes:
    """Images of a data set by their rows, each under its caption: green when right, red when wrong."""
    figure = Figure(figsize=(6.4, 1.8 * -(-len(rows) // 4)), layout="tight")
    for place, (row, caption, right) in enumerate(rows):
        drawn = figure.add_subplot(-(-len(rows) // 4), 4, place + 1)
        drawn.imshow(data.inputs[row].numpy(), cmap="gray_r")
        drawn.set_title(caption, fontsize=9, color=CLASSES[2] if right else CLASSES[1])
        drawn.axis("off")
    return png(figure)


def mistaken(mistake: Mistake, labels: Sequence[str]) -> tuple[int, str, bool]:
    """A mistake as a row of `images`."""
    return mistake.row, f"{labels[mistake.truth]}, read as {labels[mistake.answer]}", False


def _around(feature: Feature) -> NDArray[np.float64]:
    """The range of a feature, and a quarter of it to either side."""
    beyond = (feature.maximum - feature.minimum) / 4
    return np.linspace(feature.minimum - beyond, feature.maximum + beyond, 160)


def _between(first: str, last: str, steps: int) -> list[tuple[float, ...]]:
    """Colours from one by white to the other."""
    ends = [np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]) for colour in (first, last)]
    shares = np.linspace(-1, 1, steps)
    return [tuple(1 - abs(share) * (1 - ends[int(share > 0)])) for share in shares]
