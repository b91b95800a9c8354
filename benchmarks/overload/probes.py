"""Health checks beside a load, as an orchestrator makes them: each over a connection of its own, with a timeout."""

import http.client
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

PATH = "/v2/health/live"
TIMEOUT = 1.0  # seconds
INTERVAL = 0.25  # seconds


@dataclass
class ProbeResult:
    """Milliseconds of each check that was answered, and when, by `time.monotonic`, the others failed."""

    answered_ms: list[float] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many failed."""
        return len(self.failed_at)


@contextmanager
def probing(address: tuple[str, int]) -> Iterator[ProbeResult]:
    """Check the health of a server as long as the context lasts; afterwards the result is complete."""
    context = multiprocessing.get_context("spawn")
    stop, (receiver, sender) = context.Event(), context.Pipe(duplex=False)
    process = context.Process(target=_probe, args=(address, stop, sender), daemon=True)
    process.start()
    receiver.recv()  # it has begun
    result = ProbeResult()
    try:
        yield result
    finally:
        stop.set()
        result.answered_ms, result.failed_at = receiver.recv()
        process.join()


def _probe(address: tuple[str, int], stop: Event, sender: Connection) -> None:
    answered: list[float] = []
    failed_at: list[float] = []
    sender.send(None)
    while not stop.wait(INTERVAL):
        connection = http.client.HTTPConnection(*address, timeout=TIMEOUT)
        started = time.perf_counter()
        try:
            connection.request("GET", PATH)
            if connection.getresponse().status == 200:
                answered.append((time.perf_counter() - started) * 1000)
            else:
                failed_at.append(time.monotonic())
        except (OSError, http.client.HTTPException):
            failed_at.append(time.monotonic())
        finally:
            connection.close()
    sender.send((answered, failed_at))
