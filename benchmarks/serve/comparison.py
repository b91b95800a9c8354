"""Compare the servers under every workload: medians, ratios to Digitalis, memory, startup time, and a control."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from benchmarks.serve.interleave import Case, run_interleaved, start_suspended
from benchmarks.serve.load_generator import LoadResult, median_result
from benchmarks.serve.onnxruntime_only import control_loop_seconds, runs_per_second
from benchmarks.serve.servers import Server, onnx_path
from benchmarks.serve.workloads import IMAGE_BATCH, IRIS_ROW, image_batch

CONCURRENT, SINGLE = 16, 1  # connections


@dataclass(frozen=True)
class Footprint:
    """Seconds from a server's launch to its first correct response, and the memory (PSS) of all its processes."""

    startup_seconds: float
    memory_megabytes: float


@dataclass(frozen=True)
class Comparison:
    """The measurements, one value per round.

    `results` is by server name, workload name and number of connections; `footprints` is by server name, Digitalis
    first; `onnxruntime_only` is batches per second without a server; `control` is seconds of the control loop.
    """

    results: dict[tuple[str, str, int], list[LoadResult]]
    footprints: dict[str, Footprint]
    onnxruntime_only: list[float] = field(default_factory=list)
    control: list[float] = field(default_factory=list)

    @property
    def reference(self) -> str:
        """The name of the server that the others are compared with."""
        return next(iter(self.footprints))

    def workload_names(self) -> list[str]:
        """The names of the workloads."""
        return list(dict.fromkeys(workload for _, workload, _ in self.results))

    def iris_throughput(self) -> dict[str, float]:
        """Requests per second of one Iris row over 16 connections, by server name."""
        return {
            name: median_result(results).requests_per_second
            for (name, workload, connections), results in self.results.items()
            if (workload, connections) == (IRIS_ROW, CONCURRENT)
        }


def compare_servers(servers: Sequence[Server], rounds: int, seconds: float) -> Comparison:
    """Measure all servers alternately; the first one is the reference of the ratios."""
    images = {"image": image_batch()[1]}
    without_server: list[float] = []
    control: list[float] = []

    def before_round() -> None:
        control.append(control_loop_seconds())
        if "tensor" in servers[0].workload_keys:
            without_server.append(runs_per_second(onnx_path("mnist-deep"), images, seconds))

    with ExitStack() as stack:
        running = start_suspended(stack, servers)
        cases = [
            Case(target, workload, connections)
            for target in running
            for workload in target.server.supported_workloads()
            for connections in (CONCURRENT, SINGLE)
        ]
        results = {
            (case.server_name, case.workload.name, case.connections): found
            for case, found in run_interleaved(cases, rounds, seconds, "workloads", before_round).items()
        }
        footprints = {it.server.name: Footprint(it.startup_seconds, it.pss_megabytes()) for it in running}
    return Comparison(results, footprints, without_server[1:], control[1:])  # without the warm-up round


def format_comparison(found: Comparison) -> str:
    """The tables as Markdown."""
    lines = [line for workload in found.workload_names() for line in _workload_table(found, workload)]
    if found.onnxruntime_only:
        rate = median(found.onnxruntime_only)
        lines += ["", f"ONNX Runtime without a server: {rate:,.0f} batches/s. Fractions of it:", ""]
    batched = [name for name, workload, count in found.results if (workload, count) == (IMAGE_BATCH, CONCURRENT)]
    lines += [_fraction_of_onnxruntime(found, name) for name in batched]
    lines += ["", "| server | startup, s to the first correct response | memory, MB (PSS of all processes) |"]
    lines += ["| --- | --- | --- |"]
    lines += [
        f"| {name} | {footprint.startup_seconds:.2f} | {footprint.memory_megabytes:.0f} |"
        for name, footprint in found.footprints.items()
    ]
    variation = (max(found.control) - min(found.control)) / median(found.control)
    control = f"The control, a fixed loop on the servers' core before each round, varied by {variation:.0%}."
    return "\n".join([*lines, "", control] if len(found.control) > 1 else lines)


def _fraction_of_onnxruntime(found: Comparison, name: str) -> str:
    """The throughput over HTTP as a fraction of ONNX Runtime's without a server."""
    concurrent, single = (
        median(
            served.requests_per_second / without_server
            for served, without_server in zip(
                found.results[name, IMAGE_BATCH, connections], found.onnxruntime_only, strict=True
            )
        )
        for connections in (CONCURRENT, SINGLE)
    )
    return f"- {name}: {concurrent:.2f} over 16 connections, {single:.2f} over one"


def _workload_table(found: Comparison, workload: str) -> list[str]:
    lines = ["", f"**{workload[0].upper()}{workload[1:]}**", ""]
    ratio_heading = f"{found.reference} / server"
    lines += [
        f"| server | requests/s, 16 connections | {ratio_heading} | p50, p99 ms | p99/p50 | p50 ms, 1 connection |"
    ]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    reference = found.results[found.reference, workload, CONCURRENT]
    for name in found.footprints:
        if (name, workload, CONCURRENT) in found.results:
            concurrent, single = (found.results[name, workload, count] for count in (CONCURRENT, SINGLE))
            ratio = median(
                a.requests_per_second / b.requests_per_second for a, b in zip(reference, concurrent, strict=True)
            )
            result = median_result(concurrent)
            cells = (
                f"{result.requests_per_second:,.0f}",
                f"{ratio:.2f} x",
                f"{result.p50_ms:.2f}, {result.p99_ms:.2f}",
                "" if math.isnan(result.p99_to_p50) else f"{result.p99_to_p50:.2f}",
                f"{median_result(single).p50_ms:.3f}",
            )
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines
