"""All in turns, round after round, so that a noisy machine is noisy for all."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.serve.load import Load, load
from benchmarks.serve.servers import CLIENT_CORE, FIRST_PORT, MODELS, Running, Server, running
from benchmarks.serve.work import Work
from service.errors import DigitalisError

AWAKES = 0.1  # seconds that a server is given to do what it has put off


@dataclass(frozen=True, eq=False)
class Turn:
    """A server that is asked for something over so many connections."""

    one: Running
    task: Work
    connections: int


def asleep(
    stack: ExitStack, servers: Sequence[Server], cores: set[int] | None = None, models: Path = MODELS
) -> list[Running]:
    """Start them one after another, each while those before it sleep; they end with the stack."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    there = []
    for i, server in enumerate(servers):
        there.append(stack.enter_context(running(server, FIRST_PORT + i, cores, models)))
        there[-1].sleep()
    return there


def in_turns(
    turns: Sequence[Turn], rounds: int, seconds: float, doing: str, between: Callable[[], None] = lambda: None
) -> dict[Turn, list[Load]]:
    """What each gave, in each round, while the others slept. The first round is not counted: some get faster.

    Raises `DigitalisError` for a server that does not answer, or not rightly.
    """
    found: dict[Turn, list[Load]] = {turn: [] for turn in turns}
    with Progress(console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        steps = bar.add_task(doing, total=(rounds + 1) * len(turns))
        for number in range(rounds + 1):
            between()
            for turn in turns:
                loaded = _load(turn, seconds, is_first=not number)
                if number:
                    found[turn].append(loaded)
                bar.advance(steps)
                bar.refresh()  # not while somebody is asked
    return found


def _load(turn: Turn, seconds: float, *, is_first: bool) -> Load:
    one, warm_up = turn.one, turn.one.server.warm_up
    one.wake()
    time.sleep(AWAKES + warm_up / 10)
    try:
        if is_first and not one.answers(turn.task):
            raise DigitalisError(f"{one.server.name} gives a wrong answer to {turn.task.name}")
        return load(one.address, turn.task.request, turn.connections, max(seconds, warm_up) if is_first else seconds)
    except OSError as error:
        raise DigitalisError(f"{one.server.name}, asked for {turn.task.name}: {error}") from error
    finally:
        one.sleep()
