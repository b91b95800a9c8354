"""Measure all servers alternately, round after round, so that noise of the machine affects all of them alike."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.serve.load_generator import LoadResult, generate_load
from benchmarks.serve.servers import CLIENT_CORE, FIRST_PORT, MODELS, RunningServer, Server, run_server
from benchmarks.serve.workloads import Workload
from service.errors import DigitalisError

SETTLE_TIME = 0.1  # seconds in which a resumed server catches up on its timers before it is measured


@dataclass(frozen=True, eq=False)
class Case:
    """One server under one workload over a number of connections."""

    target: RunningServer
    workload: Workload
    connections: int

    @property
    def server_name(self) -> str:
        """The name of the server."""
        return self.target.server.name


def start_suspended(
    stack: ExitStack, servers: Sequence[Server], cores: set[int] | None = None, models: Path = MODELS
) -> list[RunningServer]:
    """Start the servers one after another and suspend each; they are stopped when the stack is closed."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    started = []
    for i, server in enumerate(servers):
        started.append(stack.enter_context(run_server(server, FIRST_PORT + i, cores, models)))
        started[-1].suspend()
    return started


def run_interleaved(
    cases: Sequence[Case],
    rounds: int,
    seconds: float,
    description: str,
    before_round: Callable[[], None] = lambda: None,
) -> dict[Case, list[LoadResult]]:
    """Run every case once per round, while the other servers are suspended. The first round is a warm-up.

    Returns one result per round; raises `DigitalisError` if a server does not respond or responds incorrectly.
    """
    results: dict[Case, list[LoadResult]] = {case: [] for case in cases}
    with Progress(console=Console(stderr=True), transient=True, auto_refresh=False) as progress:
        task = progress.add_task(description, total=(rounds + 1) * len(cases))
        for number in range(rounds + 1):
            before_round()
            for case in cases:
                result = _run_case(case, seconds, is_warm_up=not number)
                if number:
                    results[case].append(result)
                progress.advance(task)
                progress.refresh()  # between cases only: a refresh thread would disturb the measurement
    return results


def _run_case(case: Case, seconds: float, *, is_warm_up: bool) -> LoadResult:
    target, warm_up = case.target, case.target.server.warm_up
    target.resume()
    time.sleep(SETTLE_TIME + warm_up / 10)
    try:
        if is_warm_up and not target.responds_correctly(case.workload):
            raise DigitalisError(f"{case.server_name}: incorrect response to the workload {case.workload.name!r}")
        duration = max(seconds, warm_up) if is_warm_up else seconds
        return generate_load(target.address, case.workload.request, case.connections, duration)
    except OSError as error:
        raise DigitalisError(f"{case.server_name}, workload {case.workload.name!r}: {error}") from error
    finally:
        target.suspend()
