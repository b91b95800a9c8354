"""What is done for every request, whatever it asks: it has an id, is watched and logged, and its answer says the time.

Around the application, as WSGI has it, and not in Flask's hooks: there it took twice the time.
"""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from service.observability.request_timer import Watch
from service.observability.shared_counters import Recorder

WATCH = "digitalis.watch"  # its key in a request's environment
SANE = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Observer(Protocol):
    """Who wants to know of each request when it is over: the log, and traces."""

    def ended(self, watch: Watch, environ: dict[str, Any], status: int) -> None:
        """A request has its answer."""


class Observed:
    """An application whose requests are watched; `recorder` is set anew where workers share their counters."""

    def __init__(self, application: Application, observers: Sequence[Observer], recorder: Recorder) -> None:
        self.application = application
        self._observers = observers
        self.recorder = recorder

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        watch = environ[WATCH] = Watch(self.recorder, _request_id(environ.get("HTTP_X_REQUEST_ID")))

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            self._ended(watch, environ, int(status[:3]))
            headers += [("X-Request-ID", watch.request_id), ("Server-Timing", watch.timing())]
            return start_response(status, headers, *error)

        try:
            return self.application(environ, start)
        except BaseException:
            watch.ended(500)
            raise

    def gave_up(self, environ: dict[str, Any], status: int) -> list[tuple[str, str]]:
        """Called by the server, where it answers in the application's place; headers for that answer."""
        watch: Watch | None = environ.get(WATCH)
        if watch is None:
            return []
        self._ended(watch, environ, status)
        return [("X-Request-ID", watch.request_id)]

    def _ended(self, watch: Watch, environ: dict[str, Any], status: int) -> None:
        if watch.ended(status):
            for observer in self._observers:
                observer.ended(watch, environ, status)


def _request_id(given: str | None) -> str:
    """The client's own, if it is sane, or one that is made here; it is no secret."""
    return given if given and SANE.fullmatch(given) else f"{random.getrandbits(128):032x}"
