"""Overhead of metrics, request id, `Server-Timing` and the request log on one Iris request.

The WSGI application is called directly, without a server, with and without each of them.
"""

import io
import logging
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from service.app import create_app
from service.observability.counter_layout import metrics_schema
from service.observability.log_lines import JsonLines
from service.observability.middleware import TIMER, Application, RequestHook, RequestMiddleware
from service.observability.request_log import RequestLog
from service.observability.shared_counters import SharedCounters
from service.settings import Settings

MODELS = Path(__file__).parent.parent / "models"
BODY = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
REQUESTS_PER_ROUND = 200
NONE = "none"


class NullTimer:
    """A request timer that records nothing."""

    reason = ""

    def set_model(self, *_arguments: object) -> None:
        """Do nothing."""

    mark_read = mark_decoded = mark_predicted = set_model


def measure(rounds: int) -> None:
    """Print the microseconds per request of each variant, and its overhead over no observability at all."""
    variants = _variants()
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, application in variants.items():
            times[name].append(_microseconds_per_request(application))
    print("| enabled | microseconds per request | overhead |\n| --- | --- | --- |")
    for name, found in times.items():
        overhead = statistics.median(one - none for one, none in zip(found, times[NONE], strict=True))
        print(f"| {name} | {statistics.median(found):.1f} | {overhead:.1f} |")


def _variants() -> dict[str, Application]:
    folder = max((MODELS / "iris").iterdir(), key=lambda version: int(version.name))
    app = create_app(Settings(device="cpu"), [folder])
    inner: Application = app.middleware.application
    schemas = {model.bundle.id: metrics_schema(model.bundle) for model in app.models}
    _log_to_memory()

    def without_observability(environ: dict[str, Any], start_response: Any) -> Any:
        environ[TIMER] = NullTimer()
        return inner(environ, start_response)

    by_key = {str(model_id): schema for model_id, schema in schemas.items()}
    variants: dict[str, Application] = {NONE: without_observability}
    for name, hooks in _hook_sets():
        variants[name] = RequestMiddleware(inner, hooks, SharedCounters.of(by_key).worker())
    return variants


def _log_to_memory() -> None:
    """Format request log lines as the service does, but write them to a buffer."""
    log = logging.getLogger("service.requests")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(JsonLines())
    log.addHandler(handler)
    log.propagate = False


def _hook_sets() -> Iterator[tuple[str, Sequence[RequestHook]]]:
    yield "metrics, request id, Server-Timing", []
    yield "... and the log of slow requests", [RequestLog("slow", 1000)]
    yield "... and the log of all requests", [RequestLog("all", 1000)]


def _microseconds_per_request(application: Application) -> float:
    started = time.perf_counter()
    for _ in range(REQUESTS_PER_ROUND):
        b"".join(application(_wsgi_environ(), lambda *_arguments: None))
    return (time.perf_counter() - started) / REQUESTS_PER_ROUND * 1e6


def _wsgi_environ() -> dict[str, Any]:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/models/iris:predict", "QUERY_STRING": ""}
    server = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1"}
    content = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(BODY))}
    wsgi = {"wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(BODY), "wsgi.errors": sys.stderr}
    return environ | server | content | wsgi
