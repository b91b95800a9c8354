"""ONNX Runtime without a server: microseconds a batch on one core, on all of them, and on the GPU."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.serve.servers import onnx_path
from service.bundle.loading import load_bundle
from service.inference.runtimes import open_runtime
from service.settings import Settings

BATCH_SIZES = (1, 16, 256, 1024, 4096, 10_000)
REPEATS = 7
CUDA = "CUDA"

Run = Callable[[dict[str, np.ndarray]], object]


def batch_times(model: str) -> dict[str, list[float]]:
    """For each device, the median microseconds of a batch of each size; CUDA with ONNX Runtime's defaults, and ours."""
    path, cores = onnx_path(model), len(os.sched_getaffinity(0))
    runs: dict[str, Run] = {
        "one core": _session(path, ["CPUExecutionProvider"], 1),
        f"{cores} cores": _session(path, ["CPUExecutionProvider"], cores),
        CUDA: _session(path, [("CUDAExecutionProvider", {"use_tf32": 0}), "CPUExecutionProvider"], 1),
        "CUDA, as the service opens it": _as_the_service(path.parent),
    }
    batches = [{"image": np.random.default_rng(0).integers(0, 256, (rows, 28, 28), np.uint8)} for rows in BATCH_SIZES]
    return {name: [_microseconds(run, batch) for batch in batches] for name, run in runs.items()}


def _as_the_service(folder: Path) -> Run:
    bundle, contents = load_bundle(folder)
    return open_runtime(bundle.signature, contents, Settings(device="cuda"), 0).run


def _session(path: Path, providers: list[Any], threads: int) -> Run:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=providers)

    def run(batch: dict[str, np.ndarray]) -> object:
        return session.run(None, batch)

    return run


def _microseconds(run: Run, batch: dict[str, np.ndarray]) -> float:
    times = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - started)
    return 1e6 * statistics.median(times[1:])
