"""`Request` and `Response`: one HTTP exchange, as the views on the fast path see it."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

import msgspec

from service.inference.model import Model
from service.inference.repository import ModelRepository
from service.observability.middleware import TIMER
from service.observability.request_timer import RequestTimer
from service.settings import Settings

JSON = "application/json"
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
ENCODER = msgspec.json.Encoder()


class Response(NamedTuple):
    """A complete response; a WSGI application that sends itself."""

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()

    def __call__(self, environ: WSGIEnvironment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Send it over WSGI."""
        headers = [("Content-Type", self.content_type), ("Content-Length", str(len(self.body))), *self.headers]
        start_response(STATUS_LINES[self.status], headers)
        return () if environ["REQUEST_METHOD"] == "HEAD" else (self.body,)


class Request(NamedTuple):
    """A request: its WSGI environment, and the models and settings of the application."""

    environ: WSGIEnvironment
    models: ModelRepository
    settings: Settings

    @property
    def media_type(self) -> str:
        """The media type without parameters, in lower case; empty if the client sent none."""
        return str(self.environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, as announced; None if it is chunked."""
        text = self.environ.get("CONTENT_LENGTH", "")
        return int(text) if text.isdecimal() else None

    def header(self, name: str) -> str | None:
        """The value of a header field."""
        return self.environ.get("HTTP_" + name.upper().replace("-", "_"))

    def query(self, name: str) -> list[str]:
        """All values of a query parameter."""
        text = self.environ.get("QUERY_STRING")
        return parse_qs(text, keep_blank_values=True, errors="replace").get(name, []) if text else []

    def timer_for(self, model: Model, protocol: str) -> RequestTimer:
        """The timer of this request, which is counted for this model from here on."""
        timer: RequestTimer = self.environ[TIMER]
        timer.set_model(model.id, protocol)
        return timer


def json_bytes(content: Any) -> bytes:
    """JSON on a line of its own, as people read it on terminals."""
    return ENCODER.encode(content) + b"\n"


def decode_path(path: str) -> str:
    """A path as text: WSGI passes its UTF-8 bytes as Latin-1."""
    return path.encode("latin1").decode("utf-8", "replace")
