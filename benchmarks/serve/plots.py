"""The pictures: all servers side by side, and the curves."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks.serve.curves import Curve, Curves
from benchmarks.serve.load import Load
from benchmarks.serve.rounds import Found
from benchmarks.serve.servers import NAME
from training.report.plots import CLASSES, GOOD, INK, png

OTHER = "#c3c7cc"
COLOURS = (GOOD, *CLASSES[1:], "#c79a2b", "#777777")


def side_by_side(found: Found, path: Path) -> None:
    """Answers a second, memory and time to ready of each server."""
    rates = found.rates()
    names = sorted(rates, key=lambda name: rates[name])
    figure = Figure(figsize=(10, 0.8 + 0.3 * len(names)))
    most, size, time = figure.subplots(1, 3, sharey=True, width_ratios=(2, 1, 1))
    _bars(most, "answers a second: an Iris row, 16 connections", names, [rates[n] for n in names], "{:,.0f}")
    _bars(size, "MB of memory", names, [found.servers[name][1] for name in names], "{:,.0f}")
    _bars(time, "s to the first answer", names, [found.servers[name][0] for name in names], "{:.1f}")
    for label in most.get_yticklabels():
        label.set_weight("bold" if label.get_text() == found.ours else "normal")
    figure.tight_layout()
    path.write_bytes(png(figure))


def _bars(axes: Axes, title: str, names: Sequence[str], values: Sequence[float], form: str) -> None:
    bars = axes.barh(names, values, color=[GOOD if name == NAME else OTHER for name in names], height=0.7)
    axes.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=8, color=INK)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlim(0, 1.2 * max(values))
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, labelsize=9)


def over(curves: Curves, path: Path) -> None:
    """Throughput and latency against connections, rows and the width of a network."""
    figure = Figure(figsize=(11, 10))
    (a, b), (c, d), (e, f) = figure.subplots(3, 2)
    colours = dict(zip(curves.connections, itertools.cycle(COLOURS), strict=False))
    _lines(a, colours, curves.connections, "answers a second, by connections", lambda load, _: load.rate)
    _lines(
        b,
        colours,
        curves.connections,
        "p50 (line) and p99 (dots) in ms, by connections",
        lambda load, _: load.p50,
        log=True,
    )
    for name, found in curves.connections.items():
        b.plot(list(found), [load.p99 for load in found.values()], ":", color=colours[name], linewidth=1.2)
    _lines(c, colours, curves.rows, "rows a second, by rows of a request", lambda load, rows: load.rate * rows)
    _lines(d, colours, curves.rows, "p50 in ms, by rows of a request", lambda load, _: load.p50, log=True)
    _lines(
        e, colours, curves.width, "answers a second, by units of two hidden layers", lambda load, _: load.rate, log=True
    )
    widths = list(curves.bare)
    e.plot(widths, [curves.bare[width] for width in widths], "--", color=INK, label="ONNX Runtime alone")
    e.legend(fontsize=8, frameon=False)
    _lines(f, colours, curves.width, "share of ONNX Runtime alone", lambda load, width: load.rate / curves.bare[width])
    f.yaxis.set_major_formatter(StrMethodFormatter("{x:.0%}"))
    figure.legend(*a.get_legend_handles_labels(), loc="upper center", ncols=6, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    path.write_bytes(png(figure))


def _lines(
    axes: Axes,
    colours: dict[str, str],
    curve: Curve,
    title: str,
    value: Callable[[Load, int], float],
    *,
    log: bool = False,
) -> None:
    for name, found in curve.items():
        values = [value(load, place) for place, load in found.items()]
        axes.plot(list(found), values, "o-", color=colours[name], label=name, markersize=3, linewidth=1.6)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_yscale("log") if log else axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
