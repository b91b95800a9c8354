"""Log lines: JSON, one a line, for machines; as Gunicorn writes them where a person looks on, at a terminal."""

import datetime as dt
import logging
import re
import sys
from typing import Any

import msgspec
from gunicorn import glogging

from service.observability.request_timer import Watch

ENCODER = msgspec.json.Encoder()
TRACE = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C's traceparent
NO_TRACE = "0" * 32
STAGES = ("decode_ms", "infer_ms", "encode_ms", "total_ms")

log = logging.getLogger("service.requests")


class JsonLines(logging.Formatter):
    """`time` (UTC), `level`, `process`, `message`; the fields of a request; the traceback of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": record.process,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return ENCODER.encode(line).decode()


class Logger(glogging.Logger):  # type: ignore[misc]  # Gunicorn is not typed
    """Gunicorn's, in JSON where nobody looks on."""

    def setup(self, cfg: Any) -> None:
        """Called at the start, and when the configuration is read again."""
        super().setup(cfg)
        if not sys.stderr.isatty():
            for handler in self.error_log.handlers:
                handler.setFormatter(JsonLines())


class RequestLog:
    """One line a request: of `all`, of `slow` ones and those that were refused or failed, or of `none`.

    What a client sent is not in it, but for the path and its own ids.
    """

    def __init__(self, which: str, slow_ms: int) -> None:
        self._which = which
        self._slow_ns = slow_ms * 1_000_000

    def ended(self, watch: Watch, environ: dict[str, Any], status: int) -> None:
        """A request has its answer."""
        if self._which == "none":
            return
        if self._which == "slow" and status < 400 and watch.stages[-1] < self._slow_ns:
            return
        fields = _fields(watch, environ, status)
        level = logging.ERROR if status >= 500 and status != 501 else logging.INFO
        log.log(level, "%s %s %d", fields["method"], fields["path"], status, extra={"fields": fields})


def _fields(watch: Watch, environ: dict[str, Any], status: int) -> dict[str, Any]:
    found: dict[str, Any] = {"request_id": watch.request_id}
    trace = TRACE.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    if trace and trace[1] != NO_TRACE:
        found["trace_id"] = trace[1]
    found |= {"method": environ.get("REQUEST_METHOD", ""), "path": environ.get("PATH_INFO", "")[:200], "status": status}
    if watch.title:
        found |= {"model": watch.title[0], "version": watch.title[1], "protocol": watch.protocol}
    if watch.reason:
        found["reason"] = watch.reason
    durations = [round(duration / 1e6, 3) for duration in watch.stages]
    if watch.predicted_at:
        return found | {"rows": watch.rows} | dict(zip(STAGES, durations, strict=True))
    return found | {"total_ms": durations[-1]}
