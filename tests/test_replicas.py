"""Replicas behind a balancer, over one folder of models: hosts are killed, cut off, restarted, and one is added."""

import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from model_folder import ModelFolder, flip_byte
from network_hosts import Host, Network
from real_haproxy import POLL_SECONDS, HAProxy, executable
from running_service import DEADLINE, ROW, clean_environment, wait_until

pytestmark = pytest.mark.slow

CLIENTS = 6
PAUSE = 0.002  # seconds: hosts, balancer and clients share the cores of this machine
BODY = json.dumps(ROW)
SECONDS = 3.0  # of load before and after what happens
ANSWERED_IN_PART = 1  # requests that may fail when a host goes away: no answer that has begun is asked for again
LONGEST_OUTAGE = 10.0  # seconds that a request may take when a host goes away, before it is answered or given up


class Answer(NamedTuple):
    """Of one request: when it was sent, how long it took (both in seconds), its version, and what went wrong."""

    asked: float
    seconds: float
    version: int
    problem: str


class Client(threading.Thread):
    """Asks the balancer over one connection, with short pauses, and retries nothing."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.answers: list[Answer] = []
        self.is_done = threading.Event()
        self._connection = http.client.HTTPConnection(address, timeout=DEADLINE)

    def run(self) -> None:
        """Until it is told to stop."""
        while not self.is_done.is_set():
            asked = time.monotonic()
            version, problem = 0, ""
            try:
                self._connection.request("POST", "/v1/models/iris:predict", BODY)
                response = self._connection.getresponse()
                text = response.read()
                if response.status == 200:
                    version = int(response.headers["X-Model-Version"])
                else:
                    problem = f"{response.status} {text[:80]!r}"
            except (OSError, http.client.HTTPException) as error:
                problem = repr(error)
                self._connection.close()
            self.answers.append(Answer(asked, time.monotonic() - asked, version, problem))
            time.sleep(PAUSE)
        self._connection.close()


class Replica:
    """The service on a host, over the folder that all of them share."""

    def __init__(self, host: Host, models: Path, folder: Path) -> None:
        self.host = host
        self._log = folder / f"{host.name}.log"
        self._environment = clean_environment(
            bind="0.0.0.0:8000", allow_anonymous="1", workers="1", drain_delay="3", graceful_timeout="20",
            models_dir=str(models), models_poll_seconds="0.2",
        )  # fmt: skip

    def start(self) -> None:
        """Start it; it is not ready yet."""
        self._process = self.host.start((sys.executable, "-m", "service"), self._log, self._environment)

    def stop(self) -> None:
        """As Kubernetes or Compose stop it: SIGTERM, and wait for its end."""
        self._process.terminate()
        assert self._process.wait(DEADLINE) == 0, self._log.read_text()

    def lose(self) -> None:
        """Its host goes away."""
        self.host.kill_all()

    def version(self) -> str:
        """The version that it says it answers with."""
        time.sleep(POLL_SECONDS)
        url = f"http://{self.host.address}:8000/v1/models/iris"
        return str(httpx.get(url, timeout=DEADLINE, verify=False).json()["version"])


class Site:
    """The balancer, its replicas and the folder, under load; and what came of each event."""

    def __init__(self, balancer: HAProxy, replicas: list[Replica], models: ModelFolder) -> None:
        self.balancer, self.replicas, self.models = balancer, replicas, models
        self.rows: list[str] = []

    @contextmanager
    def load(self, event: str) -> Iterator[list[Answer]]:
        """Clients that ask during the block, and for some seconds before and after it; its answers are in the list."""
        answers: list[Answer] = []
        clients = [Client(self.balancer.address) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            time.sleep(SECONDS)
            began = time.monotonic()
            yield answers
            ended = time.monotonic()
            time.sleep(SECONDS)
        finally:
            for client in clients:
                client.is_done.set()
            for client in clients:
                client.join()
        answers += sorted(answer for client in clients for answer in client.answers)
        self._note(event, answers, began, ended)

    def _note(self, event: str, answers: list[Answer], began: float, ended: float) -> None:
        before = [answer for answer in answers if answer.asked < began]
        during = [answer for answer in answers if began <= answer.asked < max(ended, began + 1)]
        rate = len(during) / max(ended - began, 1.0)
        self.rows.append(
            f"| {event} | {len(answers):,} | {sum(bool(answer.problem) for answer in answers)} | "
            f"{len(before) / SECONDS:,.0f}, then {rate:,.0f} | "
            f"{1000 * statistics.median(answer.seconds for answer in during):.1f} | "
            f"{max(answer.seconds for answer in answers):.2f} |"
        )

    def start(self, replica: Replica) -> None:
        """Start a replica, until the balancer sends it requests."""
        replica.start()
        self.wait_for_up(replica)

    def wait_for_up(self, replica: Replica) -> None:
        """Until the balancer sends it requests."""
        self.balancer.wait_for_up(replica.host.name)


def problems(answers: list[Answer]) -> list[str]:
    return [answer.problem for answer in answers if answer.problem]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Three hosts with a replica each, a fourth one without, and the balancer on a fifth."""
    executable()
    models = ModelFolder(tmp_path / "models")
    models.add(1)
    with Network("one", "two", "three", "four", "balancer") as network:
        *hosts, last = network.hosts
        replicas = [Replica(host, models.path, tmp_path) for host in hosts]
        with HAProxy(last, hosts, tmp_path) as balancer:
            site = Site(balancer, replicas, models)
            for replica in replicas[:3]:
                site.start(replica)
            yield site


def test_what_happens_to_a_host_costs_no_more_than_the_requests_that_it_had(site: Site) -> None:
    one, two, three, four = site.replicas
    with site.load("nothing") as answers:
        time.sleep(SECONDS)
    assert problems(answers) == []

    with site.load("a host is killed") as answers:
        one.lose()
        site.balancer.wait_for_down("one")
    assert len(problems(answers)) <= ANSWERED_IN_PART
    with site.load("it is started again") as answers:
        site.start(one)
    assert problems(answers) == []

    with site.load("a host is cut off") as answers:
        two.host.cut_off()
        site.balancer.wait_for_down("two")
    assert len(problems(answers)) <= ANSWERED_IN_PART
    assert max(answer.seconds for answer in answers) < LONGEST_OUTAGE
    with site.load("it returns") as answers:
        two.host.reconnect()
        site.wait_for_up(two)
    assert problems(answers) == []

    with site.load("all are restarted in turn") as answers:
        for replica in (one, two, three):
            replica.stop()
            site.start(replica)
    assert problems(answers) == []

    with site.load("a new version") as answers:
        site.models.add(2)
        switched = wait_for_version("2", one, two, three)
    assert problems(answers) == []
    assert {answer.version for answer in answers} == {1, 2}
    assert {answer.version for answer in answers if answer.asked > switched} == {2}

    with site.load("a damaged version, then one more replica") as answers:
        hidden = site.models.path / "iris/.3"
        site.models.write(hidden, 3)
        flip_byte(hidden)
        hidden.rename(site.models.path / "iris/3")
        site.start(four)
        four_says = four.version()
    assert problems(answers) == []
    assert four_says == "2"
    assert {answer.version for answer in answers} == {2}
    print(*HEADER, *site.rows, sep="\n")


HEADER = (
    "",
    "| what happens | requests | failed | requests/s before, then | median, ms | longest, s |",
    "| --- | --- | --- | --- | --- | --- |",
)


def wait_for_version(version: str, *replicas: Replica) -> float:
    """Until all these replicas say that it answers; returns when, of the monotonic clock."""
    wait_until(lambda: all(replica.version() == version for replica in replicas), f"version {version} everywhere")
    return time.monotonic()
