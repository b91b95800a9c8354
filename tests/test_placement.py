"""Which device a batch runs on, and how many workers a GPU holds; the devices are fakes whose time is a formula."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from conftest import newest
from running_service import failed_start

from service.bundle.loading import load_bundle
from service.bundle.signature import Arrays
from service.errors import DeviceUnavailable
from service.inference import placement
from service.inference.placement import GROWTH, MARGIN, RETRY_AFTER, PlacedRuntime, measured_cuda_from_rows, place
from service.inference.runtimes import Runtime
from service.preflight import MIB, Trial
from service.settings import Settings

US = 1e-6


@dataclass
class Clock:
    """Time that passes only when a device runs."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeRuntime:
    """Takes `fixed` seconds for a run and `per_row` for each row, on a clock of its own."""

    device: str
    clock: Clock
    fixed: float = 0.0
    per_row: float = 0.0
    name: str = "a formula"
    cuda_from_rows: int | None = None
    error: Exception | None = None
    runs: list[int] = field(default_factory=list)

    def run(self, inputs: Arrays) -> Arrays:
        rows = len(inputs["features"])
        self.runs.append(rows)
        self.clock.now += self.fixed + rows * self.per_row
        if self.error:
            raise self.error
        return {"device": np.array([self.device])}


def batch(rows: int) -> Arrays:
    return {"features": np.zeros((rows, 4), np.float32)}


def devices(cpu: tuple[float, float], cuda: tuple[float, float]) -> tuple[FakeRuntime, FakeRuntime, Clock]:
    clock = Clock()
    return FakeRuntime("cpu", clock, *cpu), FakeRuntime("cuda:0", clock, *cuda), clock


@pytest.mark.parametrize(
    ("cpu", "cuda"),
    [
        ((5 * US, 1 * US), (200 * US, 0.1 * US)),
        ((5 * US, 16 * US), (220 * US, 0.2 * US)),
        ((10 * US, 0.05 * US), (200 * US, 0.01 * US)),
        ((1 * US, 200 * US), (250 * US, 0.5 * US)),
    ],
)
def test_the_measured_number_of_rows_is_where_the_times_of_both_devices_cross(
    cpu: tuple[float, float], cuda: tuple[float, float]
) -> None:
    """To within a factor of the square root of two, and never less than where CUDA begins to be the faster one."""
    on_cpu, on_cuda, clock = devices(cpu, cuda)
    rows = measured_cuda_from_rows(on_cpu, on_cuda, batch, 10_000, clock)
    crossing = (cuda[0] - MARGIN * cpu[0]) / (MARGIN * cpu[1] - cuda[1])
    assert rows is not None
    assert crossing <= rows <= math.ceil(crossing) * 1.5
    assert max(on_cpu.runs) <= GROWTH * math.ceil(crossing), "the CPU has run much larger batches than were needed"


def test_a_network_that_is_faster_on_the_gpu_for_one_row_runs_there_always() -> None:
    cpu, cuda, clock = devices((1000 * US, 900 * US), (220 * US, 0.5 * US))
    assert measured_cuda_from_rows(cpu, cuda, batch, 10_000, clock) == 1


def test_a_network_that_is_never_faster_on_the_gpu_stays_on_the_cpu() -> None:
    cpu, cuda, clock = devices((5 * US, 0.01 * US), (200 * US, 0.005 * US))
    assert measured_cuda_from_rows(cpu, cuda, batch, 10_000, clock) is None
    assert max(cuda.runs) == 10_000


@pytest.mark.parametrize(("rows", "device"), [(1, "cpu"), (63, "cpu"), (64, "cuda:0"), (5000, "cuda:0")])
def test_a_batch_goes_to_the_gpu_from_that_number_of_rows_on(rows: int, device: str) -> None:
    cpu, cuda, _ = devices((0, 0), (0, 0))
    assert PlacedRuntime(cpu, cuda, 64).run(batch(rows))["device"] == [device]


def test_a_gpu_that_fails_is_replaced_by_the_cpu_in_words_and_tried_again_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cpu, cuda, clock = devices((0, 0), (0, 0))
    cuda.error = RuntimeError("Failed to allocate memory\nfor requested buffer")
    placed = PlacedRuntime(cpu, cuda, 64, clock)
    assert [placed.run(batch(64))["device"][0] for _ in range(3)] == ["cpu"] * 3
    assert cuda.runs == [64], "it was tried again at once"
    assert [record.getMessage() for record in caplog.records] == [
        "cuda:0 failed, and the CPU is used for 60 s: Failed to allocate memory for requested buffer"
    ]
    cuda.error, clock.now = None, RETRY_AFTER
    assert placed.run(batch(64))["device"] == ["cuda:0"]


class Machine:
    """In place of `open_runtime`: a CPU and a GPU, or why there is none."""

    def __init__(self, no_gpu: str = "") -> None:
        self.opened: list[str] = []
        self._no_gpu = no_gpu
        self._clock = Clock()

    def open(self, _bundle: Any, _contents: Any, _settings: Settings, gpu: int | None) -> Runtime:
        device = "cpu" if gpu is None else f"cuda:{gpu}"
        self.opened.append(device)
        if gpu is not None and self._no_gpu:
            raise DeviceUnavailable(self._no_gpu)
        return FakeRuntime(device, self._clock, cuda_from_rows=None if gpu is None else 1)


def placed(machine: Machine, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Runtime:
    """Iris, placed on a machine; measuring would say 300."""
    monkeypatch.setattr(placement, "open_runtime", machine.open)
    monkeypatch.setattr(placement, "measured_cuda_from_rows", lambda *_: 300)
    return place(*load_bundle(newest("iris")), Settings(**settings))


@pytest.mark.parametrize(
    ("pinned", "expected", "opened"),
    [
        ({}, 300, ["cpu", "cuda:0"]),
        ({"iris": 16}, 16, ["cpu", "cuda:0"]),
        ({f"iris/{newest('iris').name}": 20, "iris": None}, 20, ["cpu", "cuda:0"]),
        ({"iris": None}, None, ["cpu"]),
        ({"mnist": None}, 300, ["cpu", "cuda:0"]),
    ],
)
def test_auto_measures_what_is_not_pinned_and_opens_no_session_in_vain(
    pinned: Mapping[str, int | None], expected: int | None, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    assert placed(machine, monkeypatch, cuda_from_rows=pinned).cuda_from_rows == expected
    assert machine.opened == opened


def test_a_device_by_name_is_the_only_one_that_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    for device, expected in (("cpu", None), ("cuda:1", 1)):
        machine = Machine()
        runtime = placed(machine, monkeypatch, device=device, cuda_from_rows={"iris": 16})
        assert (runtime.device, runtime.cuda_from_rows, machine.opened) == (device, expected, [device])


def test_auto_falls_back_to_the_cpu_where_the_gpu_is_full(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert placed(Machine("CUDA out of memory"), monkeypatch).device == "cpu"
    assert caplog.messages == ["a formula runs on the CPU: CUDA out of memory"]


@pytest.mark.parametrize(
    ("free", "taken", "share", "workers"),
    [
        (80_000, 900, 0.5, 16),
        (15_500, 900, 0.5, 8),
        (3_800, 900, 0.5, 2),
        (3_800, 900, 1.0, 4),
        (1_000, 900, 0.5, 1),
        (80_000, 5_300, 0.5, 7),
    ],
)
def test_as_many_workers_start_as_the_gpu_holds(
    free: int, taken: int, share: float, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    settings = Settings(workers=16, gpu_memory_share=share)
    trial = Trial({"mnist/3": 1, "iris/3": None}, "cuda:0", free * MIB, taken * MIB)
    decided = trial.decide(settings)
    assert (decided.workers, decided.cuda_from_rows) == (workers, {"mnist/3": 1, "iris/3": None, "*": None})
    memory, placements = caplog.messages
    assert f"has {free} MiB free, and a worker takes {taken}: {workers} of 16 workers" in memory
    assert placements == "cuda:0, by the rows of a batch: from 1 mnist/3; never iris/3"


def test_without_a_gpu_there_are_as_many_workers_as_are_set() -> None:
    assert Trial({"iris/3": None}).decide(Settings(workers=16)).workers == 16


def test_a_model_of_the_settings_that_there_is_not_stops_the_start() -> None:
    failed = failed_start(cuda_from_rows="iris=16,mnits=2")
    assert failed.returncode == 2
    assert "DIGITALIS_CUDA_FROM_ROWS names mnits: the models are" in failed.stderr
