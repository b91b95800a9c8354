"""Charts of the measurements: bars for all servers side by side, and curves."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks.serve.comparison import Comparison
from benchmarks.serve.curves import Curve, Curves
from benchmarks.serve.load_generator import LoadResult
from benchmarks.serve.servers import DIGITALIS
from training.report.plots import CLASS_COLOURS, DARK, MAIN_COLOUR, render_png

PEER_COLOUR = "#c3c7cc"
CURVE_COLOURS = (MAIN_COLOUR, *CLASS_COLOURS[1:], "#c79a2b", "#777777")


def plot_bars(found: Comparison, path: Path) -> None:
    """Throughput, memory and startup time of each server."""
    throughput, footprints = found.iris_throughput(), found.footprints
    names = sorted(throughput, key=lambda name: throughput[name])
    figure = Figure(figsize=(10, 0.8 + 0.3 * len(names)))
    rates, memory, startup = figure.subplots(1, 3, sharey=True, width_ratios=(2, 1, 1))
    _bars(rates, "requests/s: one Iris row, 16 connections", names, [throughput[name] for name in names], "{:,.0f}")
    _bars(memory, "memory, MB", names, [footprints[name].memory_megabytes for name in names], "{:,.0f}")
    _bars(startup, "startup, s", names, [footprints[name].startup_seconds for name in names], "{:.1f}")
    for label in rates.get_yticklabels():
        label.set_weight("bold" if label.get_text() == found.reference else "normal")
    figure.tight_layout()
    path.write_bytes(render_png(figure))


def _bars(axes: Axes, title: str, names: Sequence[str], values: Sequence[float], label_format: str) -> None:
    colours = [MAIN_COLOUR if name == DIGITALIS else PEER_COLOUR for name in names]
    bars = axes.barh(names, values, color=colours, height=0.7)
    axes.bar_label(bars, [label_format.format(value) for value in values], padding=3, fontsize=8, color=DARK)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlim(0, 1.2 * max(values))
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, labelsize=9)


def plot_curves(curves: Curves, path: Path) -> None:
    """Throughput and latency over connections, rows per request and hidden units."""
    figure = Figure(figsize=(11, 10))
    (a, b), (c, d), (e, f) = figure.subplots(3, 2)
    colours = dict(zip(curves.connections, itertools.cycle(CURVE_COLOURS), strict=False))
    _lines(a, colours, curves.connections, "requests/s, by connections", _throughput)
    _lines(b, colours, curves.connections, "p50 (line) and p99 (dots) in ms, by connections", _p50, log=True)
    for name, results in curves.connections.items():
        b.plot(list(results), [it.p99_ms for it in results.values()], ":", color=colours[name], linewidth=1.2)
    _lines(c, colours, curves.rows, "rows/s, by rows per request", lambda it, rows: it.requests_per_second * rows)
    _lines(d, colours, curves.rows, "p50 in ms, by rows per request", _p50, log=True)
    _lines(e, colours, curves.hidden_units, "requests/s, by units in two hidden layers", _throughput, log=True)
    without_server = curves.onnxruntime_only
    e.plot(list(without_server), list(without_server.values()), "--", color=DARK, label="ONNX Runtime without a server")
    e.legend(fontsize=8, frameon=False)
    title = "fraction of ONNX Runtime without a server"
    _lines(f, colours, curves.hidden_units, title, lambda it, units: it.requests_per_second / without_server[units])
    f.yaxis.set_major_formatter(StrMethodFormatter("{x:.0%}"))
    figure.legend(*a.get_legend_handles_labels(), loc="upper center", ncols=6, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    path.write_bytes(render_png(figure))


def _throughput(result: LoadResult, _: int) -> float:
    return result.requests_per_second


def _p50(result: LoadResult, _: int) -> float:
    return result.p50_ms


def _lines(
    axes: Axes,
    colours: dict[str, str],
    curve: Curve,
    title: str,
    y_value: Callable[[LoadResult, int], float],
    *,
    log: bool = False,
) -> None:
    for name, results in curve.items():
        values = [y_value(result, x) for x, result in results.items()]
        axes.plot(list(results), values, "o-", color=colours[name], label=name, markersize=3, linewidth=1.6)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_yscale("log") if log else axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
