"""The command, its tables, and the servers that it measures."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.arguments import describe, positive_float
from benchmarks.serve.load_generator import LoadResult
from benchmarks.serve.servers import RunningServer, Server, digitalis, process_tree, run_server
from benchmarks.serve.workloads import Workload, image_batch, iris_rows, png_form
from service.errors import DeviceUnavailable
from service.inference.gpu import free_gpu_memory

PORT = 8400
MIB = 2**20
ROWS = 4096


def add_gpu(parser: argparse.ArgumentParser) -> None:
    """`gpu`: the service on a GPU."""
    describe(
        parser,
        "Measure what the service takes from a GPU and what it gains by it: memory, start, throughput beside the CPU,\n"
        "and ONNX Runtime without a server. It needs an NVIDIA GPU and the extra cuda.",
        """
        python -m benchmarks gpu                   all tables
        python -m benchmarks gpu --seconds 0.5     shorter
        """,
    )
    parser.add_argument("--seconds", type=positive_float, default=3, help="of each load (default: %(default)s)")
    parser.set_defaults(run=lambda args: measure(args.seconds), all_cores=True)


def measure(seconds: float) -> None:
    """Print all tables."""
    from benchmarks.gpu.bare import BATCH_SIZES, CUDA, batch_times

    if free_gpu_memory(0) is None:
        raise DeviceUnavailable("there is no NVIDIA GPU here, or no NVML (libnvidia-ml.so.1)")
    print(
        "| start | ready, s | workers | GPU memory, MiB | host memory, MB (PSS) |\n| --- | --- | --- | --- | --- |",
        flush=True,
    )
    for name, settings in {
        "the defaults": {},
        "one worker": {"WORKERS": "1"},
        "one worker, cuda by name": {"WORKERS": "1", "DEVICE": "cuda"},
        "one worker, cpu": {"WORKERS": "1", "DEVICE": "cpu"},
    }.items():
        _print_start(name, settings)
    bare = batch_times("mnist-deep")
    print(f"\n| us a batch of `mnist-deep`, rows: | {' | '.join(f'{rows:,}' for rows in BATCH_SIZES)} |")
    print("| --- |" + " --- |" * len(BATCH_SIZES))
    for name, times in bare.items():
        print(f"| {name} | {' | '.join(f'{us:,.0f}' for us in times)} |", flush=True)
    _print_loads(dict(zip(BATCH_SIZES, bare[CUDA], strict=True)), seconds)


def _print_start(name: str, settings: dict[str, str]) -> None:
    before = free_gpu_memory(0) or 0
    with _service(settings) as server:
        taken = (before - (free_gpu_memory(0) or 0)) / MIB
        workers = len(process_tree(server.process.pid)) - 1
        print(
            f"| {name} | {server.startup_seconds:.1f} | {workers} | {taken:,.0f} | {server.pss_megabytes():,.0f} |",
            flush=True,
        )


def _print_loads(bare_us: dict[int, float], seconds: float) -> None:
    loads: list[tuple[Workload, int, int]] = [
        (iris_rows(), 16, 0),
        (png_form(), 16, 0),
        (image_batch()[0], 16, 256),
        (image_batch()[0], 1, 256),
        (image_batch(ROWS)[0], 16, ROWS),
        (image_batch(ROWS)[0], 1, ROWS),
    ]
    devices = ("auto", "cuda", "cpu")
    found: dict[str, list[LoadResult]] = {}
    for device in devices:
        threads = {"INTRA_OP_THREADS": str(len(os.sched_getaffinity(0)))} if device == "cpu" else {}
        with _service({"WORKERS": "1", "DEVICE": device} | threads) as server:
            found[device] = [_warm_load(server, workload, connections, seconds) for workload, connections, _ in loads]
    print(f"\n| one worker: requests/s (p50, p99 ms) | connections | {' | '.join(devices)} | auto / bare CUDA |")
    print("| --- |" + " --- |" * (len(devices) + 2))
    for i, (workload, connections, rows) in enumerate(loads):
        results = [found[device][i] for device in devices]
        cells = [f"{it.requests_per_second:,.0f} ({it.p50_ms:.2f}, {it.p99_ms:.2f})" for it in results]
        share = f"{results[0].requests_per_second * bare_us[rows] / 1e6:.2f}" if rows else ""
        print(f"| {workload.name} | {connections} | {' | '.join(cells)} | {share} |", flush=True)


def _warm_load(server: RunningServer, workload: Workload, connections: int, seconds: float) -> LoadResult:
    from benchmarks.gpu.load import load

    load(server, workload, connections, seconds / 4)
    return load(server, workload, connections, seconds)


@contextmanager
def _service(settings: dict[str, str]) -> Iterator[RunningServer]:
    """The service with its defaults, but for these settings, on all cores."""
    names = {"BIND": "127.0.0.1:{port}", "MODELS_DIR": digitalis().environment["DIGITALIS_MODELS_DIR"]} | settings
    server: Server = replace(digitalis(), environment={f"DIGITALIS_{name}": text for name, text in names.items()})
    with run_server(server, PORT, cores=os.sched_getaffinity(0)) as running:
        yield running
