"""Liveness and readiness. A worker that answers at all has opened every model and seen its golden examples."""

from flask import Blueprint, Response

from service.routes import answer

health = Blueprint("health", __name__, url_prefix="/v2/health")


@health.get("/live")
def live() -> Response:
    """The process answers."""
    return answer({"live": True})


@health.get("/ready")
def ready() -> Response:
    """Every model answers. Models open before the first request is accepted, so this is true or nothing answers."""
    return answer({"live": True, "ready": True})
