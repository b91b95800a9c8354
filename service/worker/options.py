"""What the application's owner decides about the worker. Gunicorn's own settings decide the rest."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from wsgiref.types import WSGIApplication, WSGIEnvironment


def _no_headers(_application: WSGIApplication, _environ: WSGIEnvironment, _status: int) -> Iterable[tuple[str, str]]:
    return ()


def _nothing(_application: WSGIApplication) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Limits and hooks. Times are in seconds. A hook that raises is logged, and the worker continues.

    - `request_timeout`: a request's head must have arrived this long after its first byte. A body, and the reading of a
      response, must go on by `min_rate` bytes a second in each such period, or come to its end.
    - `queue_timeout`: a request that has waited for longer than this gets 503; one that is expected to wait for half of
      it gets 503 at once: estimates may be wrong.
    - `max_queued`: as many requests may wait for their turn; others get 503.
    - `waiting_threads`: as many requests may wait for each other, beside those that run: the application gets
      `worker.wait` in its environment, and calls it with an event that another thread sets, with a function that
      returns whether the wait may be given up, and with the seconds that are expected.
    - `cores`: as many requests that are known to be slow run at the same time (`leader`).
    - `response_timeout`: a request without a response after this time gets 504, and the worker is replaced.
    - `max_body_bytes`: of a longer body the application receives one byte more than this, so that it can respond 413.
    - `memory_budget_bytes`: what the requests of the worker may hold (`memory`).
    - `drain_delay`: after SIGTERM the worker serves as before for so long, while the application says that it is not
      ready; then it stops accepting connections.
    - `on_response(application, environ, status)` is called before the worker itself responds to a request that is
      rejected or has timed out, and returns headers for the response.
    - `every_second(application)` is called about once a second, on the thread that reads from the connections.
    - `on_shutdown(application)` is called when the drain delay begins; not when other workers replace this one.
    - `names`: what the owner calls an option, for messages.
    """

    request_timeout: float = 30.0
    min_rate: int = 8192
    queue_timeout: float = 1.0
    max_queued: int = 1000
    waiting_threads: int = 0
    cores: int = 1
    response_timeout: float = 60.0
    max_body_bytes: int = 16 * 2**20
    memory_budget_bytes: int = 256 * 2**20
    drain_delay: float = 0.0
    on_response: Callable[[WSGIApplication, WSGIEnvironment, int], Iterable[tuple[str, str]]] = _no_headers
    every_second: Callable[[WSGIApplication], None] = _nothing
    on_shutdown: Callable[[WSGIApplication], None] = _nothing
    names: Mapping[str, str] = field(default_factory=dict)

    def name(self, option: str) -> str:
        """What the owner calls this option."""
        return self.names.get(option, option)
