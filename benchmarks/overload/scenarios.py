"""The loads: each is more than the service can handle, or is sent by clients that are slow on purpose."""

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.overload.open_loop import OpenLoop, OpenLoopResult
from benchmarks.overload.probes import ProbeResult, probing
from benchmarks.overload.slow_senders import BODY_BYTES, SLOW_SENDERS, send_bodies_that_stop
from benchmarks.preprocessing_latency import sample_files
from benchmarks.serve.load_generator import generate_load
from benchmarks.serve.servers import CORES, RunningServer, digitalis, run_server

PORT = 8390
WORKERS = 2
ROW = [5.1, 3.5, 1.4, 0.2]
SETTLE = 10.0  # seconds after which memory must be back

HEADER = "| load | offered/s | 200 | 503 | other | 200: p50, p99 ms | 503: p99 ms | health: failed, p99 ms |"


def http_request(path: str, content_type: str, body: bytes) -> bytes:
    """The bytes of a POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def rows_request(count: int) -> bytes:
    """A V1 request of so many Iris rows."""
    body = json.dumps({"instances": [ROW] * count}).encode()
    return http_request("/v1/models/iris:predict", "application/json", body)


def photo_request() -> bytes:
    """A 12-megapixel JPEG of a digit."""
    return http_request("/v1/models/mnist:predict", "image/jpeg", sample_files()["12-megapixel photo"])


def measure(seconds: float) -> None:
    """Run all loads and print a table; then memory with slow senders."""
    print(f"{HEADER}\n{'| --- ' * 8}|", flush=True)
    rows, photo, row = rows_request(10_000), photo_request(), rows_request(1)
    with _service() as server:
        capacity = measure_capacity(server.address, rows)
        for factor in (0.5, 2, 10):
            _overload(server, f"10,000 rows, {factor:g} x capacity", rows, factor * capacity, seconds)
    with _service() as server:
        capacity = measure_capacity(server.address, photo)
        for factor in (0.5, 2, 8):
            _overload(server, f"12-megapixel photos, {factor:g} x capacity", photo, factor * capacity, seconds)
    with _service() as server:
        _overload(server, "one row, 2,100 connections", row, 1000, seconds, connections=2100)
    with _service(workers=1) as server:
        _slow_senders(server)


@contextmanager
def _service(workers: int = WORKERS) -> Iterator[RunningServer]:
    with run_server(digitalis(workers), PORT, cores=set(CORES)) as server:
        yield server


def measure_capacity(address: tuple[str, int], request: bytes) -> float:
    """Requests a second of all workers, from one connection: requests that do not wait are not rejected."""
    generate_load(address, request, 1, 2)
    return generate_load(address, request, 1, 3).requests_per_second * WORKERS


def _overload(
    server: RunningServer, name: str, request: bytes, rate: float, seconds: float, connections: int = 0
) -> None:
    allow_connections()
    with probing(server.address) as probes:
        found = OpenLoop(server.address, [request], connections).run(rate, seconds)
    print(_line(name, rate, found, probes), flush=True)


def allow_connections() -> None:
    """Raise the limit of open files of this process: an overload needs thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))


def _line(name: str, rate: float, found: OpenLoopResult, probes: ProbeResult) -> str:
    other = {status: count for status, count in found.statuses.items() if status not in ("200", "503") and count}
    accepted = f"{_quantile(found.accepted_ms, 0.5):.0f}, {_quantile(found.accepted_ms, 0.99):.0f}"
    health = f"{probes.failed} of {len(probes.answered_ms) + probes.failed}, {_quantile(probes.answered_ms, 0.99):.0f}"
    cells = (name, f"{rate:.0f}", found.statuses["200"], found.statuses["503"], other or 0, accepted)
    return f"| {' | '.join(map(str, cells))} | {_quantile(found.rejected_ms, 0.99):.0f} | {health} |"


def _quantile(values: list[float], fraction: float) -> float:
    return sorted(values)[int(fraction * len(values))] if values else 0.0


def _slow_senders(server: RunningServer) -> None:
    before = server.pss_megabytes()
    with probing(server.address) as probes:
        peak = send_bodies_that_stop(server.address, server.process.pid)
        time.sleep(SETTLE)
    after = server.pss_megabytes()
    print(
        f"\n{SLOW_SENDERS} senders that stop short of {BODY_BYTES:,} bytes each, one worker (with Gunicorn's parent):\n"
        f"PSS {before:.0f} MB before, {peak:.0f} at most, {after:.0f} {SETTLE:g} s after they have gone; "
        f"health: {probes.failed} of {len(probes.answered_ms) + probes.failed} failed"
    )
