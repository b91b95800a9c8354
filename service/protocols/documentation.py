"""The routes of the OpenAPI documents, for tools."""

import functools
from typing import Any

import flask

from service.errors import ModelNotFound, ModelUnavailable
from service.http.access import requires
from service.http.messages import JSON, json_bytes
from service.http.routing import DigitalisApp
from service.inference.model import Model
from service.inference.repository import ModelRepository
from service.protocols.openapi import describe
from service.protocols.openapi.document import model_document, service_document

MAX_DOCUMENTS = 16  # of models, that are kept


def documentation_blueprint(app: DigitalisApp) -> flask.Blueprint:
    """The routes of the OpenAPI documents. Each is made at the first request for it, and kept while it is true."""
    documentation = flask.Blueprint("documentation", __name__)

    @functools.lru_cache(1)
    def of_service(models: ModelRepository) -> bytes:
        return json_bytes(service_document(app, models))

    @functools.lru_cache(MAX_DOCUMENTS)
    def of_model(model: Model, *, versioned: bool) -> bytes:
        return json_bytes(model_document(app, app.models, model, versioned=versioned))

    @documentation.get("/openapi.json")
    @requires("predict")
    @describe({JSON: dict[str, Any]})
    def openapi() -> flask.Response:
        """The OpenAPI document of this service."""
        return flask.Response(of_service(app.models), content_type=JSON)

    @documentation.get("/v1/models/<model:name>/openapi.json")
    @documentation.get("/v1/models/<model:name>/versions/<model:version>/openapi.json")
    @requires("predict")
    @describe({JSON: dict[str, Any]}, errors=(ModelNotFound, ModelUnavailable))
    def model_openapi(name: str, version: str | None = None) -> flask.Response:
        """The OpenAPI document of a model: its own paths and types, with its features by name."""
        model = app.models.find(name, version)
        return flask.Response(of_model(model, versioned=version is not None), content_type=JSON)

    return documentation
