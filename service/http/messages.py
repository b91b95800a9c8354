"""HTTP in, HTTP out: one module for each protocol. A view finds, decodes, predicts, encodes; no numbers here.

A view is given what was `Asked`, and gives an `Answer`. `dispatch` finds it by the path.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

import msgspec

from service.inference.repository import Model, ModelRepository
from service.observability.middleware import WATCH
from service.observability.request_timer import Watch
from service.observability.shared_counters import Recorder, Telemetry
from service.protocols.parsing import JSON
from service.settings import Settings

STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
ENCODER = msgspec.json.Encoder()


class Answer(NamedTuple):
    """What a view gives."""

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()

    def __call__(self, environ: WSGIEnvironment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Over WSGI."""
        head = [("Content-Type", self.content_type), ("Content-Length", str(len(self.body))), *self.headers]
        start_response(STATUS_LINES[self.status], head)
        return () if environ["REQUEST_METHOD"] == "HEAD" else (self.body,)


class Asked(NamedTuple):
    """A request as a view sees it: its environment, and what the application has."""

    environ: WSGIEnvironment
    models: ModelRepository
    settings: Settings
    recorder: Recorder

    @property
    def telemetry(self) -> Telemetry:
        """The counters of all workers."""
        return self.recorder.telemetry

    @property
    def path(self) -> str:
        """As text."""
        return text_of(self.environ["PATH_INFO"])

    @property
    def media_type(self) -> str:
        """The media type alone, in lower case; empty where the client says none."""
        return str(self.environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()

    @property
    def length(self) -> int | None:
        """Bytes of the body, as announced; None of one in chunks."""
        text = self.environ.get("CONTENT_LENGTH", "")
        return int(text) if text.isdecimal() else None

    def header(self, name: str) -> str | None:
        """A field of the head."""
        return self.environ.get("HTTP_" + name.upper().replace("-", "_"))

    def query(self, name: str) -> list[str]:
        """All values of a parameter of the query."""
        text = self.environ.get("QUERY_STRING")
        return parse_qs(text, keep_blank_values=True, errors="replace").get(name, []) if text else []

    def watch(self, model: Model, protocol: str) -> Watch:
        """The watch of this request, which is to this model from here on."""
        found: Watch = self.environ[WATCH]
        found.of((model.bundle.name, model.bundle.version), protocol)
        return found


def answer(content: Any, status: int = 200) -> Answer:
    """JSON, on a line of its own: people read it on terminals."""
    return Answer(ENCODER.encode(content) + b"\n", status=status)


def text_of(path: str) -> str:
    """A path, whose bytes WSGI gives as Latin-1."""
    return path.encode("latin1").decode("utf-8", "replace")
