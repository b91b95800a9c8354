"""All servers in turns, round after round: medians, ratios to ours, and a control that tells how the machine drifts."""

import contextlib
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.progress import Progress

from benchmarks.serve import work
from benchmarks.serve.load import Load, load
from benchmarks.serve.servers import CLIENT_CORE, SERVER_CORE, Running, check, onnx_of, ours, peers, running

FIRST_PORT = 8300
CONNECTIONS = (16, 1)
BATCH = 256

Found = dict[tuple[str, str, int], list[Load]]  # by server, work and connections


def measure(names: Sequence[str], rounds: int, seconds: float) -> None:
    """Print the tables."""
    cores = sorted(os.sched_getaffinity(0))
    known = peers()
    servers = [ours(), *(known[name] for name in names)]
    tensor, batch = work.tensor(BATCH)
    tasks = {"v1": [work.iris(), work.iris(1000)], "form": [work.png()], "v2": [tensor]}
    console = Console(highlight=False, soft_wrap=True)
    with contextlib.ExitStack() as stack:
        there = [stack.enter_context(running(one, FIRST_PORT + i, work.iris())) for i, one in enumerate(servers)]
        turns = [(one, task) for one in there for kind in one.server.speaks for task in tasks[kind]]
        for one, task in turns:
            check(one, task)
        os.sched_setaffinity(0, {cores[CLIENT_CORE]})
        found: Found = {}
        bare: list[float] = []
        control: list[float] = []
        bar = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        steps = bar.add_task("asking", total=rounds * (len(turns) * len(CONNECTIONS) + 1))
        for _ in range(rounds):
            with _on(cores[SERVER_CORE], cores[CLIENT_CORE]):
                control.append(_control())
                bare.append(_bare(batch, seconds))
            bar.advance(steps)
            for (one, task), connections in ((turn, count) for turn in turns for count in CONNECTIONS):
                key = one.server.name, task.name, connections
                found.setdefault(key, []).append(load(one.address, task.request, connections, seconds))
                bar.advance(steps)
        _print(console, there, found, bare, control)


def _print(console: Console, there: list[Running], found: Found, bare: list[float], control: list[float]) -> None:
    names = [one.server.name for one in there]
    for task in dict.fromkeys(task for _, task, _ in found):
        console.print(
            f"\n{task}\n\n| server | answers/s, 16 connections | ours is | p50, p99 ms | p50 ms, 1 connection |"
        )
        console.print("| --- | --- | --- | --- | --- |")
        own = found[names[0], task, 16]
        for name in names:
            if (name, task, 16) not in found:
                continue
            many, alone = found[name, task, 16], found[name, task, 1]
            ratio = statistics.median(a.rate / b.rate for a, b in zip(own, many, strict=True))
            lasted = f"{_median(many, 'p50'):.2f}, {_median(many, 'p99'):.2f}"
            console.print(
                f"| {name} | {_median(many, 'rate'):,.0f} | {ratio:.2f} x | {lasted} | {_median(alone, 'p50'):.3f} |"
            )
        if "V2" in task:
            for count in CONNECTIONS:
                pairs = zip(found[names[0], task, count], bare, strict=True)
                share = statistics.median(served.rate / itself for served, itself in pairs)
                rate = statistics.median(bare)
                console.print(f"\nBare ONNX Runtime: {rate:,.0f}; at {count} connections ours is {share:.2f} of it.")
    console.print("\n| server | s to the first right answer | MB (PSS) of all its processes |\n| --- | --- | --- |")
    for one in there:
        console.print(f"| {one.server.name} | {one.seconds:.2f} | {one.pss():.0f} |")
    spread = (max(control) - min(control)) / statistics.median(control)
    console.print(f"\nThe control, one loop on the servers' core at the begin of each round, varied by {spread:.0%}.")


def _median(loads: list[Load], what: str) -> float:
    return float(statistics.median(getattr(one, what) for one in loads))


@contextlib.contextmanager
def _on(core: int, back: int) -> Iterator[None]:
    os.sched_setaffinity(0, {core})
    yield
    os.sched_setaffinity(0, {back})


def _control() -> float:
    started = time.perf_counter()
    sum(i * i for i in range(500_000))
    return time.perf_counter() - started


def _bare(batch: np.ndarray, seconds: float) -> float:
    """Batches a second of ONNX Runtime alone."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(onnx_of("mnist-deep"), options)
    session.run(None, {"image": batch})
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        session.run(None, {"image": batch})
        count += 1
    return count / (time.perf_counter() - started)


def available() -> list[str]:
    """The peers whose programs are here."""
    return [name for name, server in peers().items() if Path(server.command[0]).exists()]
