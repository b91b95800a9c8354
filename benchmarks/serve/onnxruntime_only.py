"""What there is without a server: ONNX Runtime alone, and the core itself, both on the servers' core."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.serve.servers import CLIENT_CORE, SERVER_CORE


def runs(path: Path, batch: dict[str, np.ndarray], seconds: float) -> float:
    """Runs a second of a network, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    with _on_the_servers_core():
        session = ort.InferenceSession(path, options)
        session.run(None, batch)
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            session.run(None, batch)
            count += 1
        return count / (time.perf_counter() - started)


def control() -> float:
    """Seconds that one and the same loop takes."""
    with _on_the_servers_core():
        started = time.perf_counter()
        sum(i * i for i in range(500_000))
        return time.perf_counter() - started


@contextmanager
def _on_the_servers_core() -> Iterator[None]:
    os.sched_setaffinity(0, {SERVER_CORE})
    yield
    os.sched_setaffinity(0, {CLIENT_CORE})
