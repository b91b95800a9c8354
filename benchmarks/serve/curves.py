"""Against connections, rows, the width of a network, and workers."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import torch

from benchmarks.serve import onnxruntime_only as bare
from benchmarks.serve.interleave import Turn, asleep, in_turns
from benchmarks.serve.load import Load, middle_of
from benchmarks.serve.rounds import MANY
from benchmarks.serve.servers import CORES, Server, ours
from benchmarks.serve.work import BATCH, ROW, iris, tensor
from service.bundle.manifest import ONNX
from training.bundles.export import export
from training.datasets import open_dataset
from training.learning.train import train_once
from training.progress import Progress
from training.recipes.iris import IRIS
from training.recipes.recipe import Adam, Descent

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ROWS = (1, 4, 16, 64, 256, 1024, 4096)
WIDTHS = (8, 32, 128, 512, 1024, 2048)

Curve = dict[str, dict[int, Load]]
"""By server and place: medians."""


@dataclass(frozen=True)
class Curves:
    """Each over its own connections; `bare` is ONNX Runtime alone, runs a second by width."""

    connections: Curve
    rows: Curve
    width: Curve
    bare: dict[int, float]
    workers: float
    """256-image batches: how many times as many two workers answer as one."""


def measure(servers: Sequence[Server], rounds: int, seconds: float) -> Curves:
    """Ours is the first; only those that take many rows are asked."""
    with ExitStack() as stack:
        there = asleep(stack, [one for one in servers if "rows" in one.does])
        by_connections = {count: [Turn(one, iris(), count) for one in there] for count in CONNECTIONS}
        by_rows = {count: [Turn(one, iris(count), 1) for one in there] for count in ROWS}
        connections = _curve(by_connections, rounds, seconds, "over connections")
        rows = _curve(by_rows, rounds, seconds, "over rows")
    width, alone = _over_width([one for one in servers[1:] if one.name.startswith("FastAPI")], rounds, seconds)
    return Curves(connections, rows, width, alone, _workers(rounds, seconds))


def _curve(
    places: dict[int, list[Turn]], rounds: int, seconds: float, doing: str, between: Callable[[], None] = lambda: None
) -> Curve:
    place_of = {turn: place for place, turns in places.items() for turn in turns}
    curve: Curve = {}
    for turn, loads in in_turns(list(place_of), rounds, seconds, doing, between).items():
        curve.setdefault(turn.one.server.name, {})[place_of[turn]] = middle_of(loads)
    return curve


def _over_width(peers: Sequence[Server], rounds: int, seconds: float) -> tuple[Curve, dict[int, float]]:
    """An Iris row by networks of two hidden layers: each of them is trained, exported and served."""
    curve: Curve = {}
    alone: dict[int, list[float]] = {}
    for width in WIDTHS:
        for name, found in _at_width(width, peers, rounds, seconds, alone.setdefault(width, [])).items():
            curve.setdefault(name, {}).update(found)
    return curve, {width: median(found[1:]) for width, found in alone.items()}


def _at_width(width: int, peers: Sequence[Server], rounds: int, seconds: float, alone: list[float]) -> Curve:
    row = {"features": np.array([ROW], np.float32)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        models = Path(folder)
        path = _trained(width, models)
        there = asleep(stack, [ours(models=models), *peers], models=models)
        turns = {width: [Turn(one, iris(), MANY) for one in there]}
        return _curve(turns, rounds, seconds, f"width {width}", lambda: alone.append(bare.runs(path, row, seconds)))


def _trained(width: int, models: Path) -> Path:
    """The ONNX file of a network with two hidden layers of this width."""
    fit = Descent(Adam(0.001), batch=16, epochs=5)
    recipe = msgspec.structs.replace(IRIS, layers=(4, width, width, 3), fit=fit)
    dataset = open_dataset("iris", models)
    trained = train_once(recipe, dataset, 0, torch.device("cpu"), Progress.silent())
    folder, _ = export(recipe, trained, dataset, models)
    return folder / ONNX


def _workers(rounds: int, seconds: float) -> float:
    """How many times as many batches of images two workers answer as one, on all cores, with who asks."""
    with ExitStack() as stack:
        there = asleep(stack, [ours(1), ours(2)], CORES)
        turns = [Turn(one, tensor()[0], MANY) for one in there]
        one, two = in_turns(turns, rounds, seconds, "workers").values()
    return median(b.rate / a.rate for a, b in zip(one, two, strict=True))


def table(curves: Curves) -> str:
    """As Markdown."""
    parts = [
        _table("Answers/s to an Iris row, by connections", curves.connections, lambda load, _: f"{load.rate:,.0f}"),
        _table("p50, p99 in ms, by connections", curves.connections, lambda load, _: f"{load.p50:.2f}, {load.p99:.2f}"),
        _table("Iris rows/s in one request at a time, by rows", curves.rows, lambda load, n: f"{load.rate * n:,.0f}"),
        _table("Answers/s to an Iris row, by hidden units", curves.width, lambda load, _: f"{load.rate:,.0f}"),
    ]
    alone = "".join(f"| {rate:,.0f} " for rate in curves.bare.values())
    most = f"On batches of {BATCH} images two workers answer {curves.workers:.2f} times as many requests as one."
    return "\n".join([*parts, f"| ONNX Runtime alone {alone}|", "", most])


def _table(title: str, curve: Curve, shown: Callable[[Load, int], str]) -> str:
    places = list(next(iter(curve.values())))
    lines = ["", f"**{title}**", "", "| server " + "".join(f"| {place:,} " for place in places) + "|"]
    lines += ["| --- " * (1 + len(places)) + "|"]
    for name, found in curve.items():
        lines.append(f"| {name} " + "".join(f"| {shown(found[place], place)} " for place in places) + "|")
    return "\n".join(lines)
