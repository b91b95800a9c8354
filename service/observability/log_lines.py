"""Log lines: JSON, one object a line; on a terminal, plain text for people, in colour unless NO_COLOR is set."""

import datetime as dt
import logging
from typing import Any

import msgspec
from gunicorn import glogging

from service.settings import wants_colour

ENCODER = msgspec.json.Encoder()
FORMAT, TIME_FORMAT = "%(asctime)s [%(levelname)s] %(message)s", "%H:%M:%S"
GREEN, CYAN, YELLOW, RED, GREY = 32, 36, 33, 31, 90  # of a terminal's escape codes
COLOUR_OF_STATUS = {1: GREY, 2: GREEN, 3: CYAN, 4: YELLOW, 5: RED}  # by its first digit


def escape_controls(text: str) -> str:
    r"""Write what is not printable (line breaks, escape codes, bidirectional overrides) as `\n` or `\x1b`.

    A client decides on parts of many messages, and must be able neither to forge a line nor to command a terminal.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class EscapedLines(logging.Formatter):
    """Of a message with a traceback, only the first line is not indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """One line."""
        return escape_controls(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """A traceback with its line breaks."""
        return "\n".join(f"  {escape_controls(line)}" for line in super().formatException(ei).split("\n"))


class TerminalLines(EscapedLines):
    """Time, level and message; of a request what its JSON line says, without the durations of its stages."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__(FORMAT, TIME_FORMAT)
        self._colour = colour

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """One line."""
        fields = getattr(record, "fields", None)
        if fields:
            return f"{record.asctime} {self._request(fields)}"
        line = super().formatMessage(record)
        if record.levelno < logging.WARNING:
            return line
        return self._paint(line, YELLOW if record.levelno == logging.WARNING else RED)

    def _request(self, fields: dict[str, Any]) -> str:
        """Such as `POST /v1/models/iris:predict 400 BadRequest 1.2 ms iris/3 id=...`."""
        status = f"{fields['status']} {fields.get('reason', '')}".rstrip()
        parts = [
            escape_controls(fields["method"]),  # it and the path may be empty: not all that is sent is HTTP
            escape_controls(fields["path"]),
            self._paint(status, COLOUR_OF_STATUS.get(fields["status"] // 100, RED)),
            f"{fields['total_ms']:.1f} ms",
            f"{fields['model']}/{fields['version']}" if "model" in fields else "",
            f"{fields['rows']} rows" if fields.get("rows", 1) != 1 else "",
            self._paint(f"id={fields['request_id']}", GREY),
        ]
        return " ".join(part for part in parts if part)

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text


class JsonLines(EscapedLines):
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
    """Gunicorn's logger, which writes JSON, but to a terminal."""

    def setup(self, cfg: Any) -> None:
        """Called at the start, and when the configuration is reloaded."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            stream = getattr(handler, "stream", None)  # a handler for syslog has none
            is_terminal = stream is not None and stream.isatty()
            handler.setFormatter(TerminalLines(colour=wants_colour()) if is_terminal else JsonLines())
