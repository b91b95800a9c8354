"""Liveness and readiness. A worker that answers at all has opened every model and seen its golden examples."""

from flask import Blueprint

from service.http.messages import Answer, Asked, answer
from service.protocols.openapi import described
from service.protocols.v2.metadata import Alive, Live, Ready

health = Blueprint("health", __name__)


@health.get("/")
@described(Alive)
def alive(_asked: Asked) -> Answer:
    """KServe's liveness in V1, and where to read on."""
    return answer(Alive())


@health.get("/v2/health/live")
@described(Live)
def live(_asked: Asked) -> Answer:
    """The process answers."""
    return answer(Live())


@health.get("/v2/health/ready")
@described(Ready)
def ready(_asked: Asked) -> Answer:
    """Every model answers. Models open before the first request is accepted, so this is true or nothing answers."""
    return answer(Ready())
