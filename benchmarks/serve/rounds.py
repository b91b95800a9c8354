"""Each server at each task, in turns; medians, ratios to ours, and a control that tells how the machine drifts."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from benchmarks.serve import onnxruntime_only as bare
from benchmarks.serve.interleave import Turn, asleep, in_turns
from benchmarks.serve.load import Load, middle_of
from benchmarks.serve.servers import Server, onnx_of
from benchmarks.serve.work import AN_IRIS, TENSOR, tensor

MANY, ONE = 16, 1  # connections


@dataclass(frozen=True)
class Found:
    """By server, task and connections, what each round gave; and what the servers take."""

    loads: dict[tuple[str, str, int], list[Load]]
    servers: dict[str, tuple[float, float]]
    """By name: seconds from launch to the first right answer, and megabytes (PSS) of all its processes."""
    bare: list[float] = field(default_factory=list)
    control: list[float] = field(default_factory=list)

    @property
    def ours(self) -> str:
        """Who comes first."""
        return next(iter(self.servers))

    def tasks(self) -> list[str]:
        """What was asked."""
        return list(dict.fromkeys(task for _, task, _ in self.loads))

    def rates(self) -> dict[str, float]:
        """Answers a second to an Iris row, over 16 connections."""
        return {
            name: middle_of(loads).rate
            for (name, task, count), loads in self.loads.items()
            if (task, count) == (AN_IRIS, MANY)
        }


def measure(servers: Sequence[Server], rounds: int, seconds: float) -> Found:
    """Ours is the first."""
    images = {"image": tensor()[1]}
    alone: list[float] = []
    control: list[float] = []

    def between() -> None:
        control.append(bare.control())
        alone.append(bare.runs(onnx_of("mnist-deep"), images, seconds))

    with ExitStack() as stack:
        there = asleep(stack, servers)
        turns = [Turn(one, task, count) for one in there for task in one.server.tasks() for count in (MANY, ONE)]
        loads = {
            (turn.one.server.name, turn.task.name, turn.connections): found
            for turn, found in in_turns(turns, rounds, seconds, "asking", between).items()
        }
        taken = {one.server.name: (one.seconds, one.pss()) for one in there}
    return Found(loads, taken, alone[1:], control[1:])


def tables(found: Found) -> str:
    """As Markdown."""
    lines = [line for task in found.tasks() for line in _table(found, task)]
    lines += ["", f"Bare ONNX Runtime: {median(found.bare):,.0f} batches a second. Of that,", ""]
    lines += [_shares(found, name) for name, task, count in found.loads if (task, count) == (TENSOR, MANY)]
    lines += ["", "| server | s to the first right answer | MB (PSS) of all its processes |", "| --- | --- | --- |"]
    lines += [f"| {name} | {seconds:.2f} | {size:.0f} |" for name, (seconds, size) in found.servers.items()]
    spread = (max(found.control) - min(found.control)) / median(found.control)
    drift = f"The control, one loop on the servers' core at the begin of each round, varied by {spread:.0%}."
    return "\n".join([*lines, "", drift] if len(found.control) > 1 else lines)


def _shares(found: Found, name: str) -> str:
    """What part of ONNX Runtime alone comes over HTTP."""
    many, one = (
        median(
            served.rate / itself for served, itself in zip(found.loads[name, TENSOR, count], found.bare, strict=True)
        )
        for count in (MANY, ONE)
    )
    return f"- {name}: {many:.2f} over 16 connections, {one:.2f} over one"


def _table(found: Found, task: str) -> list[str]:
    lines = ["", f"**{task[0].upper()}{task[1:]}**", ""]
    lines += ["| server | answers/s, 16 connections | ours is | p50, p99 ms | p99/p50 | p50 ms, 1 connection |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    own = found.loads[found.ours, task, MANY]
    for name in found.servers:
        if (name, task, MANY) in found.loads:
            many, alone = found.loads[name, task, MANY], found.loads[name, task, ONE]
            ratio = median(a.rate / b.rate for a, b in zip(own, many, strict=True))
            middle = middle_of(many)
            cells = (
                f"{middle.rate:,.0f}",
                f"{ratio:.2f} x",
                f"{middle.p50:.2f}, {middle.p99:.2f}",
                "" if math.isnan(middle.p99_to_p50) else f"{middle.p99_to_p50:.2f}",
                f"{middle_of(alone).p50:.3f}",
            )
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines
