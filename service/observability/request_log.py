"""Log lines: JSON, one object a line; on a terminal, plain text as Gunicorn writes it."""

import datetime as dt
import logging
import re
import sys
from typing import Any

import msgspec
from gunicorn import glogging

from service.observability.request_timer import RequestTimer

ENCODER = msgspec.json.Encoder()
TRACE = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C's traceparent
OVERLOAD_INTERVAL_NS = 1_000_000_000
NO_TRACE = "0" * 32
FAULTS = (500, 504)  # statuses of a fault of the service
DURATION_FIELDS = ("decode_ms", "infer_ms", "encode_ms", "total_ms")

log = logging.getLogger("service.requests")


def escape_controls(text: str) -> str:
    r"""Write what is not printable (line breaks, escape codes, bidirectional overrides) as `\n` or `\x1b`.

    A client decides on parts of many messages, and must be able neither to forge a line nor to command a terminal.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class PlainLines(logging.Formatter):
    """Gunicorn's format, for a terminal. Of a message with a traceback, only the first line is not indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """One line."""
        return escape_controls(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """A traceback with its line breaks."""
        return "\n".join(f"  {escape_controls(line)}" for line in super().formatException(ei).split("\n"))


class JsonLines(PlainLines):
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
        line = {name: escape_controls(value) if isinstance(value, str) else value for name, value in line.items()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return ENCODER.encode(line).decode()


class Logger(glogging.Logger):  # type: ignore[misc]  # Gunicorn is not typed
    """Gunicorn's logger, which writes JSON unless standard error is a terminal."""

    def setup(self, cfg: Any) -> None:
        """Called at the start, and when the configuration is reloaded."""
        super().setup(cfg)
        formatter = PlainLines(self.error_fmt, self.datefmt) if sys.stderr.isatty() else JsonLines()
        for handler in self.error_log.handlers:
            handler.setFormatter(formatter)


class RequestLog:
    """One line for each request (`all`), for slow, rejected and failed requests (`slow`), or for `none`.

    Of the request it has the path and the client's ids, and no other content. In the mode `slow`, of the requests with
    status 503 one in a second is logged: in an overload there are thousands.
    """

    def __init__(self, mode: str, slow_ms: int) -> None:
        self._mode = mode
        self._slow_ns = slow_ms * 1_000_000
        self._next_overload_ns = 0

    def on_response(self, timer: RequestTimer, environ: dict[str, Any], status: int) -> None:
        """Log the request, if it is to be logged."""
        if self._mode == "none":
            return
        if self._mode == "slow" and status < 400 and timer.durations_ns[-1] < self._slow_ns:
            return
        if self._mode == "slow" and status == 503:
            if timer.finished_at < self._next_overload_ns:
                return
            self._next_overload_ns = timer.finished_at + OVERLOAD_INTERVAL_NS
        fields = _log_fields(timer, environ, status)
        level = logging.ERROR if status in FAULTS else logging.INFO
        log.log(level, "%s %s %d", fields["method"], fields["path"], status, extra={"fields": fields})


def _log_fields(timer: RequestTimer, environ: dict[str, Any], status: int) -> dict[str, Any]:
    found: dict[str, Any] = {"request_id": timer.request_id}
    trace = TRACE.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    if trace and trace[1] != NO_TRACE:
        found["trace_id"] = trace[1]
    found |= {"method": environ.get("REQUEST_METHOD", ""), "path": environ.get("PATH_INFO", "")[:200], "status": status}
    if timer.model_id:
        found |= {"model": timer.model_id.name, "version": timer.model_id.version, "protocol": timer.protocol}
    if timer.reason:
        found["reason"] = timer.reason
    durations = [round(duration / 1e6, 3) for duration in timer.durations_ns]
    if timer.predicted_at:
        return found | {"rows": timer.rows} | dict(zip(DURATION_FIELDS, durations, strict=True))
    return found | {"total_ms": durations[-1]}
