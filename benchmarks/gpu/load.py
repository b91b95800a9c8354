"""Load from several processes: one could not send the bodies of 4,096 images as fast as a GPU classifies them."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from benchmarks.serve.load_generator import LoadResult, generate_load
from benchmarks.serve.servers import RunningServer
from benchmarks.serve.workloads import Workload

PROCESSES = 4


def load(server: RunningServer, workload: Workload, connections: int, seconds: float) -> LoadResult:
    """Throughput of all connections together; latencies are the median of the processes' ones."""
    processes = min(PROCESSES, connections)
    share = connections // processes
    context = multiprocessing.get_context("spawn")  # CUDA survives no fork
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(len, ["start"] * processes))
        sent = [pool.submit(generate_load, server.address, workload.request, share, seconds) for _ in range(processes)]
        results = sorted((it.result() for it in sent), key=lambda result: result.p50_ms)
    middle = results[len(results) // 2]
    return LoadResult(sum(it.requests_per_second for it in results), middle.p50_ms, middle.p99_ms, middle.p99_to_p50)
