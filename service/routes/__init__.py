"""HTTP in, HTTP out: one module for each protocol. A view finds, decodes, predicts, encodes; no numbers here."""

from typing import Any

import msgspec
from flask import Response, current_app
from werkzeug.routing import BaseConverter

from service.repository import Model, ModelRepository
from service.settings import Settings
from service.telemetry import Recorder, Totals, Watch

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


def watch(model: Model) -> Watch:
    """A context in which one request to this model is answered, and counted."""
    recorder: Recorder = current_app.extensions["recorder"]
    return recorder.watch((model.bundle.name, model.bundle.version))


def totals(model: Model) -> Totals:
    """What has been counted of this model."""
    recorder: Recorder = current_app.extensions["recorder"]
    return recorder.telemetry.totals((model.bundle.name, model.bundle.version))


def answer(content: Any, status: int = 200) -> Response:
    """JSON, on a line of its own: people read it on terminals."""
    return Response(ENCODER.encode(content) + b"\n", status, content_type="application/json")
