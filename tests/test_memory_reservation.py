"""What requests reserve of the worker's memory: waiting, rejections, and that all of it is given back."""

import gzip
import io
import random
import threading
import time
from typing import Any

import pytest
from conftest import IRIS
from running_service import DEADLINE, wait_until
from werkzeug.test import EnvironBuilder, run_wsgi_app

from service.app import create_app
from service.errors import PayloadTooLarge, ServiceOverloaded
from service.http.body import read_decompressed
from service.http.messages import UNRESERVED_BYTES, Request
from service.http.routing import DigitalisApp
from service.settings import Settings
from service.worker.memory import MemoryBudget

BUDGET = 80 * UNRESERVED_BYTES
LARGEST = 50 * UNRESERVED_BYTES


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return create_app(Settings(device="cpu", memory_budget_bytes=BUDGET), [IRIS])


def request_of(app: DigitalisApp, **environ: Any) -> Request:
    return app.request_of({"wsgi.input": io.BytesIO(), **environ})


def taken(memory: MemoryBudget) -> int:
    return memory.bodies + memory.handling


def test_what_is_reserved_is_given_back_also_after_an_error(app: DigitalisApp) -> None:
    memory = MemoryBudget(BUDGET)

    @request_of(app, **{"worker.memory": memory}).reserve(LARGEST)
    def fail() -> None:
        assert memory.handling == LARGEST
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert taken(memory) == 0


@pytest.mark.parametrize("environ", [{}, {"worker.memory": MemoryBudget(BUDGET)}], ids=["another server", "our worker"])
def test_more_than_one_request_may_take_is_too_large_under_any_server(
    app: DigitalisApp, environ: dict[str, Any]
) -> None:
    with request_of(app, **environ).reserve(LARGEST):
        pass
    expected = "a picture may take 52,428,801 bytes of memory: at most 52,428,800, 0.625 of DIGITALIS_MEMORY_BUDGET_BYT"
    with pytest.raises(PayloadTooLarge, match=expected), request_of(app, **environ).reserve(LARGEST + 1, "a picture"):
        pass


def test_a_small_request_neither_waits_nor_counts(app: DigitalisApp) -> None:
    memory = MemoryBudget(BUDGET)
    assert memory.acquire(LARGEST, timeout=0)
    assert memory.acquire(BUDGET - LARGEST, timeout=0)
    with request_of(app, **{"worker.memory": memory}).reserve(UNRESERVED_BYTES):
        assert memory.handling == BUDGET


def test_a_request_waits_until_another_gives_its_memory_back(app: DigitalisApp) -> None:
    memory = MemoryBudget(BUDGET)
    assert memory.acquire(LARGEST, timeout=0)
    handled = threading.Event()

    def handle() -> None:
        environ = {"worker.memory": memory, "worker.deadline": time.monotonic() + DEADLINE}
        with request_of(app, **environ).reserve(LARGEST):
            handled.set()

    thread = threading.Thread(target=handle)
    thread.start()
    wait_until(lambda: memory._waiting, "the second request waits")
    assert not handled.is_set()
    memory.release(LARGEST)
    thread.join(DEADLINE)
    assert handled.is_set()
    assert taken(memory) == 0


@pytest.mark.parametrize("environ", [{}, {"worker.deadline": 0.0}], ids=["no deadline", "a deadline that is over"])
def test_a_request_that_waits_in_vain_is_told_to_come_again(app: DigitalisApp, environ: dict[str, Any]) -> None:
    memory = MemoryBudget(BUDGET)
    assert memory.acquire(LARGEST, timeout=0)
    request = request_of(app, **{"worker.memory": memory}, **environ)
    with pytest.raises(ServiceOverloaded, match="DIGITALIS_MEMORY_BUDGET_BYTES=83886080"), request.reserve(LARGEST):
        pass
    assert taken(memory) == LARGEST


def test_a_body_that_does_not_fit_is_rejected_at_once(app: DigitalisApp) -> None:
    memory = MemoryBudget(BUDGET)
    request = request_of(app, **{"worker.memory": memory})
    request.reserve_body(BUDGET - LARGEST)
    with pytest.raises(ServiceOverloaded):
        request.reserve_body(1)
    assert memory.bodies == BUDGET - LARGEST


def test_an_overloaded_service_answers_503_with_retry_after(app: DigitalisApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def overloaded(*_arguments: object) -> None:
        raise ServiceOverloaded("no memory")

    monkeypatch.setattr(type(app.models), "find", overloaded)
    environ = EnvironBuilder(path="/v1/models/iris:predict", method="POST", data=b"{}").get_environ()
    body, status, headers = run_wsgi_app(app.middleware, environ)
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "1")
    assert b"".join(body) == b'{"error":"no memory"}\n'


def compressed_request(memory: MemoryBudget, rows: int) -> dict[str, Any]:
    body = gzip.compress(b'{"instances":[' + b",".join([b"[5.1,3.5,1.4,0.2]"] * rows) + b"]}" + b" " * 2**20)
    builder = EnvironBuilder(
        path="/v1/models/iris:predict",
        method="POST",
        data=body,
        headers=[("Content-Encoding", "gzip"), ("Content-Type", "application/json")],
    )
    return {**builder.get_environ(), "worker.memory": memory}


def test_a_compressed_body_is_reserved_until_the_response_is_made(
    app: DigitalisApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = MemoryBudget(BUDGET)
    reserved: list[int] = []
    monkeypatch.setattr(memory, "release_body", reserved.append)
    body, status, _ = run_wsgi_app(app.middleware, compressed_request(memory, rows=2))
    assert status == "200 OK"
    assert b"".join(body).count(b"setosa") == 4
    assert reserved == [memory.bodies]
    assert memory.bodies > 2**20


def test_a_compressed_body_for_which_no_memory_is_free_is_503(app: DigitalisApp) -> None:
    memory = MemoryBudget(BUDGET)
    assert memory.reserve_body(BUDGET - LARGEST)
    _, status, _ = run_wsgi_app(app.middleware, compressed_request(memory, rows=2))
    assert status == "503 Service Unavailable"
    assert memory.bodies == BUDGET - LARGEST


@pytest.mark.parametrize("members", [1, 3, 100])
def test_a_body_of_several_gzip_members_is_all_of_them(app: DigitalisApp, members: int) -> None:
    noise = random.Random(0).randbytes(300_000)
    body = b"".join(gzip.compress(noise) for _ in range(members))
    environ = {"HTTP_CONTENT_ENCODING": "gzip", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    settings = Settings(device="cpu", max_body_bytes=10**8)
    assert read_decompressed(request_of(app, **environ)._replace(settings=settings)) == noise * members
