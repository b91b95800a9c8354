"""The memory of large bodies is there for the next ones, and is returned when they have gone."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from running_service import RunningService, wait_until

from service import malloc

BODY = b"\0" * (3 * 2**20 + 1)  # not a whole number of rows
ALLOWED_MB = 12  # more than before: what the first requests of any kind take


def resident_megabytes(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 / 2**20


def test_the_memory_of_large_bodies_is_returned_within_seconds(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log") as service:
        (worker,) = service.workers()

        def send(_number: int) -> int:
            headers = {"Inference-Header-Content-Length": "0"}
            return service.client.post("/v2/models/iris/infer", content=BODY, headers=headers).status_code

        assert send(0) == 400
        before = resident_megabytes(worker)
        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(send, range(100))) == {400}
        wait_until(lambda: resident_megabytes(worker) < before + ALLOWED_MB, "the worker keeps the memory of bodies")


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise OSError("no libc.so.6")

    monkeypatch.setattr("ctypes.CDLL", missing)
    malloc._glibc.cache_clear()
    try:
        malloc.tune()
        malloc.return_free_memory()
        assert malloc._glibc() is None
    finally:
        malloc._glibc.cache_clear()
