"""Restarts lose no request: clients that keep their connections, ask without a pause, and retry nothing."""

import contextlib
import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import DEADLINE, GUNICORN, ROW, RunningService, wait_until

CLIENTS = 8
BODY = json.dumps(ROW)


class Client(threading.Thread):
    """Asks for predictions and readiness in turn, until it is told to stop, or the service has closed for good."""

    def __init__(self, server: RunningService) -> None:
        super().__init__(daemon=True)
        self.responses = 0
        self.failures: list[str] = []
        self.told_to_stop = threading.Event()
        self.is_service_ending = threading.Event()
        self._connection = http.client.HTTPConnection(server.address, timeout=DEADLINE)

    def run(self) -> None:
        """Ask again and again; a response that is not 200 and a lost connection are failures."""
        with contextlib.closing(self._connection):
            while not self.told_to_stop.is_set():
                try:
                    is_last = self._ask()
                except ConnectionRefusedError as error:
                    if not self.is_service_ending.is_set():
                        self.failures.append(repr(error))
                    return
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(repr(error))
                    self._connection.close()
                    continue
                if is_last and self.is_service_ending.is_set():
                    return

    def _ask(self) -> bool:
        """Send one request. Returns whether the server has said `Connection: close`."""
        if self.responses % 10:
            self._connection.request("POST", "/v1/models/iris:predict", BODY)
        else:
            self._connection.request("GET", "/v2/health/ready")
        response = self._connection.getresponse()
        text = response.read()
        self.responses += 1
        if response.status != 200:
            self.failures.append(f"{response.status} {text!r}")
        return response.will_close


class Load:
    """Some clients at once."""

    def __init__(self, server: RunningService) -> None:
        self.clients = [Client(server) for _ in range(CLIENTS)]

    @property
    def failures(self) -> list[str]:
        """Of all clients."""
        return [failure for client in self.clients for failure in client.failures]

    def wait_for_responses(self, count: int = 30) -> None:
        """Until each client has had so many more."""
        wanted = [(client, client.responses + count) for client in self.clients]
        wait_until(lambda: all(client.responses >= enough for client, enough in wanted))


@contextlib.contextmanager
def load(server: RunningService) -> Iterator[Load]:
    """Clients that ask until the end of the block."""
    running = Load(server)
    for client in running.clients:
        client.start()
    try:
        running.wait_for_responses()
        yield running
    finally:
        for client in running.clients:
            client.told_to_stop.set()
        for client in running.clients:
            client.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_reloads_lose_no_request_and_readiness_never_fails(tmp_path: Path, workers: int) -> None:
    with RunningService(tmp_path / "log", workers=str(workers), drain_delay="1") as server:
        server.wait_for_workers(workers)
        with load(server) as running:
            for _ in range(3):
                before = set(server.workers())
                server.process.send_signal(signal.SIGHUP)
                wait_until(lambda old=before: not old & set(server.workers()))  # type: ignore[misc]
                running.wait_for_responses()
        assert running.failures == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_workers_that_are_replaced_after_max_requests_lose_no_request(tmp_path: Path, workers: str) -> None:
    command = (*GUNICORN, "-c", "python:service.gunicorn_conf", "--max-requests", "300", "service.app:create_app()")
    with RunningService(tmp_path / "log", command, workers=workers) as server, load(server) as running:
        server.wait_for_log("this worker is replaced after", 4)
        running.wait_for_responses()
    assert running.failures == []


@pytest.mark.parametrize("drain_delay", ["0", "1"])
def test_a_shutdown_loses_no_request(tmp_path: Path, drain_delay: str) -> None:
    """Readiness fails during the delay, as it should: nothing else does."""
    with RunningService(tmp_path / "log", workers="2", drain_delay=drain_delay) as server:
        server.wait_for_workers(2)
        with load(server) as running:
            for client in running.clients:
                client.is_service_ending.set()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(DEADLINE) == 0
        assert [failure for failure in running.failures if not failure.startswith("503 ")] == []
        assert all("shutting down" in failure for failure in running.failures)


def test_a_killed_worker_costs_at_most_the_requests_that_it_had(tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", workers="2") as server:
        server.wait_for_workers(2)
        with load(server) as running:
            os.kill(server.workers()[0], signal.SIGKILL)
            server.wait_for_workers(3)
            running.wait_for_responses()
        # Each client had one connection, and so at most one request on its way.
        assert max(len(client.failures) for client in running.clients) <= 1
        assert {"refused" in failure.lower() for failure in running.failures} <= {False}
