"""An open-loop load generator: requests are sent at a given rate, whether or not there are responses to earlier ones.

Latencies count from when a request was due, so a server that stalls the generator does not look faster. The wait of a
rejected request counts from when its last byte was sent.
"""

import errno
import re
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.serve.load_generator import CONTENT_LENGTH

GIVE_UP = 30.0  # seconds after the last request was due
CHUNK = 2**18  # bytes of one write
RETRY_AFTER = re.compile(rb"(?i)\r\nretry-after: *\d")


@dataclass
class OpenLoopResult:
    """Responses by status (or by what is wrong with them), and the latencies of those with status 200 and 503."""

    offered: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    accepted_ms: list[float] = field(default_factory=list)
    rejected_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0


class _Exchange:
    """One request over one connection. `sent_at` is when its last byte was given to the kernel."""

    def __init__(self, sock: socket.socket, request: bytes, due: float) -> None:
        self.sock = sock
        self.due = due
        self.sent_at: float | None = None
        self._unsent = memoryview(request)
        self._received = b""

    def write(self) -> None:
        """Send as much as the socket takes."""
        with suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[self.sock.send(self._unsent[:CHUNK]) :]
        if not self._unsent and self.sent_at is None:
            self.sent_at = time.perf_counter()

    @property
    def is_sent(self) -> bool:
        """Whether nothing is left to write."""
        return not self._unsent

    def read(self) -> bytes | None:
        """The whole response, or None while it is not complete."""
        more = self.sock.recv(2**20)
        if not more:
            raise ConnectionResetError("the server closed the connection")
        self._received += more
        end = self._received.find(b"\r\n\r\n") + 4
        length = CONTENT_LENGTH.search(self._received, 0, end) if end > 3 else None
        return self._received if length and len(self._received) >= end + int(length[1]) else None


class OpenLoop:
    """Sends requests at a rate over as many connections as that takes.

    Idle ones are used again, the one that has been idle for longest first; `connections` are opened in advance. A
    response of status 200 must contain `expected`, one of status 503 a Retry-After.
    """

    def __init__(
        self, address: tuple[str, int], requests: Sequence[bytes], connections: int = 0, expected: bytes = b""
    ) -> None:
        self._address = address
        self._requests = requests
        self._expected = expected
        self._epoll = select.epoll()
        self._exchanges: dict[int, _Exchange] = {}
        self._idle = deque(self._connect() for _ in range(connections))
        self._result = OpenLoopResult()

    def run(self, rate: float, seconds: float) -> OpenLoopResult:
        """So many requests a second, for so long; then wait for the last responses."""
        started, count = time.perf_counter(), int(rate * seconds)
        next_request = 0
        while next_request < count or self._exchanges:
            now = time.perf_counter()
            if now - started > seconds + GIVE_UP:
                break
            while next_request < count and started + next_request / rate <= now:
                self._send(self._requests[next_request % len(self._requests)], started + next_request / rate)
                next_request += 1
            due = started + next_request / rate if next_request < count else now + 0.1
            for fd, _ in self._epoll.poll(max(due - now, 0), 64):
                self._advance(self._exchanges[fd])
        self._result.statuses["no response"] += len(self._exchanges)
        self._result.offered, self._result.seconds = count, time.perf_counter() - started
        for sock in (*self._idle, *(it.sock for it in self._exchanges.values())):
            sock.close()
        return self._result

    def _send(self, request: bytes, due: float) -> None:
        sock = self._idle.popleft() if self._idle else self._connect()
        self._exchanges[sock.fileno()] = exchange = _Exchange(sock, request, due)
        self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
        self._advance(exchange)

    def _connect(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(0)
        with suppress(BlockingIOError):
            sock.connect(self._address)
        return sock

    def _advance(self, exchange: _Exchange) -> None:
        """Go on with a connection; its end is counted, whatever it is."""
        try:
            if not exchange.is_sent:
                exchange.write()
                if exchange.is_sent:
                    self._epoll.modify(exchange.sock.fileno(), select.EPOLLIN)
            with suppress(BlockingIOError):
                if (response := exchange.read()) is not None:
                    self._finish(exchange, response)
        except OSError as error:
            if error.errno == errno.ENOTCONN:  # it is still being established
                return
            self._result.statuses[type(error).__name__] += 1
            self._forget(exchange).close()

    def _finish(self, exchange: _Exchange, response: bytes) -> None:
        now, status = time.perf_counter(), self._checked_status(response)
        self._result.statuses[status] += 1
        if status == "200":
            self._result.accepted_ms.append((now - exchange.due) * 1000)
        elif status == "503":
            self._result.rejected_ms.append((now - (exchange.sent_at or now)) * 1000)
        sock = self._forget(exchange)
        is_last = b"\r\nConnection: close\r\n" in response[: response.find(b"\r\n\r\n") + 2]
        if is_last or not exchange.is_sent:
            sock.close()
        else:
            self._idle.append(sock)

    def _checked_status(self, response: bytes) -> str:
        status = response[9:12].decode()
        if status == "200" and self._expected not in response:
            return "200 with a wrong answer"
        if status == "503" and not RETRY_AFTER.search(response):
            return "503 without Retry-After"
        return status

    def _forget(self, exchange: _Exchange) -> socket.socket:
        self._epoll.unregister(exchange.sock.fileno())
        del self._exchanges[exchange.sock.fileno()]
        return exchange.sock
