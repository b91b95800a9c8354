"""Which requests are logged, and what a line says about one."""

import logging
import re
from typing import Any

from service.observability.request_timer import RequestTimer

TRACE = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C's traceparent
OVERLOAD_INTERVAL_NS = 1_000_000_000
NO_TRACE = "0" * 32
FAULTS = (500, 504)  # statuses of a fault of the service
DURATION_FIELDS = ("decode_ms", "infer_ms", "encode_ms", "total_ms")

log = logging.getLogger("service.requests")


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
