"""The bytes of a connection: however they are split, the client gets the same responses, and nothing fails.

The first byte of an input chooses the splits; the rest is what a client sends, before it shuts down its half.
"""

import contextlib
import random
import socket
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from stepped_worker import Client, SteppedWorker, echo

from fuzz.failures import none_logged

MAX_CUTS = 6
WORDS = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\n",
    b"HTTP/1.0\r\n",
    b"Host: x\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 1001\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"CONNECT",
    b"3e9\r\n" + b"a" * 1001 + b"\r\n",  # a chunk over the limit of a body
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"\r\n\r\n",
)


def run(data: bytes) -> None:
    """Send the bytes at once and split; the worker responds with what it has received, or rejects it."""
    stream = data[1:]
    generator = random.Random(data[:1])
    cuts = sorted(generator.randint(0, len(stream)) for _ in range(generator.randint(1, MAX_CUTS)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    with none_logged(), SteppedWorker(application) as worker:
        whole, split = exchange(worker, [stream]), exchange(worker, parts)
    assert whole == split, (whole, split, parts)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """`echo`, with a body for HEAD as well: after a response without its body the next one would not be found."""
    environ["REQUEST_METHOD"] = environ["REQUEST_METHOD"].replace("HEAD", "GET")
    return echo(environ, start_response)


def exchange(worker: SteppedWorker, parts: list[bytes]) -> list[bytes]:
    """The responses to what is sent in these parts over a connection, which is closed at the end."""
    client = worker.client()
    with contextlib.suppress(OSError):  # the worker may have closed the connection before the last part
        for part in parts:
            client.send(part)
        client.socket.shutdown(socket.SHUT_WR)
    worker.step()
    found = responses(client)
    assert not worker.connections, found
    return found


def responses(client: Client) -> list[bytes]:
    """The bodies of all responses; of a request that is rejected, only that it is.

    Why may depend on the splits: llhttp finds a malformed name before it passes on the field in front of it.
    """
    found = []
    while response := client.response() or client.response(has_body=False):
        assert response.status in (100, 200, *range(400, 500), 501), response
        if response.status != 100:  # which is sent only if the body does not arrive with the head
            rejected = response.body.startswith(b'{"error"')
            found.append(b"rejected" if rejected else response.body)
    assert not client.receive(), client.receive()
    return found
