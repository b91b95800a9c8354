"""`Request` and `Response`: one HTTP exchange, as the views on the fast path see it."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

import msgspec

from service.errors import PayloadTooLarge, ServiceOverloaded
from service.images.normaliser import SegmentFunction
from service.inference.batching import Wait, wait_for
from service.inference.model import Model
from service.inference.repository import ModelRepository
from service.observability.middleware import TIMER
from service.observability.request_timer import RequestTimer
from service.settings import Settings
from service.worker.memory import LARGEST_SHARE, MemoryBudget

JSON = "application/json"
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
ENCODER = msgspec.json.Encoder()

# What our worker puts into the WSGI environment; under other servers they are absent.
MEMORY, DEADLINE, WAIT = "worker.memory", "worker.deadline", "worker.wait"
RESERVED_BODY = "digitalis.reserved_body_bytes"  # what `reserve_body` has reserved for this request
DEFAULT_WAIT = 0.5  # seconds for memory, where the worker sets no deadline
UNRESERVED_BYTES = 2**20  # as little as this is not counted, so that small pictures never wait for large ones


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
    """A request: its WSGI environment, and the models, settings and segmenter of the application."""

    environ: WSGIEnvironment
    models: ModelRepository
    settings: Settings
    segment: SegmentFunction

    @property
    def media_type(self) -> str:
        """The media type without parameters, in lower case; empty if the client sent none."""
        return str(self.environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, as announced; None if it is chunked."""
        text = self.environ.get("CONTENT_LENGTH", "")
        return int(text) if text.isdecimal() else None

    @property
    def wait(self) -> Wait:
        """How to wait for other requests, so that the worker can run these meanwhile."""
        wait: Wait = self.environ.get(WAIT, wait_for)
        return wait

    def header(self, name: str) -> str | None:
        """The value of a header field."""
        return self.environ.get("HTTP_" + name.upper().replace("-", "_"))

    def query(self, name: str) -> list[str]:
        """All values of a query parameter."""
        text = self.environ.get("QUERY_STRING")
        return parse_qs(text, keep_blank_values=True, errors="replace").get(name, []) if text else []

    def check_memory(self, size: int, what: str) -> None:
        """Raise `PayloadTooLarge` for more than one request may take."""
        memory: MemoryBudget | None = self.environ.get(MEMORY)
        largest = memory.largest if memory else int(self.settings.memory_budget_bytes * LARGEST_SHARE)
        if size > largest:
            limit = f"at most {largest:,}, {LARGEST_SHARE} of DIGITALIS_MEMORY_BUDGET_BYTES"
            raise PayloadTooLarge(f"{what} may take {size:,} bytes of memory: {limit}; send fewer or smaller instances")

    @contextlib.contextmanager
    def reserve(self, size: int, what: str = "the request") -> Iterator[None]:
        """Reserve memory for what handling takes beyond the body, waiting for it until the worker's deadline.

        Reserve once a request, all that it may need: two that wait for more of what the other has both wait in vain.
        Raises `PayloadTooLarge` for more than one request may take, and `ServiceOverloaded` at the deadline.
        """
        self.check_memory(size, what)
        memory: MemoryBudget | None = self.environ.get(MEMORY)
        if memory is None or size <= UNRESERVED_BYTES:
            yield
            return
        now = time.monotonic()
        if not memory.acquire(size, self.environ.get(DEADLINE, now + DEFAULT_WAIT) - now):
            raise _overloaded(memory, size)
        try:
            yield
        finally:
            memory.release(size)

    def reserve_body(self, size: int) -> None:
        """Reserve memory for a body that has been decompressed, until the response is made.

        Bodies never wait, as what waits for memory has a body already. Raises `ServiceOverloaded`.
        """
        memory: MemoryBudget | None = self.environ.get(MEMORY)
        if memory is None:
            return
        if not memory.reserve_body(size):
            raise _overloaded(memory, size)
        self.environ[RESERVED_BODY] = self.environ.get(RESERVED_BODY, 0) + size

    def timer_for(self, model: Model, protocol: str) -> RequestTimer:
        """The timer of this request, which is counted for this model from here on."""
        timer: RequestTimer = self.environ[TIMER]
        timer.set_model(model.id, model.key, protocol)
        return timer


def made_by(model: Model) -> tuple[tuple[str, str], ...]:
    """The header fields of a response that say which version and content of a model made it."""
    return ("X-Model-Version", model.bundle.version), ("X-Model-Digest", model.digest)


def release_body(environ: WSGIEnvironment) -> None:
    """Give back what `Request.reserve_body` has reserved."""
    environ[MEMORY].release_body(environ.pop(RESERVED_BODY))


def _overloaded(memory: MemoryBudget, size: int) -> ServiceOverloaded:
    return ServiceOverloaded(
        f"{size:,} bytes of memory are not free now: other requests have them"
        f" (DIGITALIS_MEMORY_BUDGET_BYTES={memory.total}); try again in a second"
    )


def json_bytes(content: Any) -> bytes:
    """JSON on a line of its own, as people read it on terminals."""
    return ENCODER.encode(content) + b"\n"


def decode_path(path: str) -> str:
    """A path as text: WSGI passes its UTF-8 bytes as Latin-1."""
    return path.encode("latin1").decode("utf-8", "replace")
