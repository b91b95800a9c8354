"""The routes of the OpenAPI documents, for tools."""

import functools
from typing import Any

import flask

from service.bundle.manifest import ModelId
from service.errors import ModelNotFound, ModelUnavailable
from service.http.access import requires
from service.http.messages import JSON, json_bytes
from service.http.routing import DigitalisApp
from service.protocols.openapi import describe
from service.protocols.openapi.document import model_document, service_document

MAX_DOCUMENTS = 16  # of models, that are kept


def documentation_blueprint(app: DigitalisApp) -> flask.Blueprint:
    """The routes of the OpenAPI documents. Each is made at the first request for it, and kept while it is true."""
    documentation = flask.Blueprint("documentation", __name__)

    @functools.lru_cache(1)
    def of_service(_generation: int) -> bytes:
        return json_bytes(service_document(app, app.models))

    @functools.lru_cache(MAX_DOCUMENTS)  # by what the model is, so that none stays open for its document
    def of_model(model_id: ModelId, _key: str, *, versioned: bool) -> bytes:
        models = app.models
        return json_bytes(model_document(app, models, models.find(*model_id), versioned=versioned))

    @documentation.get("/openapi.json")
    @requires("predict")
    @describe({JSON: dict[str, Any]})
    def openapi() -> flask.Response:
        """The OpenAPI document of this service."""
        return flask.Response(of_service(app.updates.generation), content_type=JSON)

    @documentation.get("/v1/models/<model:name>/openapi.json")
    @documentation.get("/v1/models/<model:name>/versions/<model:version>/openapi.json")
    @requires("predict")
    @describe({JSON: dict[str, Any]}, errors=(ModelNotFound, ModelUnavailable))
    def model_openapi(name: str, version: str | None = None) -> flask.Response:
        """The OpenAPI document of a model: its own paths and types, with its features by name."""
        model = app.models.find(name, version)
        return flask.Response(of_model(model.id, model.key, versioned=version is not None), content_type=JSON)

    return documentation
