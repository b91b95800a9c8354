"""The plots of a report, as PNG, by matplotlib's `Figure` alone: without windows and without pyplot's global state."""

import io
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray
from PIL import Image

from service.bundle.manifest import Column
from training.datasets.dataset import Split
from training.learning.curve import CurvePoint
from training.networks.network import Network
from training.recipes.recipe import Recipe
from training.report.evaluation import Calibration

rcParams["text.parse_math"] = False  # a $ in the names of a data set is a dollar sign

DARK, WHITE, LOSS_COLOUR, MAIN_COLOUR = "#333333", "#ffffff", "#b5446e", "#3a6ea5"
CLASS_COLOURS = ("#3a6ea5", "#c8553d", "#5b8e4d", "#8a5a9e")
RUN_COLOURS = (*CLASS_COLOURS, "#c49a2c", "#777777")
CORRECT_COLOUR, WRONG_COLOUR = CLASS_COLOURS[2], CLASS_COLOURS[1]
MAX_DRAWN_UNITS = 10  # of a layer
DPI = 100


def render_png(figure: Figure) -> bytes:
    """The figure as a PNG of 256 colours: half the size, without a visible difference."""
    full = io.BytesIO()
    figure.savefig(full, format="png", dpi=DPI, bbox_inches="tight", facecolor=WHITE)
    small = io.BytesIO()
    Image.open(full).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE).save(small, "PNG", optimize=True)
    return small.getvalue()


def _new_figure(width: float = 6.0, height: float = 3.6) -> tuple[Figure, Axes]:
    """An empty figure of this size, in inches, with one pair of axes."""
    figure = Figure(figsize=(width, height))
    ax = figure.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def plot_learning_curve(curve: Sequence[CurvePoint], unit: str = "epoch") -> bytes:
    """Loss, and accuracy of a classifier, over epochs, or whatever the curve counts."""
    figure, ax = _new_figure()
    epochs, losses = [point.epoch for point in curve], [point.loss for point in curve]
    ax.plot(epochs, losses, color=LOSS_COLOUR)
    ax.set_xlabel(unit)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("loss", color=LOSS_COLOUR)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    within_a_decade = max(losses) < 10 * min(losses)  # at most one power of ten is on the axis then
    ax.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}") if within_a_decade else NullFormatter())
    ax.grid(visible=True, alpha=0.25)
    accuracies = [point.accuracy for point in curve if point.accuracy is not None]
    if accuracies:
        right_ax = ax.twinx()
        right_ax.spines["top"].set_visible(False)
        right_ax.plot(epochs, accuracies, color=MAIN_COLOUR)
        right_ax.set_ylabel("accuracy", color=MAIN_COLOUR)
        right_ax.set_ylim(0, 1.02)
    return render_png(figure)


def plot_losses(curves: Mapping[str, Sequence[CurvePoint]], title: str) -> bytes:
    """The loss of each learning curve over epochs and over seconds; the keys are shown in the legend."""
    figure = Figure(figsize=(10, 4), layout="tight")
    for i, (unit, field) in enumerate((("epochs", "epoch"), ("seconds", "seconds")), 1):
        ax = figure.add_subplot(1, 2, i)
        for (name, curve), colour in zip(curves.items(), itertools.cycle(RUN_COLOURS), strict=False):
            xs, losses = [getattr(point, field) for point in curve], [point.loss for point in curve]
            ax.plot(xs, losses, color=colour, label=name)
        ax.set(xlabel=unit, ylabel="loss", yscale="log", title=title if i == 1 else "")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(visible=True, alpha=0.25)
    ax.legend(frameon=False, fontsize=8)  # in the second panel only: the colours are the same in both
    return render_png(figure)


def plot_network(recipe: Recipe) -> bytes:
    """Units, or channels of convolutions, as dots, with the number of parameters between two layers."""
    columns = _columns(recipe)
    linear = ((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(recipe.linear_layers))
    figure, ax = _new_figure(1.6 * len(columns), 3.6)
    ax.axis("off")
    ax.set(xlim=(-0.6, len(columns) - 0.4), ylim=(-1.5, 1.4))
    heights = [np.linspace(1, -1, n + 2)[1:-1] for n in (min(units, MAX_DRAWN_UNITS) for units, _ in columns)]
    counts = (*recipe.stage_parameters, *linear)
    for x, (left, right, count) in enumerate(zip(heights, heights[1:], counts, strict=False)):
        for a, b in itertools.product(left, right):
            ax.plot((x, x + 1), (a, b), color=DARK, linewidth=0.4, alpha=0.35, zorder=1)
        ax.text(x + 0.5, -1.15, f"{count:,}\nparameters", ha="center", va="top", fontsize=8, color=DARK)
    for x, ((units, kind), ys) in enumerate(zip(columns, heights, strict=True)):
        ax.scatter([x] * len(ys), ys, s=70, color=MAIN_COLOUR, edgecolors=WHITE, zorder=2)
        shown = f" ({MAX_DRAWN_UNITS} shown)" if units > MAX_DRAWN_UNITS else ""
        ax.text(x, 1.08, f"{units}{shown}\n{kind}", ha="center", va="bottom", fontsize=8, color=DARK)
    return render_png(figure)


def _columns(recipe: Recipe) -> list[tuple[int, str]]:
    """How many units each layer has, and what they are."""
    outputs = {"multiclass": "softmax", "binary": "sigmoid", "regression": "values", "mixture": "Gaussians"}
    inputs, *hidden, last = recipe.layers
    stages = [(channels, "convolutions") for channels in recipe.convolutions]
    return [
        (inputs, "inputs"),
        *stages,
        *((units, recipe.activation) for units in hidden),
        (last, outputs[recipe.task]),
    ]


def plot_confusion_matrix(counts: NDArray[np.int64], labels: Sequence[str]) -> bytes:
    """Numbers of rows, INT64 [classes, classes]; rows: true class, columns: predicted class."""
    size = 1.6 + 0.5 * len(labels)
    figure, ax = _new_figure(size, size)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = WHITE if fractions[row, column] > 0.5 else DARK
        ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour)
    ticks = range(len(labels))
    ax.set_xticks(ticks, labels, rotation=45, ha="right")
    ax.set_yticks(ticks, labels)
    ax.set(xlabel="predicted", ylabel="true")
    return render_png(figure)


def plot_calibration(calibration: Calibration) -> bytes:
    """A reliability diagram: accuracy over confidence; on the diagonal the network is calibrated."""
    figure, ax = _new_figure(3.8, 3.6)
    ax.plot((0, 1), (0, 1), color=DARK, linewidth=0.8, linestyle=":")
    ax.plot(calibration.confidence, calibration.accuracy, color=MAIN_COLOUR, marker="o", markersize=4)
    low = max(0.0, min(calibration.confidence.min(), calibration.accuracy.min()) - 0.05)
    ax.set(xlabel="confidence", ylabel="accuracy", xlim=(low, 1.01), ylim=(low, 1.01))
    ax.grid(visible=True, alpha=0.25)
    return render_png(figure)


def draw_decision_boundary(
    ax: Axes, network: Network, features: tuple[Column, ...], points: Split | None = None
) -> None:
    """Draw the probability of the positive class over two features, with a line at 0.5, and the points on it."""
    xs, ys = (_padded_range(feature) for feature in features)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float32)
    with torch.inference_mode():
        positive = network(torch.from_numpy(grid))[:, 1].numpy().reshape(len(ys), len(xs))
    colours = ListedColormap(_diverging_colours(CLASS_COLOURS[0], CLASS_COLOURS[1], 11))
    ax.contourf(xs, ys, positive, levels=np.linspace(0, 1, 12), cmap=colours, alpha=0.4)
    ax.contour(xs, ys, positive, levels=[0.5], colors=DARK, linewidths=1.2)
    if points is not None:
        point_colours = [CLASS_COLOURS[i] for i in points.targets.tolist()]
        x, y = points.inputs.T.numpy()
        ax.scatter(x, y, c=point_colours, s=18, edgecolors=DARK, linewidths=0.5)
    ax.set(xlabel=features[0].name, ylabel=features[1].name)


def plot_decision_boundary(network: Network, features: tuple[Column, ...], points: Split | None) -> bytes:
    """`draw_decision_boundary` in a figure of its own."""
    figure, ax = _new_figure(4.6, 4.0)
    draw_decision_boundary(ax, network, features, points)
    return render_png(figure)


def plot_outputs(network: Network, feature: Column, names: Sequence[str], points: Split | None) -> bytes:
    """Every output of the network over its one feature; `names` are those of the outputs."""
    figure, ax = _new_figure()
    xs = _padded_range(feature)
    with torch.inference_mode():
        outputs = network(torch.from_numpy(xs.astype(np.float32)[:, None])).numpy()
    for name, output, colour in zip(names, outputs.T, itertools.cycle(CLASS_COLOURS), strict=False):
        ax.plot(xs, output, color=colour, label=name)
    if points is not None and points.targets.is_floating_point():
        ax.scatter(points.inputs.numpy(), points.targets[:, 0].numpy(), color=DARK, s=18, zorder=3)
    ax.set(xlabel=feature.name, ylabel="value" if len(names) == 1 else "probability")
    ax.legend(frameon=False)
    ax.grid(visible=True, alpha=0.25)
    return render_png(figure)


def plot_predicted_and_true(
    predicted: NDArray[np.generic], targets: NDArray[np.generic], names: Sequence[str]
) -> bytes:
    """Predicted over true values, FP32 [n, values], one panel for each value."""
    figure = Figure(figsize=(3.4 * len(names), 3.4), layout="tight")
    for i, name in enumerate(names):
        ax = figure.add_subplot(1, len(names), i + 1)
        ax.scatter(targets[:, i], predicted[:, i], s=12, color=MAIN_COLOUR)
        low, high = float(targets[:, i].min()), float(targets[:, i].max())
        ax.plot((low, high), (low, high), color=DARK, linewidth=0.8, linestyle=":")
        ax.set(xlabel=f"{name}: true", ylabel="predicted")
    return render_png(figure)


def plot_density(network: Network, feature: Column, target: Column, points: Split | None) -> bytes:
    """The density of the target over one feature, as a mixture density network predicts it; and points, if given."""
    across, up = _padded_range(feature), _padded_range(target)
    with torch.inference_mode():
        outputs = network.all_outputs(torch.from_numpy(across.astype(np.float32))[:, None])
    weights, means, deviations = (output.numpy()[:, None, :] for output in outputs)
    each = np.exp(-0.5 * ((up[None, :, None] - means) / deviations) ** 2) / deviations
    density = (weights * each).sum(axis=2) / np.sqrt(2 * np.pi)
    figure = Figure(figsize=(5, 3.6), layout="tight")
    ax = figure.add_subplot()
    drawn = ax.pcolormesh(across, up, np.sqrt(density.T), cmap="Blues", shading="nearest")
    figure.colorbar(drawn, label="square root of the density")
    if points:
        ax.scatter(points.inputs[:, 0], points.targets[:, 0], s=4, color=DARK, linewidths=0)
    ax.plot(across, (weights * means).sum(axis=2)[:, 0], color=LOSS_COLOUR, linewidth=1, label="mean")
    ax.legend(loc="upper right", fontsize=8)
    ax.set(xlabel=feature.name, ylabel=target.name)
    return render_png(figure)


def plot_images(data: Split, rows: Sequence[tuple[int, str, bool]], *, ink_is_high: bool = True) -> bytes:
    """Images of a data set: the row of each, its caption, and whether its prediction is correct (green, else red).

    `ink_is_high`: 255 is black, as in images of digits.
    """
    lines = -(-len(rows) // 4)
    figure = Figure(figsize=(6.4, 1.8 * lines), layout="tight")
    for i, (row, caption, correct) in enumerate(rows, 1):
        ax = figure.add_subplot(lines, 4, i)
        ax.imshow(data.inputs[row].numpy(), cmap="gray_r" if ink_is_high else "gray", vmin=0, vmax=255)
        ax.set_title(caption, fontsize=9, color=CORRECT_COLOUR if correct else WRONG_COLOUR)
        ax.axis("off")
    return render_png(figure)


def _padded_range(feature: Column) -> NDArray[np.float64]:
    """160 values over the range of a feature, extended by a quarter on both sides."""
    margin = (feature.maximum - feature.minimum) / 4
    return np.linspace(feature.minimum - margin, feature.maximum + margin, 160)


def _diverging_colours(first: str, last: str, steps: int) -> list[tuple[float, ...]]:
    """Colours from one through white to the other."""
    ends = [np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]) for colour in (first, last)]
    positions = np.linspace(-1, 1, steps)
    return [tuple(1 - abs(position) * (1 - ends[int(position > 0)])) for position in positions]
