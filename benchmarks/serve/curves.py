"""Throughput and latency over the number of connections, rows per request, hidden units and workers."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import torch

from benchmarks.serve.comparison import CONCURRENT
from benchmarks.serve.interleave import Case, run_interleaved, start_suspended
from benchmarks.serve.load_generator import LoadResult, median_result
from benchmarks.serve.onnxruntime_only import runs_per_second
from benchmarks.serve.servers import CORES, Server, digitalis
from benchmarks.serve.workloads import BATCH_SIZE, SETOSA, image_batch, iris_rows
from service.bundle.manifest import ONNX
from training.bundles.export import export
from training.datasets import open_dataset
from training.learning.train import train_one_seed
from training.progress import Progress
from training.recipes.gradient_descent import Adam, GradientDescent
from training.recipes.iris import IRIS

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ROWS = (1, 4, 16, 64, 256, 1024, 4096)
HIDDEN_UNITS = (8, 32, 128, 512, 1024, 2048)

Curve = dict[str, dict[int, LoadResult]]
"""Median results by server name and x value."""


@dataclass(frozen=True)
class Curves:
    """One curve per x axis, all for requests of Iris rows.

    `onnxruntime_only` is runs per second without a server, by hidden units. `two_worker_speedup` is the throughput of
    two workers over that of one, on batches of images.
    """

    connections: Curve
    rows: Curve
    hidden_units: Curve
    onnxruntime_only: dict[int, float]
    two_worker_speedup: float


def measure_curves(servers: Sequence[Server], rounds: int, seconds: float) -> Curves:
    """Measure the servers that accept many rows per request; the first one is Digitalis."""
    with ExitStack() as stack:
        running = start_suspended(stack, [server for server in servers if "rows" in server.workload_keys])
        by_connections = {count: [Case(target, iris_rows(), count) for target in running] for count in CONNECTIONS}
        by_rows = {count: [Case(target, iris_rows(count), 1) for target in running] for count in ROWS}
        connections = _measure_curve(by_connections, rounds, seconds, "connections")
        rows = _measure_curve(by_rows, rounds, seconds, "rows")
    fastapi = [server for server in servers[1:] if server.name.startswith("FastAPI")]
    hidden_units, without_server = _measure_hidden_units(fastapi, rounds, seconds)
    return Curves(connections, rows, hidden_units, without_server, _two_worker_speedup(rounds, seconds))


def _measure_curve(
    cases: dict[int, list[Case]],
    rounds: int,
    seconds: float,
    description: str,
    before_round: Callable[[], None] = lambda: None,
) -> Curve:
    """Measure all cases alternately; `cases` is by x value."""
    x_of = {case: x for x, at_x in cases.items() for case in at_x}
    curve: Curve = {}
    for case, results in run_interleaved(list(x_of), rounds, seconds, description, before_round).items():
        curve.setdefault(case.server_name, {})[x_of[case]] = median_result(results)
    return curve


def _measure_hidden_units(peers: Sequence[Server], rounds: int, seconds: float) -> tuple[Curve, dict[int, float]]:
    """One Iris row on networks with two hidden layers of each width; each network is trained, exported and served."""
    curve: Curve = {}
    without_server: dict[int, list[float]] = {}
    for units in HIDDEN_UNITS:
        found = _measure_width(units, peers, rounds, seconds, without_server.setdefault(units, []))
        for name, point in found.items():
            curve.setdefault(name, {}).update(point)
    return curve, {units: median(found[1:]) for units, found in without_server.items()}  # without the warm-up round


def _measure_width(
    units: int, peers: Sequence[Server], rounds: int, seconds: float, without_server: list[float]
) -> Curve:
    row = {"features": np.array([SETOSA], np.float32)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        models = Path(folder)
        path = train_and_export(units, models)
        running = start_suspended(stack, [digitalis(models=models), *peers], models=models)
        cases = {units: [Case(target, iris_rows(), CONCURRENT) for target in running]}

        def before_round() -> None:
            without_server.append(runs_per_second(path, row, seconds))

        return _measure_curve(cases, rounds, seconds, f"{units} hidden units", before_round)


def train_and_export(units: int, models: Path) -> Path:
    """The ONNX file of an Iris network with two hidden layers of `units` each."""
    training = GradientDescent(Adam(0.001), batch_size=16, epochs=5)
    recipe = msgspec.structs.replace(IRIS, layers=(4, units, units, 3), training=training)
    dataset = open_dataset("iris", models)
    trained = train_one_seed(recipe, dataset, 0, torch.device("cpu"), Progress.silent())
    folder, _ = export(recipe, trained, dataset, models)
    return folder / ONNX


def _two_worker_speedup(rounds: int, seconds: float) -> float:
    """Throughput of two workers over that of one on batches of images; all cores, shared with the load generator."""
    with ExitStack() as stack:
        running = start_suspended(stack, [digitalis(workers=1), digitalis(workers=2)], CORES)
        cases = [Case(target, image_batch()[0], CONCURRENT) for target in running]
        one, two = run_interleaved(cases, rounds, seconds, "workers").values()
    return median(b.requests_per_second / a.requests_per_second for a, b in zip(one, two, strict=True))


def format_curves(curves: Curves) -> str:
    """The tables as Markdown."""

    def throughput(result: LoadResult, _: int) -> str:
        return f"{result.requests_per_second:,.0f}"

    def latency(result: LoadResult, _: int) -> str:
        return f"{result.p50_ms:.2f}, {result.p99_ms:.2f}"

    def rows_per_second(result: LoadResult, rows: int) -> str:
        return f"{result.requests_per_second * rows:,.0f}"

    tables = [
        _curve_table("Requests/s, one Iris row, by connections", curves.connections, throughput),
        _curve_table("p50, p99 in ms, one Iris row, by connections", curves.connections, latency),
        _curve_table("Iris rows/s, one connection, by rows per request", curves.rows, rows_per_second),
        _curve_table("Requests/s, one Iris row, by hidden units", curves.hidden_units, throughput),
    ]
    without_server = "".join(f"| {rate:,.0f} " for rate in curves.onnxruntime_only.values())
    speedup = f"{curves.two_worker_speedup:.2f} times the throughput of one"
    workers = f"On batches of {BATCH_SIZE} images, two workers have {speedup}."
    return "\n".join([*tables, f"| ONNX Runtime without a server {without_server}|", "", workers])


def _curve_table(title: str, curve: Curve, cell: Callable[[LoadResult, int], str]) -> str:
    xs = list(next(iter(curve.values())))
    lines = ["", f"**{title}**", "", "| server " + "".join(f"| {x:,} " for x in xs) + "|"]
    lines += ["| --- " * (1 + len(xs)) + "|"]
    for name, results in curve.items():
        lines.append(f"| {name} " + "".join(f"| {cell(results[x], x)} " for x in xs) + "|")
    return "\n".join(lines)
