"""HTTP/1.1 as the worker's connections speak it, byte by byte and without a process: RFC 9110 and 9112."""

import contextlib
import itertools
import json
import logging
import socket
from collections.abc import Iterator

import pytest
from stepped_worker import MAX_BODY, Client, Response, SteppedWorker

from service.worker.connection import MAX_DISCARD_FACTOR
from service.worker.request_head import MAX_FIELDS
from service.worker.request_runner import MAX_IN_A_ROW

GET = b"GET /path?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /path HTTP/1.1\r\nHost: x\r\n"
WITH_LENGTH = POST + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;extension=1\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
UPGRADE_WITH_LENGTH = POST + OFFER + b"Content-Length: 5\r\n\r\nhello"
UPGRADE_CHUNKED = POST + OFFER + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
UPGRADE_WITHOUT_BODY = b"GET /path HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n"
ONE_BYTE_CHUNKS = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1;%s\r\nx\r\n" % (b"e" * 100) * MAX_BODY
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture
def worker() -> Iterator[SteppedWorker]:
    with SteppedWorker() as one:
        yield one


@pytest.fixture
def client(worker: SteppedWorker) -> Client:
    return worker.client()


def responses(client: Client, count: int) -> list[Response]:
    found = [client.response() for _ in range(count)]
    assert None not in found
    return [one for one in found if one]


def read_all(worker: SteppedWorker, client: Client, count: int) -> int:
    """Read so many responses, which the socket does not take at once."""
    received = 0
    while received < count:
        worker.step()
        assert client.receive()
        while client.response():
            received += 1
    return received


@pytest.mark.parametrize(
    ("request_bytes", "body"),
    [
        pytest.param(GET, "", id="no body"),
        pytest.param(WITH_LENGTH, "hello", id="Content-Length"),
        pytest.param(CHUNKED, "hello", id="chunked, with an extension and a trailer"),
        pytest.param(UPGRADE_WITH_LENGTH, "hello", id="an offer to upgrade, Content-Length"),
        pytest.param(UPGRADE_CHUNKED, "hello", id="an offer to upgrade, chunked"),
        pytest.param(UPGRADE_WITHOUT_BODY, "", id="an offer to upgrade, no body"),
    ],
)
def test_a_request_may_be_split_at_every_byte(worker: SteppedWorker, request_bytes: bytes, body: str) -> None:
    """In two parts, at each offset, and into single bytes; other connections are served meanwhile."""
    other = worker.client()
    client = worker.client()
    for offset in range(1, len(request_bytes)):
        client.send(request_bytes[:offset])
        assert client.receive() == b""
        assert other.exchange(GET).status == 200
        response = client.exchange(request_bytes[offset:])
        assert (response.status, response.sent_body) == (200, body), offset
        assert "connection" not in response.fields
    for i in range(len(request_bytes)):
        client.send(request_bytes[i : i + 1])
    (response,) = responses(client, 1)
    assert response.sent_body == body
    assert "HTTP_X_TRAILER" not in response.environ
    assert client.exchange(WITH_LENGTH).sent_body == "hello"


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.permutations([GET, WITH_LENGTH, CHUNKED, UPGRADE_WITH_LENGTH], 2))
)
def test_two_requests_may_be_split_anywhere(client: Client, first: bytes, second: bytes) -> None:
    both = first + second
    for offset in range(1, len(both)):
        client.send(both[:offset])
        client.send(both[offset:])
        bodies = [one.sent_body for one in responses(client, 2)]
        assert bodies == ["" if one is GET else "hello" for one in (first, second)], offset


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(100)))
    assert [one.environ["PATH_INFO"] for one in responses(client, 100)] == [f"/{i}" for i in range(100)]


def test_many_pipelined_requests_do_not_starve_other_connections(worker: SteppedWorker) -> None:
    greedy, other = worker.client(), worker.client()
    greedy.socket.sendall(GET * 1000)
    other.socket.sendall(GET)
    worker.poll()
    assert other.response()
    assert greedy.receive().count(b"HTTP/1.1 200") <= 2 * MAX_IN_A_ROW
    assert read_all(worker, greedy, 1000) == 1000


def test_a_client_that_does_not_read_delays_no_other_client_and_receives_everything(worker: SteppedWorker) -> None:
    slow, other = worker.client(), worker.client()
    count = 2000
    slow.send(GET * count)
    assert sum(len(connection.write_buffer) > 0 for connection in worker.connections) == 1
    assert other.exchange(GET).status == 200
    assert read_all(worker, slow, count) == count


def test_thousands_of_offers_to_upgrade_may_arrive_at_once(worker: SteppedWorker, client: Client) -> None:
    short = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    client.send(short * 2000)
    assert read_all(worker, client, 2000) == 2000


# 100 Continue.


def test_100_continue_is_sent_before_the_body(client: Client) -> None:
    client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert client.receive() == CONTINUE
    assert client.response() == Response(100, {}, b"")
    assert client.exchange(b"hello").sent_body == "hello"


def test_100_continue_is_sent_after_the_response_to_the_request_before(client: Client) -> None:
    client.send(GET + POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert [one.status for one in responses(client, 2)] == [200, 100]
    assert client.exchange(b"hello").sent_body == "hello"


def test_100_continue_is_not_sent_once_the_body_has_arrived(client: Client) -> None:
    assert client.exchange(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello").status == 200


def test_100_continue_is_not_sent_to_http_1_0(client: Client) -> None:
    client.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert client.receive() == b""


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_a_body_that_will_be_too_long_gets_its_response_before_it_is_sent(client: Client, expect: bytes) -> None:
    response = client.exchange(POST + expect + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))
    assert (response.status, response.fields["connection"]) == (413, "close")


# Bodies.


def test_chunks_that_never_end_are_not_kept(worker: SteppedWorker, client: Client) -> None:
    """The response comes once the limit is passed. Some of what follows is discarded, then the connection is closed."""
    client.send(
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % (2 * MAX_BODY) + bytes(2 * MAX_BODY) + b"\r\n"
    )
    (response,) = responses(client, 1)
    assert (response.status, len(response.sent_body)) == (413, MAX_BODY + 1)
    client.send(b"%x\r\n" % MAX_BODY + bytes(MAX_BODY) + b"\r\n")
    assert client.receive() == b""
    assert client.is_closed, "for writing"
    assert worker.connections
    client.send(bytes(MAX_DISCARD_FACTOR * MAX_BODY))
    assert not worker.connections


def test_a_body_of_the_largest_size_passes(client: Client) -> None:
    assert (
        client.exchange(POST + b"Content-Length: %d\r\n\r\n" % MAX_BODY + b"x" * MAX_BODY).sent_body == "x" * MAX_BODY
    )


def test_what_follows_a_body_that_is_too_long_is_not_run(worker: SteppedWorker) -> None:
    """Even if it looks like another request, and has arrived together with the body."""
    chunk = b"%x\r\n" % (MAX_BODY + 1) + bytes(MAX_BODY + 1) + b"\r\n0\r\n\r\n"
    for following in (GET, WITH_LENGTH, WITH_LENGTH[:-1], CHUNKED, CHUNKED[:-3], b"nonsense"):
        client = worker.client()
        client.socket.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + following)
        client.socket.shutdown(socket.SHUT_WR)
        worker.step()
        (response,) = responses(client, 1)
        assert response.status == 413
        assert client.receive() == b""
        assert client.is_closed


@pytest.mark.parametrize(
    ("beginning", "status", "words"),
    [
        pytest.param(POST + b"Content-Length: 5\r\n\r\nhel", 400, "hel", id="Content-Length"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", 400, "EOFError()", id="chunked"),
    ],
)
def test_a_body_that_is_cut_off_reaches_the_application_as_such(
    worker: SteppedWorker, client: Client, beginning: bytes, status: int, words: str
) -> None:
    client.socket.sendall(beginning)
    client.socket.shutdown(socket.SHUT_WR)
    worker.step()
    (response,) = responses(client, 1)
    assert (response.status, response.sent_body) == (status, words)
    assert not worker.connections


def test_a_malformed_chunk_reaches_the_application_as_an_error(client: Client) -> None:
    response = client.exchange(POST + b"Transfer-Encoding: chunked\r\n\r\nnonsense")
    assert response.status == 400
    assert "ValueError" in response.sent_body
    assert client.response() is None
    assert client.is_closed


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        (b"Transfer-Encoding: gzip, chunked\r\n", 501, "Transfer-Encoding gzip, chunked is not supported"),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501, "Transfer-Encoding gzip,chunked"),
        (b"Transfer-Encoding: identity\r\n", 400, "Transfer-Encoding identity is not supported"),
        (b"Transfer-Encoding: gzip\r\n", 400, "Transfer-Encoding gzip is not supported"),
        (b"Transfer-Encoding: xchunked\r\n", 400, "Transfer-Encoding xchunked is not supported"),
        (b"Transfer-Encoding: chunked, gzip\r\n", 400, "Transfer-Encoding"),
        (b"Transfer-Encoding: chunked, chunked\r\n", 400, "Transfer-Encoding"),
        (b"Transfer-Encoding: \r\n", 400, "Transfer-Encoding"),
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400, "Transfer-Encoding"),
        (OFFER + b"Transfer-Encoding: identity\r\n", 400, "Transfer-Encoding identity is not supported"),
        (OFFER + b"Transfer-Encoding: xchunked\r\n", 400, "Transfer-Encoding xchunked is not supported"),
        (OFFER + b"Transfer-Encoding: gzip, chunked\r\n", 501, "Transfer-Encoding gzip, chunked is not supported"),
    ],
)
def test_a_transfer_coding_other_than_chunked_never_reaches_the_application(
    client: Client, fields: bytes, status: int, words: str
) -> None:
    response = client.exchange(POST + fields + b"\r\n5\r\nhello\r\n0\r\n\r\n" + GET)
    assert response.status == status
    assert words in json.loads(response.body)["error"]
    assert client.response() is None
    assert client.is_closed


def test_http_1_0_has_no_transfer_codings(client: Client) -> None:
    """RFC 9112, 6.1: a server before this one may have passed on what it took for another request."""
    head = b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = client.exchange(head + b"5\r\nhello\r\n0\r\n\r\n")
    assert (response.status, b"needs HTTP/1.1" in response.body) == (400, True)
    assert client.receive() == b""
    assert client.is_closed


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED", b"chunked "])
def test_chunked_is_known_in_any_case(client: Client, coding: bytes) -> None:
    response = client.exchange(POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert response.sent_body == "hello"


# Host.


@pytest.mark.parametrize(
    ("head", "status", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host header"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400, "no Host header"),
        (b"GET http://x/ HTTP/1.1\r\n\r\n", 400, "no Host header"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "more than one Host header"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nhost: x\r\n\r\n", 400, "more than one Host header"),
        (b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400, "more than one Host header"),
    ],
)
def test_a_request_has_exactly_one_host(client: Client, head: bytes, status: int, words: str) -> None:
    response = client.exchange(head)
    assert response.status == status
    assert words in json.loads(response.body)["error"]
    assert client.receive() == b""
    assert client.is_closed


@pytest.mark.parametrize("head", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"])
def test_http_1_0_needs_no_host_and_a_host_may_be_empty(client: Client, head: bytes) -> None:
    assert client.exchange(head).status == 200


# Limits, and what is not HTTP.


@pytest.mark.parametrize(
    ("head", "status", "words"),
    [
        pytest.param(
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_FIELDS + 1) + b"\r\n", 431, "over 100 fields", id="fields"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000, 431, "over 65536 bytes of header", id="a field, open"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431, "over 65536 bytes", id="a field"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: %s\r\n" % (b"y" * 1000) * 70, 431, "65536 bytes", id="all fields"),
        pytest.param(b"GET /" + b"y" * 200_000, 431, "over 65536 bytes of header", id="a target, open"),
        pytest.param(b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n\r\n", 431, "over 65536 bytes of header", id="a target"),
        pytest.param(POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "Content-Length", id="two lengths"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n", 400, "Content-Length", id="a negative length"),
        pytest.param(POST + b"Content-Length: " + b"0" * 5000 + b"3\r\n\r\n", 400, "too many digits", id="long length"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "this is not HTTP/1.1", id="HTTP/2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", 400, "this is not HTTP/1.1", id="TLS"),
        pytest.param(b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", 400, "header", id="a space in a name"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, "this is not HTTP/1.1", id="a folded field"),
        pytest.param(CHUNKED[:-2] + b"X: " + b"y" * 400_000, 400, "more framing than content", id="a trailer field"),
        pytest.param(CHUNKED[:-2] + b"X: y\r\n" * 70_000, 400, "more framing than content", id="trailer fields"),
        pytest.param(ONE_BYTE_CHUNKS, 400, "more framing than content", id="chunks of a byte"),
        pytest.param(b"GET /\r\n\r\n", 400, "this is not HTTP/1.1", id="HTTP/0.9"),
        pytest.param(b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", 400, "this is not HTTP/1.1", id="HTTP/0.9 by name"),
        pytest.param(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400, "this is not HTTP/1.1", id="HTTP/2.0"),
        pytest.param(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", 400, "this is not HTTP/1.1", id="RTSP"),
        pytest.param(b"DESCRIBE /x RTSP/1.0\r\nCSeq: 1\r\n\r\n", 400, "this is not HTTP/1.1", id="a method of RTSP"),
        pytest.param(b"SOURCE /x ICE/1.0\r\n\r\n", 400, "this is not HTTP/1.1", id="ICE"),
        pytest.param(b"SETUP / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "this is not HTTP/1.1", id="RTSP's in HTTP"),
        pytest.param(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n" * 500, 501, "CONNECT is not supported", id="CONNECT"),
    ],
)
@pytest.mark.parametrize("piece", [2**20, 1000])
def test_an_invalid_request_gets_an_error_response_in_json(
    worker: SteppedWorker, caplog: pytest.LogCaptureFixture, head: bytes, status: int, words: str, piece: int
) -> None:
    other, client = worker.client(), worker.client()
    with caplog.at_level(logging.WARNING, "gunicorn.error"):
        for start in range(0, len(head), piece):
            with contextlib.suppress(BrokenPipeError):  # the worker reads some more, and then closes the connection
                client.send(head[start : start + piece])
            if client.receive():
                break
    (response,) = responses(client, 1)
    assert (response.status, response.fields["content-type"]) == (status, "application/json")
    assert words in json.loads(response.body)["error"]
    assert "an invalid request from a Unix socket" in caplog.text
    assert client.receive() == b""
    assert client.is_closed
    assert other.exchange(GET).status == 200
    client.close()
    worker.step()
    assert len(worker.connections) == 1


def test_small_chunks_are_no_large_head(worker: SteppedWorker) -> None:
    """The framing of a small body may be longer than the body."""
    client = worker.client()
    client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(MAX_BODY):
        client.send(b"1\r\nx\r\n")
    assert client.exchange(b"0\r\n\r\n").sent_body == "x" * MAX_BODY


def test_a_response_is_sent_before_the_error_response_to_what_follows(client: Client) -> None:
    client.send(GET + b"nonsense\r\n\r\n")
    assert [one.status for one in responses(client, 2)] == [200, 400]


# Keep-alive and close.


@pytest.mark.parametrize(
    ("version", "field", "stays"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
        (b"1.1", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", True),
        (b"1.1", b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n", False),
    ],
)
@pytest.mark.parametrize("body", [b"", b"hello"])
def test_a_connection_stays_open_as_http_says(
    worker: SteppedWorker,
    client: Client,
    version: bytes,
    field: bytes,
    stays: bool,  # noqa: FBT001
    body: bytes,
) -> None:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    response = client.exchange(b"POST / HTTP/" + version + b"\r\nHost: x\r\n" + field + length + b"\r\n" + body)
    assert (response.status, response.sent_body) == (200, body.decode())
    connection = response.fields.get("connection")
    assert connection == (None if stays and version == b"1.1" else "keep-alive" if stays else "close")
    if stays:
        assert client.exchange(GET).status == 200
        return
    assert client.receive() == b""
    assert client.is_closed
    client.socket.shutdown(socket.SHUT_WR)
    worker.step()
    assert not worker.connections


def test_nothing_follows_a_response_that_is_the_last(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nnonsense")
    assert client.exchange(GET).status == 200
    assert client.receive() == b""
    assert client.is_closed


# The environment.


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a/%69ris", "/a/iris", ""),
        (b"http://x/a?b=%20", "/a", "b=%20"),
        (b"http://x", "/", ""),
        (b"/a?b=c?d=http://e", "/a", "b=c?d=http://e"),
        (b"/a/%C3%A4", "/a/\xc3\xa4", ""),
        (b"*", "*", ""),
    ],
)
def test_targets_are_read_in_every_form(client: Client, target: bytes, path: str, query: str) -> None:
    environ = client.exchange(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n").environ
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)


def test_header_fields_become_keys(client: Client) -> None:
    fields = b"Content-Type: a/b\r\nX-One: 1\r\nx-one: 2\r\nCookie: a=b\r\nCookie: c=d\r\nX-Empty:\r\nX-Latin: \xe4\r\n"
    environ = client.exchange(POST + fields + b"Content-Length: 0005\r\n\r\nhello").environ
    wanted = {
        "CONTENT_TYPE": "a/b",
        "CONTENT_LENGTH": "5",
        "HTTP_X_ONE": "1,2",
        "HTTP_COOKIE": "a=b; c=d",
        "HTTP_X_EMPTY": "",
        "HTTP_X_LATIN": "\xe4",
        "HTTP_HOST": "x",
        "REQUEST_METHOD": "POST",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "RAW_URI": "/path",
        "SCRIPT_NAME": "",
        "REMOTE_ADDR": "",
    }
    assert {key: environ.get(key) for key in wanted} == wanted


def test_one_request_leaves_nothing_to_the_next(client: Client) -> None:
    client.exchange(POST + b"X-One: 1\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello")
    environ = client.exchange(GET).environ
    assert not environ.keys() & {"HTTP_X_ONE", "CONTENT_TYPE", "CONTENT_LENGTH"}
    assert environ["body"] == ""


def test_a_name_with_an_underscore_cannot_pass_for_one_with_a_hyphen(client: Client) -> None:
    environ = client.exchange(
        b"GET / HTTP/1.1\r\nHost: x\r\nX_Request_ID: forged\r\nX-Request-ID: true\r\n\r\n"
    ).environ
    assert environ["HTTP_X_REQUEST_ID"] == "true"


# Hang-ups.


@pytest.mark.parametrize("request_bytes", [GET, WITH_LENGTH, CHUNKED, UPGRADE_WITH_LENGTH])
@pytest.mark.parametrize("is_read", [False, True], ids=["a reset", "an end"])
def test_a_client_may_hang_up_after_every_byte(
    worker: SteppedWorker,
    caplog: pytest.LogCaptureFixture,
    request_bytes: bytes,
    is_read: bool,  # noqa: FBT001
) -> None:
    """A Unix socket that is closed with unread data is reset; 100 Continue is what the client has not read."""
    for offset in range(len(request_bytes) + 1):
        client = worker.client()
        if is_read:
            client.send(request_bytes[:offset])
            client.receive()
        else:
            client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            client.send(b"hello" + request_bytes[:offset])
        client.close()
        worker.step()
        assert not worker.connections
    assert "Traceback" not in caplog.text
    assert worker.client().exchange(GET).status == 200


def test_a_client_that_half_closes_gets_its_response(worker: SteppedWorker, client: Client) -> None:
    client.socket.sendall(GET + WITH_LENGTH)
    client.socket.shutdown(socket.SHUT_WR)
    worker.step()
    assert [one.status for one in responses(client, 2)] == [200, 200]
    assert client.receive() == b""
    assert client.is_closed
    assert not worker.connections


def test_a_failure_in_one_connection_closes_it_alone(
    worker: SteppedWorker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, other = worker.client(), worker.client()

    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(worker.connections[0], "receive", fail)
    failing.send(GET)
    assert failing.receive() == b""
    assert failing.is_closed
    assert "failed and is closed" in caplog.text
    assert other.exchange(GET).status == 200
