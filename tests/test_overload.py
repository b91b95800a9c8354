"""More than the service can handle, counted: what is asked, what is answered, and what it costs in memory."""

from functools import partial
from pathlib import Path

import pytest
from running_service import RunningService, wait_until

from benchmarks.overload.open_loop import OpenLoop
from benchmarks.overload.probes import probing
from benchmarks.overload.scenarios import allow_connections, measure_capacity, photo_request, rows_request
from benchmarks.overload.slow_senders import send_bodies_that_stop
from benchmarks.serve.servers import pss_megabytes
from service.settings import Settings

pytestmark = pytest.mark.slow

SECONDS = 10
WARM_UP = 2  # seconds in which both workers load and allocate what the first such requests need
FACTOR = 4  # times the capacity
MEMORY_IS_BACK = 1.1  # times what it was before


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        pytest.param(rows_request(10_000), b'"label":"setosa"', id="10,000 rows"),
        pytest.param(photo_request(), b'"label":"7"', id="12-megapixel photos"),
    ],
)
def test_every_request_of_an_overload_gets_200_or_503(tmp_path: Path, request_bytes: bytes, expected: bytes) -> None:
    """Health is answered within a second meanwhile, no worker dies, and memory is given back."""
    allow_connections()
    with RunningService(tmp_path / "log", workers="2", queue_timeout_ms="1000") as server:
        server.wait_for_workers(2)
        rate = FACTOR * measure_capacity(server.host_and_port, request_bytes)
        load = partial(OpenLoop, server.host_and_port, [request_bytes], expected=expected)
        load().run(rate, WARM_UP)
        workers, before = server.workers(), pss_megabytes(server.process.pid)
        with probing(server.host_and_port) as probes:
            found = load().run(rate, SECONDS)
        assert {status for status, count in found.statuses.items() if count} == {"200", "503"}
        assert found.statuses.total() == found.offered
        assert probes.failed == 0
        assert probes.answered_ms
        assert server.workers() == workers
        wait_until(
            lambda: pss_megabytes(server.process.pid) < MEMORY_IS_BACK * before, f"memory near {before:.0f} MB again"
        )


def test_slow_senders_take_no_more_memory_than_the_budget_and_give_it_back(tmp_path: Path) -> None:
    budget = Settings().memory_budget_bytes / 2**20
    with RunningService(tmp_path / "log") as server:
        server.wait_for_workers(1)
        workers, before = server.workers(), pss_megabytes(server.process.pid)
        with probing(server.host_and_port) as probes:
            peak = send_bodies_that_stop(server.host_and_port, server.process.pid)
        assert before < peak < before + budget
        assert probes.failed == 0
        assert server.workers() == workers
        wait_until(
            lambda: pss_megabytes(server.process.pid) < MEMORY_IS_BACK * before, f"memory near {before:.0f} MB again"
        )
