"""Around the application: every request gets an id and a timer, is counted and logged, and gets headers that say so.

It is WSGI middleware and not Flask's hooks: those took twice the time.
"""

import logging
import random
import re
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from service.errors import BadRequest, NotSupported, PayloadTooLarge, ServiceOverloaded
from service.observability.request_timer import RequestTimer
from service.observability.shared_counters import WorkerCounters

TIMER = "digitalis.timer"  # the key of the timer in a request's WSGI environment
NO_SNIFFING = ("X-Content-Type-Options", "nosniff")  # browsers take a response for what its Content-Type says
# Why the server rejected a request before it reached the application, as the application would call it.
REASONS = {error.status: error.__name__ for error in (BadRequest, PayloadTooLarge, NotSupported, ServiceOverloaded)}
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]  # named, as a nested function evaluates its annotations at each definition

log = logging.getLogger(__name__)


class RequestHook(Protocol):
    """Called for each request when its response is ready: the request log, tracing."""

    def on_response(self, timer: RequestTimer, environ: dict[str, Any], status: int) -> None:
        """A response with this status is about to be sent."""


class RequestMiddleware:
    """A WSGI application around another one."""

    def __init__(self, application: Application, hooks: Sequence[RequestHook], counters: WorkerCounters) -> None:
        self.application = application
        self._hooks = hooks
        self.counters = counters

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        timer = environ[TIMER] = RequestTimer(self.counters, _request_id(environ.get("HTTP_X_REQUEST_ID")))

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            self._finish(timer, environ, int(status[:3]))
            headers += [("X-Request-ID", timer.request_id), ("Server-Timing", timer.server_timing()), NO_SNIFFING]
            return start_response(status, headers, *exc_info)

        try:
            return self.application(environ, start)
        except BaseException:
            self._finish(timer, environ, 500)
            raise

    def record(self, environ: dict[str, Any], status: int) -> Headers:
        """The server responds in the application's place: count the request, and return headers for that response."""
        timer: RequestTimer = environ.get(TIMER) or RequestTimer(
            self.counters, _request_id(environ.get("HTTP_X_REQUEST_ID"))
        )
        # Of a status without an exception the name, such as RequestTimeout.
        timer.reason = REASONS.get(status) or HTTPStatus(status).phrase.title().replace(" ", "")
        self._finish(timer, environ, status)
        return [("X-Request-ID", timer.request_id), NO_SNIFFING]

    def _finish(self, timer: RequestTimer, environ: dict[str, Any], status: int) -> None:
        """Count and report a request. A failure here is logged, and never keeps the response from being sent."""
        try:
            if timer.finish(status):
                for hook in self._hooks:
                    hook.on_response(timer, environ, status)
        except Exception:
            log.exception("request %s: recording it failed", timer.request_id)


def _request_id(given: str | None) -> str:
    """The client's own id if it is well-formed, otherwise a random one; it need not be unpredictable."""
    return given if given and REQUEST_ID_PATTERN.fullmatch(given) else f"{random.getrandbits(128):032x}"
