"""What PEP 3333 asks of a server: the environment, `start_response`, `write`, `close`."""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

import pytest
from stepped_worker import Response, SteppedWorker, echo

GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
TEXT = [("Content-Type", "text/plain")]


def run(application: WSGIApplication, request: bytes = GET) -> Response:
    """The response, and that the connection goes on after it or closes, as it says."""
    with SteppedWorker(application) as worker:
        client = worker.client()
        client.send(request)
        response = client.response(has_body=not request.startswith(b"HEAD"))
        assert response is not None
        assert client.receive() == b""
        assert client.is_closed == (response.fields.get("connection") == "close")
        return response


@pytest.mark.parametrize("request_bytes", [GET, POST, HEAD])
def test_the_validator_of_pep_3333_finds_nothing(request_bytes: bytes) -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        parts = echo(environ, start_response)
        return iter([]) if environ["REQUEST_METHOD"] == "HEAD" else parts

    assert run(validator(application), request_bytes).status == 200


def test_what_is_written_comes_before_what_is_returned() -> None:
    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"a")
        write(b"b")
        return [b"c", b"d"]

    response = run(application)
    assert (response.body, response.fields["content-length"]) == (b"abcd", "4")


def test_a_generator_may_start_the_response_when_it_is_iterated() -> None:
    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"ab"
        yield b"c"

    assert run(application).body == b"abc"


def test_headers_are_replaced_when_the_second_call_has_an_error() -> None:
    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*TEXT, ("X-First", "1")])
        try:
            int("no number")
        except ValueError:
            start_response("503 Service Unavailable", TEXT, sys.exc_info())
        return [b"sorry"]

    response = run(application)
    assert (response.status, response.body) == (503, b"sorry")
    assert "x-first" not in response.fields


def test_a_second_call_without_an_error_is_an_assertion_error() -> None:
    seen: list[BaseException] = []

    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        with pytest.raises(AssertionError, match="called twice") as caught:
            start_response("201 Created", TEXT)
        seen.append(caught.value)
        return [b""]

    assert run(application).status == 200
    assert len(seen) == 1


class Parts:
    """An iterable that counts how often it is closed."""

    def __init__(self, *parts: bytes, fails: bool = False) -> None:
        self._parts = parts
        self._fails = fails
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        if self._fails:
            raise ValueError("no luck")

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("fails", [False, True])
def test_the_iterable_is_closed_once_even_when_it_fails(
    caplog: pytest.LogCaptureFixture,
    fails: bool,  # noqa: FBT001
) -> None:
    """A response that fails half-way is replaced by an error response: nothing of it has been sent."""
    parts = Parts(b"a", b"b", fails=fails)

    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return parts

    response = run(application)
    assert parts.closed == 1
    assert (response.status, response.body) == ((500, b'{"error": "internal error"}') if fails else (200, b"ab"))
    assert ("the application failed at /a" in caplog.text) == fails


def raises(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
    raise ValueError("no luck")


def never_starts(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
    return [b"a"]


def breaks_a_line(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("X-A", "b\r\nX-C: d")])
    return [b"a"]


@pytest.mark.parametrize("application", [raises, never_starts, breaks_a_line])
def test_an_application_that_fails_gets_500_and_is_logged(
    caplog: pytest.LogCaptureFixture, application: WSGIApplication
) -> None:
    with caplog.at_level(logging.ERROR, "gunicorn.error"):
        response = run(application)
    assert (response.status, response.body) == (500, b'{"error": "internal error"}')
    assert response.fields["connection"] == "close"
    assert "the application failed at /a" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    ("status", "request_bytes", "length"),
    [("200 OK", GET, "4"), ("200 OK", HEAD, "4"), ("204 No Content", GET, None), ("304 Not Modified", GET, None)],
)
def test_a_response_that_has_no_body_is_sent_without_one(status: str, request_bytes: bytes, length: str | None) -> None:
    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, TEXT)
        return [b"body"]

    response = run(application, request_bytes)
    assert response.fields.get("content-length") == length
    assert response.body == (b"body" if (status, request_bytes) == ("200 OK", GET) else b"")


@pytest.mark.parametrize("name", ["Content-Length", "content-length"])
def test_a_content_length_of_the_application_is_kept(name: str) -> None:
    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [(name, "4")])
        return [b"body"]

    response = run(application)
    assert (response.fields["content-length"], response.body) == ("4", b"body")


def test_responses_have_a_date() -> None:
    assert run(echo).fields["date"].endswith(" GMT")


def test_the_environment_says_how_the_application_is_run() -> None:
    seen: dict[str, Any] = {}

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.update(environ)
        start_response("200 OK", TEXT)
        return [b""]

    run(application, POST)
    wanted = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
    }
    assert {key: seen[key] for key in wanted} == wanted
