"""What the application's owner decides about the worker. Gunicorn's own settings decide the rest."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from wsgiref.types import WSGIApplication, WSGIEnvironment


def _no_headers(_application: WSGIApplication, _environ: WSGIEnvironment, _status: int) -> Iterable[tuple[str, str]]:
    return ()


def _nothing(_application: WSGIApplication) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Limits and hooks. Times are in seconds. A hook that raises is logged, and the worker continues.

    - `request_timeout`: a request must have arrived completely this long after its first byte.
    - `response_timeout`: a request without a response after this time gets 504, and the worker is replaced.
    - `max_body_bytes`: of a longer body the application receives one byte more than this, so that it can respond 413.
    - `drain_delay`: after SIGTERM the worker serves as before for so long, while the application says that it is not
      ready; then it stops accepting connections.
    - `on_timeout(application, environ, status)` is called before the 504 is sent, and returns headers for it.
    - `every_second(application)` is called about once a second, on the thread that reads from the connections.
    - `on_shutdown(application)` is called when the drain delay begins; not when other workers replace this one.
    """

    request_timeout: float = 60.0
    response_timeout: float = 60.0
    max_body_bytes: int = 16 * 2**20
    drain_delay: float = 0.0
    on_timeout: Callable[[WSGIApplication, WSGIEnvironment, int], Iterable[tuple[str, str]]] = _no_headers
    every_second: Callable[[WSGIApplication], None] = _nothing
    on_shutdown: Callable[[WSGIApplication], None] = _nothing
