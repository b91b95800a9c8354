"""A closed-loop load generator: each connection sends its next request as soon as it has the response to the last one.

Latencies are not corrected for coordinated omission: a request that is sent late because the one before it was slow
counts from when it was sent.
"""

import math
import re
import select
import socket
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

CONTENT_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
TIMEOUT = 60  # seconds
WINDOWS_PER_SECOND = 10
MIN_RESPONSES_PER_WINDOW = 200  # fewer do not determine a 99th percentile
LAST_CHUNK = b"\r\n0\r\n\r\n"
CHUNK = re.compile(rb"[0-9a-fA-F]+\r\n(.*?)\r\n", re.DOTALL)  # the chunks hold JSON, in which no such line occurs


@dataclass(frozen=True)
class LoadResult:
    """Throughput, and the median and the 99th percentile of the latency, in milliseconds.

    `p99_to_p50` is the median of p99/p50 over windows of a tenth of a second. Periods in which the machine is slow do
    not affect it, nor do stalls of the server in fewer than half of the windows. NaN if no window has enough responses.
    """

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    p99_to_p50: float


def median_result(results: Sequence[LoadResult]) -> LoadResult:
    """The median of each field."""
    return LoadResult(*(statistics.median(getattr(it, field.name) for it in results) for field in fields(LoadResult)))


class _Connection:
    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.socket = socket.create_connection(address, timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._received = b""
        self.sent_at = 0.0

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(self._request)

    def receive(self) -> bytes | None:
        """Read once; the whole response, or None if it is not complete yet."""
        more = self.socket.recv(2**20)
        if not more:
            raise ConnectionError("the server closed the connection")
        data = self._received + more
        end = data.find(b"\r\n\r\n") + 4
        length = CONTENT_LENGTH.search(data, 0, end)
        if end > 3 and (len(data) >= end + int(length[1]) if length else data.endswith(LAST_CHUNK)):
            self._received = b""
            return data
        self._received = data
        return None


def send_once(address: tuple[str, int], request: bytes) -> tuple[bool, bytes]:
    """Send one request over a new connection; whether the response has status 200, and its body."""
    connection = _Connection(address, request)
    connection.send()
    while (response := connection.receive()) is None:
        pass
    connection.socket.close()
    head, _, body = response.partition(b"\r\n\r\n")
    if not CONTENT_LENGTH.search(head):
        body = b"".join(CHUNK.findall(body))
    return head.startswith(b"HTTP/1.1 200"), body


def generate_load(address: tuple[str, int], request: bytes, connections: int, seconds: float) -> LoadResult:
    """Send the request repeatedly for so many seconds; raises `OSError` for a status other than 200, or no response."""
    poll = select.epoll()
    by_fd = {it.socket.fileno(): it for it in (_Connection(address, request) for _ in range(connections))}
    for fd, connection in by_fd.items():
        poll.register(fd, select.EPOLLIN)
        connection.send()
    latencies: list[float] = []
    received_at: list[float] = []
    started = time.perf_counter()
    end = started + seconds
    while (now := time.perf_counter()) < end or not latencies:
        if now > end + TIMEOUT:
            raise ConnectionError("the server does not respond")
        for fd, _ in poll.poll(1):
            connection = by_fd[fd]
            response = connection.receive()
            if response is None:
                continue
            received_at.append(time.perf_counter())
            latencies.append(received_at[-1] - connection.sent_at)
            if not response.startswith(b"HTTP/1.1 200"):
                raise ConnectionError(response[:300].decode("latin1"))
            connection.send()
    _drain_and_close(by_fd.values())
    ratios = [_p99(window) / statistics.median(window) for window in _windows(latencies, received_at)]
    return LoadResult(
        len(latencies) / (now - started),
        1e3 * statistics.median(latencies),
        1e3 * _p99(latencies),
        statistics.median(ratios or [math.nan]),
    )


def _drain_and_close(connections: Iterable[_Connection]) -> None:
    """Wait for the last responses: a server that still computes them would slow down the next one on its core."""
    for connection in connections:
        while connection.receive() is None:
            pass
        connection.socket.close()


def _p99(latencies: list[float]) -> float:
    return sorted(latencies)[int(0.99 * len(latencies))]


def _windows(latencies: list[float], received_at: list[float]) -> list[list[float]]:
    """The latencies grouped by the tenth of a second of their response, without groups that are too small."""
    windows: dict[int, list[float]] = {}
    for latency, at in zip(latencies, received_at, strict=True):
        windows.setdefault(int(WINDOWS_PER_SECOND * at), []).append(latency)
    return [window for window in windows.values() if len(window) >= MIN_RESPONSES_PER_WINDOW]
