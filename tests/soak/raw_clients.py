"""Clients on bare sockets: they send or read slowly, wait, hang up, or send no HTTP."""

import http.client
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from benchmarks.overload.scenarios import http_request, rows_request

ROWS = 1000  # of a slow sender
PARTS = 20  # in which it sends them
PAUSE = 0.1  # seconds between two parts
IDLE = 5.0  # seconds
TIMEOUT = 30.0  # seconds
READ_BYTES = 2**16
GARBAGE_BYTES = 2000

_random = random.Random(0)  # the same bytes in every run, in another order: threads share it


def send_slowly(client: httpx.Client) -> httpx.Response:
    """A request in small parts with pauses between them."""
    request = rows_request(ROWS)
    size = len(request) // PARTS + 1
    with _connection(client) as sock:
        for start in range(0, len(request), size):
            sock.sendall(request[start : start + size])
            time.sleep(PAUSE)
        return _response(sock)


def read_slowly(client: httpx.Client) -> httpx.Response:
    """A large response in small parts with pauses between them."""
    with _connection(client) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
        sock.sendall(rows_request(10_000))
        return _response(sock, pause=PAUSE)


def ask_after_a_while(client: httpx.Client) -> httpx.Response:
    """A request on a connection that has been idle."""
    with _connection(client) as sock:
        with suppress(TimeoutError):
            sock.settimeout(IDLE)
            sock.recv(1)
            raise ConnectionError("the server has closed an idle connection")
        sock.settimeout(TIMEOUT)
        sock.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        return _response(sock)


def send_garbage(client: httpx.Client) -> httpx.Response:
    """Random bytes with an end that a head would have."""
    with _connection(client) as sock:
        sock.sendall(_random.randbytes(_random.randrange(GARBAGE_BYTES)) + b"\r\n\r\n")
        return _response(sock)


def hang_up_in_body(client: httpx.Client) -> None:
    """Half of a large body, after which the client is gone."""
    request = http_request("/v1/models/iris:predict", "application/json", bytes(2**24))
    with _connection(client) as sock:
        sock.sendall(request[: len(request) // 2])


def hang_up_before_response(client: httpx.Client) -> None:
    """A complete request whose client is gone at once."""
    with _connection(client) as sock:
        sock.sendall(rows_request(ROWS))


@contextmanager
def _connection(client: httpx.Client) -> Iterator[socket.socket]:
    url = client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=TIMEOUT) as sock:
        yield sock


def _response(sock: socket.socket, pause: float = 0) -> httpx.Response:
    """One whole response; raises `OSError` if the connection ends before it does."""
    response = http.client.HTTPResponse(sock)
    try:
        response.begin()
        content = b""
        while part := response.read(READ_BYTES):
            content += part
            time.sleep(pause)
        if len(content) < int(response.headers["Content-Length"]):  # `read` says nothing about it
            raise ConnectionError(f"the response has ended after {len(content)} bytes")
    except http.client.HTTPException as error:
        raise ConnectionError(repr(error)) from error
    finally:
        response.close()
    return httpx.Response(response.status, headers=response.getheaders(), content=content)
