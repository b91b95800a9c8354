"""Clients that each announce a large body, send nearly all of it, and stop."""

import socket
from contextlib import suppress

from benchmarks.serve.servers import pss_megabytes

SLOW_SENDERS, BODY_BYTES = 120, 16 * 2**20
CHUNK = bytes(2**18)


def send_bodies_that_stop(address: tuple[str, int], pid: int) -> float:
    """Send all of each body but the last chunk, then hang up. Returns the largest PSS of the server `pid`, in MB."""
    clients = [_begin_body(address) for _ in range(SLOW_SENDERS)]
    peak = 0.0
    for _ in range(BODY_BYTES // len(CHUNK) - 1):
        for client in clients:
            with suppress(OSError):  # rejected
                client.send(CHUNK)
        peak = max(peak, pss_megabytes(pid))
    for client in clients:
        client.close()
    return peak


def _begin_body(address: tuple[str, int]) -> socket.socket:
    client = socket.create_connection(address)
    client.settimeout(0.05)
    head = f"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    client.send(head.encode())
    return client
