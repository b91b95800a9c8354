"""ONNX Runtime without a server, and a control loop, both on the servers' core."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.serve.servers import CLIENT_CORE, SERVER_CORE


def runs_per_second(path: Path, batch: dict[str, np.ndarray], seconds: float) -> float:
    """How many times per second ONNX Runtime runs a network on a batch, with one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    with _on_server_core():
        session = ort.InferenceSession(path, options)
        session.run(None, batch)
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            session.run(None, batch)
            count += 1
        return count / (time.perf_counter() - started)


def control_loop_seconds() -> float:
    """Seconds that a fixed loop takes; its variation shows how much the speed of the machine varies."""
    with _on_server_core():
        started = time.perf_counter()
        sum(i * i for i in range(500_000))
        return time.perf_counter() - started


@contextmanager
def _on_server_core() -> Iterator[None]:
    os.sched_setaffinity(0, {SERVER_CORE})
    yield
    os.sched_setaffinity(0, {CLIENT_CORE})
