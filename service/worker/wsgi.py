"""From a whole request to the bytes of its answer: what PEP 3333 asks of a server."""

import json
import time
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any, NamedTuple
from wsgiref.types import WSGIEnvironment

from service.observability.middleware import Application


class Request(NamedTuple):
    """A whole one, and whether its connection stays open after it."""

    environ: WSGIEnvironment
    keep_alive: bool


def respond(application: Application, request: Request) -> bytes:
    """Run the application: its whole answer, as it goes over the wire."""
    started: list[Any] = []
    environ = request.environ

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
        started[:] = status, headers

    parts = application(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    status, headers = started
    return _head(status, headers, request, len(body)) + (b"" if environ["REQUEST_METHOD"] == "HEAD" else body)


def _head(status: str, headers: list[tuple[str, str]], request: Request, length: int) -> bytes:
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
        raise ValueError("a line break in a header of the answer")
    if "Content-Length:" not in fields and "content-length:" not in fields.lower() and status[:3] not in ("204", "304"):
        fields += f"Content-Length: {length}\r\n"
    if not request.keep_alive:
        fields += "Connection: close\r\n"
    elif request.environ["SERVER_PROTOCOL"] == "HTTP/1.0":
        fields += "Connection: keep-alive\r\n"
    return f"HTTP/1.1 {status}\r\n{fields}{_date()}\r\n\r\n".encode("latin1")


def plain_answer(status: str, message: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """An answer of the server's own, after which the connection is closed."""
    body = json.dumps({"error": message}).encode()
    fields = [("Content-Type", "application/json"), *headers]
    return _head(status, fields, Request({"SERVER_PROTOCOL": "HTTP/1.1"}, keep_alive=False), len(body)) + body


_DATE = [0, ""]


def _date() -> str:
    """The field that says the time, made once a second."""
    now = int(time.time())
    if _DATE[0] != now:
        _DATE[:] = now, f"Date: {formatdate(now, usegmt=True)}"
    return str(_DATE[1])
