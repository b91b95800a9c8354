"""The soak: three minutes of it against the service, and that its checks fail where they should."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from running_service import ROOT
from soak import clients
from soak.clients import make_exchange
from soak.exchanges import Exchange, invalid_exchanges, valid_exchanges
from soak.journal import FAILED, LOST, REJECTED, RETRIED, RIGHT, Journal
from soak.report import last_three_quarters_growth, print_report

from benchmarks.overload.probes import ProbeResult

Response = tuple[int, bytes, dict[str, str]]

MINUTES = 3
KINDS = ("GET", "V1", "V2", "burst of photos", "burst of rows", "garbage", "hang-up", "invalid", "large", "slow")
TOO_BUSY: Response = (503, b'{"error": "busy"}', {"Retry-After": "0"})


@contextmanager
def server_that_responds(*responses: Response) -> Iterator[httpx.Client]:
    """A server that sends these responses, the last one again and again, or hangs up without any."""
    remaining = list(responses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not remaining:
                return
            status, body, headers = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", verify=False) as client:
            yield client
        server.shutdown()
        thread.join()


def exchange(kind: str) -> Exchange:
    return next(it for it in valid_exchanges() + invalid_exchanges() if it.kind == kind)


def outcome(journal: Journal, kind: str, *responses: Response) -> str:
    """What is recorded of one exchange with a server that sends these responses."""
    with server_that_responds(*responses) as client:
        make_exchange(client, exchange(kind), journal)
    (found,) = journal.counts[kind]
    return found


@pytest.mark.parametrize("kind", ["V1", "V2", "invalid"])
@pytest.mark.parametrize(
    "response",
    [
        (200, b'{"predictions": [{"label": "versicolor"}], "outputs": [{"data": [0, 1, 0]}]}', {}),
        (200, b"{}", {}),
        (200, b"no JSON", {}),
        (500, b'{"error": "internal error"}', {}),
        (503, b'{"error": "busy"}', {}),
        (404, b'{"error": "no such model"}', {}),
    ],
)
def test_a_wrong_response_is_a_failure(kind: str, response: Response) -> None:
    journal = Journal()
    assert outcome(journal, kind, response) == FAILED
    assert len(journal.failures) == 1


def test_a_rejection_is_explained_by_an_overload_or_by_what_comes_of_another_attempt() -> None:
    right: Response = (200, b'{"outputs": [{"data": [0.9, 0.1, 0]}]}', {})
    assert outcome(Journal(), "V2", right) == RIGHT
    assert outcome(Journal(), "V2", TOO_BUSY, TOO_BUSY, right) == RETRIED
    assert outcome(Journal(), "V2", *[TOO_BUSY] * (1 + clients.RETRIES), right) == FAILED
    journal = Journal()
    with journal.overload():
        assert outcome(journal, "V2", TOO_BUSY) == REJECTED
    no_memory: Response = (503, b'{"error": "no memory (DIGITALIS_MEMORY_BUDGET_BYTES)"}', {"Retry-After": "1"})
    assert outcome(Journal(), "V2", no_memory) == REJECTED


def test_a_lost_connection_is_explained_by_a_worker_that_was_killed_just_then() -> None:
    assert outcome(Journal(), "V2") == FAILED
    journal = Journal()
    journal.kills.append(journal.clock())
    assert outcome(journal, "V2") == LOST
    journal = Journal()
    journal.kills.append(journal.clock() - 60)
    assert outcome(journal, "V2") == FAILED


@pytest.mark.parametrize(
    ("memory", "descriptors", "failed_at", "words"),
    [
        ([90, 90, 91, 98.0], [8] * 4, [], "FAILED: memory: a worker grew by 8.0 MB"),
        ([90] * 4, [8, 8, 8, 11], [], "FAILED: file descriptors: 3 more"),
        ([90] * 4, [8] * 4, [1.0], "FAILED: health"),
    ],
)
def test_growth_and_a_health_check_without_an_answer_are_failures(
    capsys: pytest.CaptureFixture[str], memory: list[float], descriptors: list[int], failed_at: list[float], words: str
) -> None:
    assert not print_report(Journal(), ProbeResult([1.0], failed_at), memory, descriptors)
    assert words in capsys.readouterr().out
    assert print_report(Journal(), ProbeResult([1.0]), [90] * 4, [8] * 4)


def test_growth_counts_from_the_end_of_the_first_quarter() -> None:
    assert last_three_quarters_growth([50, 80, 81, 82]) == 32
    assert last_three_quarters_growth([40, 50, 60, 70, 80, 81, 82, 83]) == 33


@pytest.mark.slow
def test_a_soak_of_three_minutes_finds_nothing_that_is_not_explained() -> None:
    completed = subprocess.run(
        (sys.executable, "-m", "soak", "--seconds", str(MINUTES * 60)),
        cwd=ROOT, env=os.environ | {"PYTHONPATH": "tests"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    output = completed.stdout + completed.stderr
    assert completed.returncode == 0, output
    assert "unexplained failures: 0\n" in output
    assert f"workers killed: {MINUTES};" in output
    for kind in KINDS:
        right = re.search(rf"^\| {kind} \| (\d+) \|", output, re.MULTILINE)
        assert right, output
        assert int(right[1]) > 0, output
