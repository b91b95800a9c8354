"""Liveness and readiness. A worker that answers at all has opened every model and seen its golden examples."""

from flask import Blueprint, Response

from service.encoding.description import Alive, Live, Ready
from service.routes import answer
from service.routes.openapi import described

health = Blueprint("health", __name__)


@health.get("/")
@described(Alive)
def alive() -> Response:
    """KServe's liveness in V1, and where to read on."""
    return answer(Alive())


@health.get("/v2/health/live")
@described(Live)
def live() -> Response:
    """The process answers."""
    return answer(Live())


@health.get("/v2/health/ready")
@described(Ready)
def ready() -> Response:
    """Every model answers. Models open before the first request is accepted, so this is true or nothing answers."""
    return answer(Ready())
