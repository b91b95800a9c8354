"""Liveness and readiness. A worker that responds at all has opened its models and checked their golden examples."""

from typing import Literal

import flask
import msgspec

from service.errors import ShuttingDown
from service.http.access import requires
from service.http.routing import current_app
from service.protocols.openapi import describe

health = flask.Blueprint("health", __name__)
root = flask.Blueprint("root", __name__)  # `GET /`, where there is no page


class V2Liveness(msgspec.Struct):
    """The process responds."""

    live: bool = True


class V2Readiness(msgspec.Struct):
    """The service is ready. The specification calls the field `live`; most clients read `ready`."""

    live: bool = True
    ready: bool = True


class V1Liveness(msgspec.Struct):
    """The process responds: KServe's V1 liveness, with the paths of the models and of the documentation."""

    status: Literal["alive"] = "alive"
    models: str = "/v1/models"
    documentation: str = "/docs/"


@root.get("/")
@requires("open")
@describe(V1Liveness)
def v1_liveness() -> flask.Response:
    """KServe's liveness in V1, and where to find the models and the documentation."""
    root = flask.request.script_root
    return flask.jsonify(V1Liveness(models=f"{root}/v1/models", documentation=f"{root}/docs/"))


@health.get("/v2/health/live")
@requires("open")
@describe(V2Liveness)
def v2_liveness() -> flask.Response:
    """Whether the process responds."""
    return flask.jsonify(V2Liveness())


@health.get("/v2/health/ready")
@requires("open")
@describe(V2Readiness, errors=[ShuttingDown])
def v2_readiness() -> flask.Response:
    """Whether to send requests: models are opened before the first one is accepted, so only a shutdown says no."""
    if current_app.is_shutting_down:
        raise ShuttingDown("the service is shutting down: send requests elsewhere")
    return flask.jsonify(V2Readiness())
