"""Bodies and responses within the worker's memory budget: reserved, rejected, and given back."""

import contextlib
import gc
import json
import socket
import weakref
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from stepped_worker import Client, SteppedWorker

from service.worker.event_loop import SLOW_BODY_AGE
from service.worker.http_parser import MAX_AHEAD
from service.worker.memory import LARGEST_SHARE
from service.worker.options import WorkerOptions

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
BODY = 1000  # bytes, the largest that the application of the tests takes
LARGE = 200_000  # bytes
FOR_BODIES = 3 * BODY
OPTIONS = WorkerOptions(max_body_bytes=BODY, memory_budget_bytes=int(FOR_BODIES / (1 - LARGEST_SHARE)))


@pytest.fixture
def worker() -> Iterator[SteppedWorker]:
    with SteppedWorker(options=OPTIONS) as one:
        yield one


def large(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [bytes(LARGE)]


def begin(worker: SteppedWorker, framing: bytes = b"Content-Length: 1000\r\n\r\n" + b"x" * 10) -> Client:
    client = worker.client()
    client.send(POST + framing)
    return client


def test_a_body_that_comes_at_once_reserves_nothing(worker: SteppedWorker) -> None:
    for _ in range(5):
        assert worker.client().exchange(POST + b"Content-Length: 1000\r\n\r\n" + b"x" * BODY).status == 200
    assert worker.loop.memory.bodies == 0


def test_announced_lengths_are_reserved_in_order_of_arrival(worker: SteppedWorker) -> None:
    """Three bodies fit; the fourth gets 503, its connection is closed, and the three come to their end."""
    clients = [begin(worker) for _ in range(3)]
    assert worker.loop.memory.bodies == FOR_BODIES
    late = begin(worker)
    response = late.response()
    assert response
    assert (response.status, response.fields["retry-after"], response.fields["connection"]) == (503, "1", "close")
    message = json.loads(response.body)["error"]
    assert "hold 3000 of 8000 bytes, and a body of up to 1000 bytes does not fit" in message
    assert "(memory_budget_bytes): try again later" in message
    for client in clients:
        assert client.exchange(b"x" * (BODY - 10)).sent_body == "x" * BODY
    assert worker.loop.memory.bodies == 0
    assert begin(worker).response() is None, "there is room again"


def test_a_chunked_body_reserves_the_largest_length_until_it_is_complete(worker: SteppedWorker) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    clients = [begin(worker, chunked) for _ in range(3)]
    assert worker.loop.memory.bodies == FOR_BODIES
    late = begin(worker, chunked).response()
    assert late
    assert late.status == 503
    for client in clients:
        assert client.exchange(b"0\r\n\r\n").sent_body == "hello"
    assert worker.loop.memory.bodies == 0


@pytest.mark.parametrize("framing", [b"Content-Length: 1000\r\n\r\nhel", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"])
@pytest.mark.parametrize("is_reset", [False, True])
def test_a_client_that_hangs_up_gives_its_memory_back(
    worker: SteppedWorker,
    framing: bytes,
    is_reset: bool,  # noqa: FBT001
) -> None:
    client = begin(worker, framing)
    assert worker.loop.memory.bodies == BODY
    if is_reset:
        client.close()
    else:
        client.socket.shutdown(socket.SHUT_WR)
    worker.step()
    assert worker.loop.memory.bodies == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        GET,
        POST + b"Content-Length: 1000\r\n\r\nx",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_a_connection_that_is_closed_is_freed_at_once(worker: SteppedWorker, sent: bytes) -> None:
    """Without the garbage collector, which may be late."""
    gc.disable()
    try:
        client = worker.client()
        client.send(sent)
        (connection,) = worker.connections
        freed = weakref.ref(connection)
        del connection
        client.close()
        worker.step()
        assert freed() is None
    finally:
        gc.enable()


def test_an_idle_connection_keeps_no_body(worker: SteppedWorker) -> None:
    client = begin(worker)
    (connection,) = worker.connections
    body = connection._body
    stream = weakref.ref(body)
    del body
    assert client.exchange(b"x" * (BODY - 10)).status == 200
    assert stream() is None


def test_a_body_is_received_into_one_buffer_and_read_without_a_copy(worker: SteppedWorker) -> None:
    begin(worker, b"Content-Length: 1000\r\n\r\n" + b"x" * 10)
    (connection,) = worker.connections
    body = connection._body
    free = body.free
    assert free is not None
    free[:] = b"y" * 990
    del free
    assert body.fill(990)
    stream = body.stream(BODY + 1)
    first = stream.read(BODY + 1)
    assert first == b"x" * 10 + b"y" * 990
    assert stream.getvalue() is first


def test_what_is_discarded_after_a_rejection_takes_no_memory(worker: SteppedWorker) -> None:
    for _ in range(3):
        begin(worker)
    late = begin(worker)
    assert late.response()
    late.send(b"x" * (BODY - 10) + GET)
    assert late.receive() == b""
    assert worker.loop.memory.bodies == FOR_BODIES


def test_a_body_that_arrives_slowly_makes_room_if_others_need_its_memory(worker: SteppedWorker) -> None:
    """Six slow clients must not keep all others from uploading; without others, they may take their time."""
    clients = [begin(worker) for _ in range(3)]
    worker.clock.advance(SLOW_BODY_AGE + 1)
    assert [client.response() for client in clients] == [None] * 3
    late = begin(worker).response()
    assert late
    assert late.status == 503
    responses = [client.response() for client in clients]
    assert sorted(one.status if one else 0 for one in responses) == [0, 0, 408]
    assert begin(worker).response() is None, "the next one gets its memory"


def test_responses_that_are_not_read_are_counted_and_the_slowest_readers_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only while they take more than bodies may."""
    options = WorkerOptions(memory_budget_bytes=int(5 * LARGE / (1 - LARGEST_SHARE)))
    with SteppedWorker(large, options=options) as worker:
        clients = []
        for _ in range(4):
            clients.append(worker.client())
            clients[-1].send(GET * 3)
            worker.clock.advance(1)
        assert not worker.loop.memory.is_exceeded
        assert len(worker.connections) == 2
        for client in clients:
            client.receive()
        assert [client.is_closed for client in clients] == [True, True, False, False], "those that wait for longest"
        assert "does not read its response is closed" in caplog.text
        for client in clients[2:]:
            while client.receive() and client.response():
                worker.step()
        assert worker.loop.memory.responses == 0


@pytest.mark.parametrize(
    "request_bytes",
    [
        GET,
        POST + b"Content-Length: 1\r\n\r\nx",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ],
)
def test_few_requests_are_parsed_ahead_of_a_client_that_does_not_read(
    worker: SteppedWorker, request_bytes: bytes
) -> None:
    """And what it sends afterwards stays in the kernel."""
    client = worker.client()
    unsent = request_bytes * 20_000
    with contextlib.suppress(BlockingIOError):
        while unsent:
            unsent = unsent[client.socket.send(unsent) :]
            worker.step()
    assert unsent, "the worker has stopped reading"
    (connection,) = worker.connections
    assert len(connection.requests) <= 3 * MAX_AHEAD
    assert len(connection.unparsed) <= 2**14
