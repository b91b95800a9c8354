"""Two hundred new versions under load: no request fails, no answer is of an old version, and memory does not grow."""

import collections
import http.client
import json
import threading
import time
from pathlib import Path

import pytest
from model_folder import ModelFolder
from running_service import DEADLINE, ROW, RunningService

pytestmark = pytest.mark.slow

SWAPS = 200
WARM = 40  # swaps after which memory has what it keeps
CLIENTS = 4
MAX_GROWTH = 1.1  # of resident memory, from the swap `WARM` to the last
BODY = json.dumps(ROW)


class Client(threading.Thread):
    """Asks without a pause over one connection; notes failures, and answers of a version older than one seen before."""

    def __init__(self, server: RunningService, newest_seen: list[int]) -> None:
        super().__init__(daemon=True)
        self.answers: collections.Counter[int] = collections.Counter()
        self.problems: list[str] = []
        self.is_done = threading.Event()
        self._newest_seen = newest_seen
        self._connection = http.client.HTTPConnection(server.address, timeout=DEADLINE)

    def run(self) -> None:
        """Until it is told to stop."""
        while not self.is_done.is_set():
            asked_after = self._newest_seen[0]
            self._connection.request("POST", "/v1/models/iris:predict", BODY)
            response = self._connection.getresponse()
            text = response.read()
            if response.status != 200:
                self.problems.append(f"{response.status} {text!r}")
                continue
            version = int(json.loads(text)["model_version"])
            self.answers[version] += 1
            if version < asked_after:
                self.problems.append(f"version {version} after version {asked_after}")
            self._newest_seen[0] = max(self._newest_seen[0], version)
        self._connection.close()


def resident(server: RunningService) -> int:
    """Bytes of all workers."""
    pages = [int(Path(f"/proc/{worker}/statm").read_text().split()[1]) for worker in server.workers()]
    return sum(pages) * 4096


def test_two_hundred_versions_come_and_go_under_load(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "models")
    folder.add(1)
    newest_seen = [1]
    memory = {}
    with RunningService(
        tmp_path / "log", workers="2", models_dir=str(folder.path), models_poll_seconds="0.2"
    ) as server:
        server.wait_for_workers(2)
        clients = [Client(server, newest_seen) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for version in range(2, SWAPS + 2):
            folder.add(version)
            deadline = time.monotonic() + DEADLINE
            while newest_seen[0] < version:
                assert time.monotonic() < deadline, f"version {version} does not answer\n{server.log()[-2000:]}"
                time.sleep(0.01)
            if version > 3:
                folder.remove(version - 2)
            memory[version] = resident(server)
        for client in clients:
            client.is_done.set()
        for client in clients:
            client.join()
        workers = len(server.workers())
    assert workers == 2
    assert [problem for client in clients for problem in client.problems] == []
    answers = sum((client.answers for client in clients), collections.Counter[int]())
    assert set(answers) == set(range(1, SWAPS + 2))
    growth = memory[SWAPS + 1] / memory[WARM]
    print(f"{answers.total():,} answers, resident memory {memory[WARM] / 2**20:.0f} MiB, then {growth:.3f} of it")
    assert growth < MAX_GROWTH
