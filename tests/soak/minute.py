"""One minute of a soak: clients of all kinds, two bursts, a killed worker, and a pause in which memory is measured."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from running_service import RunningService

from benchmarks.overload.open_loop import OpenLoop
from benchmarks.overload.scenarios import measure_capacity, photo_request, rows_request
from soak.clients import Client, running
from soak.exchanges import Exchange, invalid_exchanges, large_exchanges, slow_exchanges, valid_exchanges
from soak.journal import FAILED, LOST, REJECTED, RIGHT, Journal
from soak.process import Workers

SECONDS = 60
ROWS_BURST_AT, KILL_AT, PHOTOS_BURST_AT, PAUSE_AT = 8, 20, 32, 45  # seconds since the minute began
BURST_SECONDS = 5
BURST_FACTOR = 2  # times the capacity
SETTLE_SECONDS = 5  # of the pause, before memory is measured


@dataclass(frozen=True)
class Burst:
    """Requests at twice the rate that the service can handle, whether or not there are responses."""

    kind: str
    request: bytes
    expected: bytes  # what a response of status 200 contains
    rate: float

    def run(self, server: RunningService, journal: Journal) -> None:
        """Send them, and record what came of each."""
        started = journal.clock()
        with journal.overload():
            found = OpenLoop(server.host_and_port, [self.request], expected=self.expected).run(self.rate, BURST_SECONDS)
        outcomes = {"200": RIGHT, "503": REJECTED}
        for status, count in found.statuses.items():
            was_lost = status.endswith("Error") and any(kill >= started for kill in journal.kills)
            journal.record(self.kind, LOST if was_lost else outcomes.get(status, FAILED), count)
            if count and not was_lost and status not in outcomes:
                journal.failures.append(f"{self.kind}: {count} x {status}")
        journal.milliseconds[self.kind] += found.accepted_ms


def plan_bursts(server: RunningService) -> tuple[Burst, Burst]:
    """Bursts of large requests and of photos, by what the service can handle of each."""
    rows, photo = rows_request(10_000), photo_request()
    rates = [BURST_FACTOR * measure_capacity(server.host_and_port, request) for request in (rows, photo)]
    return (
        Burst("burst of rows", rows, b'"label":"setosa"', rates[0]),
        Burst("burst of photos", photo, b'"label":"7"', rates[1]),
    )


class Minutes:
    """The minutes of a soak, run one after the other."""

    def __init__(self, server: RunningService, journal: Journal) -> None:
        self.workers = Workers(server, journal)
        self.memory: list[float] = []  # MB, at the end of each minute
        self.descriptors: list[int] = []
        self._server = server
        self._journal = journal
        self._bursts = plan_bursts(server)
        self._groups: tuple[tuple[list[Exchange], int, float], ...] = (  # exchanges, clients, pause between two
            (valid_exchanges(), 4, 0.05),
            (invalid_exchanges(), 2, 0.05),
            (large_exchanges(), 1, 0.3),
            (slow_exchanges(), 4, 0.2),
        )

    def run(self) -> None:
        """Run one minute."""
        started = self._journal.clock()
        rows, photos = self._bursts
        kills_in_burst = len(self.memory) % 2 == 1  # every other minute
        with running(self._clients(len(self.memory))), ThreadPoolExecutor(1) as pool:
            _sleep_until(self._journal, started + ROWS_BURST_AT)
            rows.run(self._server, self._journal)
            if not kills_in_burst:
                _sleep_until(self._journal, started + KILL_AT)
                self.workers.kill_youngest()
            _sleep_until(self._journal, started + PHOTOS_BURST_AT)
            burst = pool.submit(photos.run, self._server, self._journal)
            if kills_in_burst:
                time.sleep(BURST_SECONDS / 2)
                self.workers.kill_youngest()
            burst.result()
            self.workers.check()
            _sleep_until(self._journal, started + PAUSE_AT)
        time.sleep(SETTLE_SECONDS)
        self.memory.append(self.workers.memory())
        self.descriptors.append(self.workers.descriptors())
        _sleep_until(self._journal, started + SECONDS)

    def _clients(self, minute: int) -> list[Client]:
        return [
            Client(self._server.url, exchanges, pause, self._journal, seed=f"{minute} {group} {number}")
            for group, (exchanges, count, pause) in enumerate(self._groups)
            for number in range(count)
        ]


def _sleep_until(journal: Journal, moment: float) -> None:
    time.sleep(max(moment - journal.clock(), 0))
