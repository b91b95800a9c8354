"""What Prometheus reads."""

from flask import Blueprint

from service.routes import Answer, Asked
from service.routes.openapi import described
from service.telemetry.prometheus import exposition

metrics = Blueprint("metrics", __name__)


@metrics.get("/metrics")
@described({"text/plain": str})
def read(asked: Asked) -> Answer:
    """Counters of all workers, as Prometheus reads them."""
    asked.recorder.flush()
    page, media_type = exposition(asked.telemetry, asked.models, asked.header("Accept") or "")
    return Answer(page, media_type)
