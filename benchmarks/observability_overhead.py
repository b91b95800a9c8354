"""What metrics, request id, `Server-Timing`, log and traces cost one request: an Iris row, with and without each."""

import io
import logging
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from service.app import create_app
from service.observability.middleware import WATCH, Application, Observed, Observer
from service.observability.request_log import JsonLines, RequestLog
from service.observability.shared_counters import Telemetry
from service.settings import Settings

MODELS = Path(__file__).parent.parent / "models"
BODY = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
REQUESTS = 200  # a turn


class Blind:
    """A watch that sees nothing."""

    reason = ""

    def of(self, *_arguments: object) -> None:
        """Nothing."""

    read = decoded = predicted = of


def measure(rounds: int) -> None:
    """Print the microseconds of a request, medians of turns, and what each way takes more than none."""
    folder = max((MODELS / "iris").iterdir())
    app = create_app(Settings(device="cpu"), [folder])
    inner: Application = app.observed.application
    titles = app.models.counted()
    log = logging.getLogger("service.requests")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(JsonLines())
    log.addHandler(handler)
    log.propagate = False

    def blind(environ: dict[str, Any], start_response: Any) -> Any:
        environ[WATCH] = Blind()
        return inner(environ, start_response)

    ways: dict[str, Application] = {"nothing": blind}
    for name, observers in _observers():
        ways[name] = Observed(inner, observers, Telemetry(titles).recorder())
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, application in ways.items():
            times[name].append(_turn(application))
    print("| watched | microseconds a request | more than nothing |\n| --- | --- | --- |")
    for name, found in times.items():
        more = statistics.median(one - none for one, none in zip(found, times["nothing"], strict=True))
        print(f"| {name} | {statistics.median(found):.1f} | {more:.1f} |")


def _observers() -> Iterator[tuple[str, Sequence[Observer]]]:
    yield "metrics, request id, Server-Timing", []
    yield "... and the log, of slow ones", [RequestLog("slow", 1000)]
    yield "... and the log, of all", [RequestLog("all", 1000)]


def _turn(application: Application) -> float:
    started = time.perf_counter()
    for _ in range(REQUESTS):
        b"".join(application(_environment(), lambda *_arguments: None))
    return (time.perf_counter() - started) / REQUESTS * 1e6


def _environment() -> dict[str, Any]:
    environment = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/models/iris:predict", "QUERY_STRING": ""}
    server = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1"}
    content = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(BODY))}
    wsgi = {"wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(BODY), "wsgi.errors": sys.stderr}
    return environment | server | content | wsgi
