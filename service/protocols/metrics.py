"""`GET /metrics`, for Prometheus."""

import flask

from service.http.access import requires
from service.http.routing import current_app
from service.observability.prometheus import render
from service.protocols.openapi import describe

metrics = flask.Blueprint("metrics", __name__)


@metrics.get("/metrics")
@requires("metrics")
@describe({"text/plain": str})
def read_metrics() -> flask.Response:
    """The metrics of all workers, in Prometheus' text format or OpenMetrics'."""
    counters = current_app.middleware.counters
    counters.flush()
    page, media_type = render(counters.shared, current_app.models, flask.request.headers.get("Accept", ""))
    return flask.Response(page, content_type=media_type)
