"""Threads that make exchanges, one after the other, and record what came of them."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

from soak.exchanges import Exchange
from soak.journal import REJECTED, Journal

RETRIES = 3  # of a request that gets 503 although nothing explains it: Retry-After must be true
TIMEOUT = 30.0  # seconds
MAX_QUOTED = 300  # characters of a response that are printed


class Client(threading.Thread):
    """Makes exchanges in random order, until `stop` is set."""

    def __init__(self, url: str, exchanges: Sequence[Exchange], pause: float, journal: Journal, seed: str) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self._url = url
        self._exchanges = exchanges
        self._pause = pause
        self._journal = journal
        self._random = random.Random(seed)

    def run(self) -> None:
        """Go on until told to stop."""
        with httpx.Client(base_url=self._url, timeout=TIMEOUT, verify=False) as client:
            while not self.stop.wait(self._pause):
                make_exchange(client, self._random.choice(self._exchanges), self._journal)


def make_exchange(client: httpx.Client, exchange: Exchange, journal: Journal) -> None:
    """Send a request and check its response. One that is rejected for no known reason is sent again, a few times."""
    rejections: list[str] = []
    while len(rejections) <= RETRIES:
        started = journal.clock()
        try:
            response = exchange.send(client)
        except (OSError, httpx.TransportError) as error:
            journal.lose(exchange.kind, started, f"{exchange.name}: {error!r}")
            return
        if response is None or response.status_code != 503:
            _check(exchange, response, journal, started, retried=bool(rejections))
            return
        rejections.append(response.text[:MAX_QUOTED])
        if not response.headers.get("Retry-After", "").isdigit():
            journal.fail(exchange.kind, f"{exchange.name}: 503 without Retry-After: {rejections[-1]}")
            return
        if journal.explains_rejection(response, started):
            journal.record(exchange.kind, REJECTED)
            return
        time.sleep(int(response.headers["Retry-After"]))
    journal.fail(exchange.kind, f"{exchange.name}: 503 again and again: {rejections}")


def _check(
    exchange: Exchange, response: httpx.Response | None, journal: Journal, started: float, *, retried: bool
) -> None:
    try:
        if response is not None:
            exchange.check(response)
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        journal.fail(exchange.kind, f"{exchange.name}: {error!r}"[:MAX_QUOTED])
    else:
        journal.record_right(exchange.kind, exchange.name, started, retried=retried)


@contextmanager
def running(clients: Sequence[Client]) -> Iterator[None]:
    """Clients that go on until the end of the block, and have then closed their connections."""
    for client in clients:
        client.start()
    try:
        yield
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join()
