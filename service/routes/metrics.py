"""What Prometheus reads."""

from flask import Blueprint, Response, request

from service.routes import models, telemetry
from service.routes.openapi import described
from service.telemetry.prometheus import exposition

metrics = Blueprint("metrics", __name__)


@metrics.get("/metrics")
@described({"text/plain": str})
def read() -> Response:
    """Counters of all workers, as Prometheus reads them."""
    page, media_type = exposition(telemetry(), models(), request.headers.get("Accept", ""))
    return Response(page, content_type=media_type)
