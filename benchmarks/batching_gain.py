"""What dynamic batching gains: an Iris network with two hidden layers, by connections, with and without it."""

import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.serve.curves import train_and_export
from benchmarks.serve.interleave import Case, run_interleaved, start_suspended
from benchmarks.serve.load_generator import median_result
from benchmarks.serve.servers import Server, digitalis
from benchmarks.serve.workloads import iris_rows

CONNECTIONS = (1, 8, 64)
PATIENT = {"DIGITALIS_QUEUE_TIMEOUT_MS": "60000"}  # without batching, 64 requests would wait for too long


def measure(units: int, batching: str, rounds: int, seconds: float) -> None:
    """Print throughput and latency over each number of connections, and the median of the rounds' ratios."""
    print(f"One Iris row, two hidden layers of {units}, one worker on one core; batching {batching}.\n")
    print("| connections | without: requests/s | p50, p99 ms | with: requests/s | p50, p99 ms | with / without |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        models = Path(folder)
        train_and_export(units, models)
        servers = [_server(models, "without"), _server(models, "with", DIGITALIS_BATCHING=f"iris={batching}")]
        running = start_suspended(stack, servers, models=models)
        for connections in CONNECTIONS:
            cases = [Case(target, iris_rows(), connections) for target in running]
            without, batched = run_interleaved(cases, rounds, seconds, f"{connections} connections").values()
            ratio = statistics.median(
                b.requests_per_second / a.requests_per_second for a, b in zip(without, batched, strict=True)
            )
            cells = [
                f"{it.requests_per_second:,.0f} | {it.p50_ms:.1f}, {it.p99_ms:.1f}"
                for it in (median_result(without), median_result(batched))
            ]
            print(f"| {connections} | {' | '.join(cells)} | {ratio:.2f} |", flush=True)


def _server(models: Path, name: str, **settings: str) -> Server:
    server = digitalis(models=models)
    return replace(server, name=name, environment=server.environment | PATIENT | settings)
