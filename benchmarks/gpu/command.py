"""The command, its tables, and the servers that it measures."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.arguments import describe, positive_float
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
        "and ONNX Runtime without a server. It needs an NVIDIA GPU and the extra cuda, and takes some four minutes.",
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
    from benchmarks.gpu.load import load

    loads: list[tuple[Workload, int, int]] = [
        (iris_rows(), 16, 0),
        (png_form(), 16, 0),
        (image_batch()[0], 16, 256),
        (image_batch()[0], 1, 256),
        (image_batch(ROWS)[0], 16, ROWS),
        (image_batch(ROWS)[0], 1, ROWS),
    ]
    devices = ("auto", "cuda", "cpu")
    print("\n| one worker: requests/s (p50, p99 ms) | connections | " + " | ".join(devices) + " | auto / bare CUDA |")
    print("| --- |" * 1 + " --- |" * (len(devices) + 2))
    found: dict[tuple[str, int, str], str] = {}
    rates: dict[tuple[str, int], float] = {}
    for device in devices:
        threads = {"INTRA_OP_THREADS": str(len(os.sched_getaffinity(0)))} if device == "cpu" else {}
        with _service({"WORKERS": "1", "DEVICE": device} | threads) as server:
            for workload, connections, _ in loads:
                load(server, workload, connections, seconds / 4)
                result = load(server, workload, connections, seconds)
                shown = f"{result.requests_per_second:,.0f} ({result.p50_ms:.2f}, {result.p99_ms:.2f})"
                found[workload.name, connections, device] = shown
                if device == "auto":
                    rates[workload.name, connections] = result.requests_per_second
    for workload, connections, rows in loads:
        share = f"{rates[workload.name, connections] * bare_us[rows] / 1e6:.2f}" if rows else ""
        cells = [found[workload.name, connections, device] for device in devices]
        print(f"| {workload.name} | {connections} | {' | '.join(cells)} | {share} |", flush=True)


@contextmanager
def _service(settings: dict[str, str]) -> Iterator[RunningServer]:
    """The service with its defaults, but for these settings, on all cores."""
    names = {"BIND": "127.0.0.1:{port}", "MODELS_DIR": digitalis().environment["DIGITALIS_MODELS_DIR"]} | settings
    server: Server = replace(digitalis(), environment={f"DIGITALIS_{name}": text for name, text in names.items()})
    with run_server(server, PORT, cores=os.sched_getaffinity(0)) as running:
        yield running
