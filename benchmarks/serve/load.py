"""A closed loop over so many connections: each asks again as soon as it has its answer.

Nothing is corrected: what a slow answer keeps from being asked is not counted as slow too.
"""

import math
import re
import select
import socket
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
PATIENCE = 60  # seconds
ENOUGH = 200  # answers of a tenth of a second, to tell the 99th of a hundred
LAST_CHUNK = b"\r\n0\r\n\r\n"
CHUNK = re.compile(rb"[0-9a-fA-F]+\r\n(.*?)\r\n", re.DOTALL)  # of JSON, which has no such line


@dataclass(frozen=True)
class Load:
    """Answers a second, milliseconds of the median and of the 99th of a hundred, and their ratio.

    `p99_to_p50` is the median over tenths of a second, so that a machine that is slow for a while does not count; nor
    do a server's own stalls, if they are rarer than every other tenth. NaN where a tenth has too few answers.
    """

    rate: float
    p50: float
    p99: float
    p99_to_p50: float


def middle_of(loads: Sequence[Load]) -> Load:
    """The median of each figure."""
    return Load(*(statistics.median(getattr(one, it.name) for one in loads) for it in fields(Load)))


class _Connection:
    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._got = b""
        self.asked = 0.0

    def ask(self) -> None:
        self.asked = time.perf_counter()
        self.socket.sendall(self._request)

    def answer(self) -> bytes | None:
        """The whole answer, or None where more is to come."""
        more = self.socket.recv(2**20)
        if not more:
            raise ConnectionError("the server hung up")
        data = self._got + more
        end = data.find(b"\r\n\r\n") + 4
        length = LENGTH.search(data, 0, end)
        if end > 3 and (len(data) >= end + int(length[1]) if length else data.endswith(LAST_CHUNK)):
            self._got = b""
            return data
        self._got = data
        return None


def ask_once(address: tuple[str, int], request: bytes) -> tuple[bool, bytes]:
    """Whether it is answered with 200, and the body."""
    connection = _Connection(address, request)
    connection.ask()
    while (answer := connection.answer()) is None:
        pass
    connection.socket.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not LENGTH.search(head):
        body = b"".join(CHUNK.findall(body))
    return head.startswith(b"HTTP/1.1 200"), body


def load(address: tuple[str, int], request: bytes, connections: int, seconds: float) -> Load:
    """Ask for so long; raises `OSError` for an answer that is not 200, or does not come."""
    poll = select.epoll()
    all_of_them = {one.socket.fileno(): one for one in (_Connection(address, request) for _ in range(connections))}
    for fd, connection in all_of_them.items():
        poll.register(fd, select.EPOLLIN)
        connection.ask()
    lasted: list[float] = []
    ended: list[float] = []
    begun = time.perf_counter()
    end = begun + seconds
    while (now := time.perf_counter()) < end or not lasted:
        if now > end + PATIENCE:
            raise ConnectionError("the server does not answer")
        for fd, _ in poll.poll(1):
            connection = all_of_them[fd]
            answer = connection.answer()
            if answer is None:
                continue
            ended.append(time.perf_counter())
            lasted.append(ended[-1] - connection.asked)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise ConnectionError(answer[:300].decode("latin1"))
            connection.ask()
    _leave(all_of_them.values())
    return Load(
        len(lasted) / (now - begun),
        1e3 * statistics.median(lasted),
        1e3 * _p99(lasted),
        statistics.median([_p99(part) / statistics.median(part) for part in _tenths(lasted, ended)] or [math.nan]),
    )


def _leave(connections: Iterable[_Connection]) -> None:
    """Take the last answers first: what is left to be answered would take the core from the next server."""
    for connection in connections:
        while connection.answer() is None:
            pass
        connection.socket.close()


def _p99(lasted: list[float]) -> float:
    return sorted(lasted)[int(0.99 * len(lasted))]


def _tenths(lasted: list[float], ended: list[float]) -> list[list[float]]:
    parts: dict[int, list[float]] = {}
    for one, at in zip(lasted, ended, strict=True):
        parts.setdefault(int(10 * at), []).append(one)
    return [part for part in parts.values() if len(part) >= ENOUGH]
