"""All in turns, round after round, so that a noisy machine is noisy for all."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress

from benchmarks.serve.load import Load, load
from benchmarks.serve.servers import CLIENT_CORE, Running
from benchmarks.serve.work import Work

AWAKES = 0.1  # seconds that a server is given to do what it has put off


@dataclass(frozen=True, eq=False)
class Turn:
    """A server that is asked for something over so many connections."""

    one: Running
    task: Work
    connections: int


def in_turns(
    turns: Sequence[Turn], rounds: int, seconds: float, doing: str, between: Callable[[], None] = lambda: None
) -> dict[Turn, list[Load]]:
    """What each gave, in each round, while the others slept. The first round is not counted: some get faster."""
    for turn in turns:
        if not turn.one.answers(turn.task):
            raise RuntimeError(f"{turn.one.server.name} gives a wrong answer to {turn.task.name}")
    os.sched_setaffinity(0, {CLIENT_CORE})
    found: dict[Turn, list[Load]] = {turn: [] for turn in turns}
    for one in {turn.one for turn in turns}:
        one.signal(signal.SIGSTOP)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        steps = bar.add_task(doing, total=(rounds + 1) * len(turns))
        for number in range(rounds + 1):
            between()
            for turn in turns:
                lasts = seconds if number else max(seconds, turn.one.server.warm_up)
                turn.one.signal(signal.SIGCONT)
                time.sleep(AWAKES + turn.one.server.warm_up / 10)
                loaded = load(turn.one.address, turn.task.request, turn.connections, lasts)
                turn.one.signal(signal.SIGSTOP)
                if number:
                    found[turn].append(loaded)
                bar.advance(steps)
    for one in {turn.one for turn in turns}:
        one.signal(signal.SIGCONT)
    return found
