"""Run a WSGI application for one request, and write its response as bytes (PEP 3333).

The response is built in memory before its first byte is sent. So `start_response` may always replace the status and the
headers, and an application that fails half-way never leaves a truncated response.
"""

import json
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any, NamedTuple
from wsgiref.types import WSGIApplication, WSGIEnvironment

from service.worker.request_body import RequestBody
from service.worker.request_head import Overloaded, Rejected

WITHOUT_BODY = ("204", "304")  # statuses whose responses have no body, and no Content-Length


class ParsedRequest(NamedTuple):
    """A complete request, or one that is to be rejected.

    `keep_alive` says whether its connection stays open after the response, `body` what its body has reserved.
    """

    environ: WSGIEnvironment
    keep_alive: bool
    body: RequestBody | None = None
    rejection: Rejected | None = None

    def release_memory(self) -> None:
        """The request has its response, or will never get one."""
        if self.body is not None:
            self.body.release()


WITHOUT_REQUEST = ParsedRequest({"SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": "GET"}, keep_alive=False)

BuiltResponse = tuple[str, list[tuple[str, str]], bytes]  # a status such as "200 OK", header fields, the whole body


class _StartResponse:
    """The `start_response` callable of one request. A nested function would evaluate its annotations each time."""

    __slots__ = ("headers", "status", "written")

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.written: list[bytes] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], None]:
        if self.status and not exc_info:
            raise AssertionError("start_response was called twice, the second time without exc_info")
        self.status, self.headers = status, headers
        return self.write

    def write(self, data: bytes) -> None:
        """Send data before everything that the application returns."""
        self.written.append(data)


def run_wsgi(application: WSGIApplication, environ: WSGIEnvironment) -> BuiltResponse:
    """Call the application for one request. Raises whatever the application raises."""
    start_response = _StartResponse()
    parts = application(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    if not start_response.status:
        raise RuntimeError("the application has not called start_response")
    if start_response.written:
        body = b"".join([*start_response.written, body])
    return start_response.status, start_response.headers, body


def serialize(response: BuiltResponse, request: ParsedRequest) -> bytes:
    """The bytes of a response. Raises `ValueError` for a header that would break the response's head."""
    status, headers, body = response
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
        raise ValueError("a header of the response contains a line break")
    has_body = not status.startswith(WITHOUT_BODY)
    if has_body and "Content-Length:" not in fields and "content-length:" not in fields.lower():
        fields += f"Content-Length: {len(body)}\r\n"
    if not request.keep_alive:
        fields += "Connection: close\r\n"
    elif request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        fields += "Connection: keep-alive\r\n"
    head = f"HTTP/1.1 {status}\r\n{fields}{_date_header()}\r\n\r\n".encode("latin1")
    return head + body if has_body and request.environ.get("REQUEST_METHOD") != "HEAD" else head


def error_bytes(
    rejection: Rejected, headers: Iterable[tuple[str, str]] = (), request: ParsedRequest = WITHOUT_REQUEST
) -> bytes:
    """A response of the server itself, as JSON; after it, the connection is closed unless a request keeps it open."""
    fields = [("Content-Type", "application/json"), *headers]
    if isinstance(rejection, Overloaded):
        fields.append(("Retry-After", str(rejection.retry_after)))
    return serialize((rejection.status, fields, json.dumps({"error": str(rejection)}).encode()), request)


_date_cache = [0, ""]


def _date_header() -> str:
    """The Date header, formatted once a second."""
    now = int(time.time())
    if _date_cache[0] != now:
        _date_cache[:] = now, f"Date: {formatdate(now, usegmt=True)}"
    return str(_date_cache[1])
