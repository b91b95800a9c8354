"""HTTP in, HTTP out: one module for each protocol. A view finds, decodes, predicts, encodes; no numbers here."""

from typing import Any

import msgspec
from flask import Response, current_app, request
from werkzeug.routing import BaseConverter

from service.observation import WATCH, Observed
from service.repository import Model, ModelRepository
from service.settings import Settings
from service.telemetry import Telemetry, Watch

ENCODER = msgspec.json.Encoder()


class ModelConverter(BaseConverter):
    """A model's name or version in a path: up to the colon of `:predict`."""

    regex = "[^/:]+"


def models() -> ModelRepository:
    """The models of this application."""
    repository: ModelRepository = current_app.extensions["models"]
    return repository


def settings() -> Settings:
    """The settings of this application."""
    found: Settings = current_app.extensions["settings"]
    return found


def watch(model: Model, protocol: str) -> Watch:
    """The watch of the request at hand, which is to this model from here on."""
    found: Watch = request.environ[WATCH]
    found.of((model.bundle.name, model.bundle.version), protocol)
    return found


def telemetry() -> Telemetry:
    """The counters of all workers."""
    observed: Observed = current_app.extensions["observed"]
    return observed.recorder.telemetry


def answer(content: Any, status: int = 200) -> Response:
    """JSON, on a line of its own: people read it on terminals."""
    return Response(ENCODER.encode(content) + b"\n", status, content_type="application/json")
