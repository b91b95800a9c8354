"""What Prometheus reads."""

from flask import Blueprint

from service.http.messages import Answer, Asked
from service.observability.prometheus import exposition
from service.protocols.openapi import described

metrics = Blueprint("metrics", __name__)


@metrics.get("/metrics")
@described({"text/plain": str})
def read(asked: Asked) -> Answer:
    """Counters of all workers, as Prometheus reads them."""
    asked.recorder.flush()
    page, media_type = exposition(asked.telemetry, asked.models, asked.header("Accept") or "")
    return Answer(page, media_type)
