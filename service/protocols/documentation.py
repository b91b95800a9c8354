"""The service's own description: OpenAPI for tools, and a page for people, with Swagger UI, to try requests on."""

import functools

from flask import Blueprint
from flask_swagger_ui import get_swaggerui_blueprint

from service.http.messages import ENCODER, Answer, Asked
from service.http.routing import Service
from service.protocols.openapi import described, document
from service.protocols.parsing import JSON

page = get_swaggerui_blueprint(
    "/docs",
    "/openapi.json",
    {"app_name": "Digitalis", "layout": "BaseLayout", "docExpansion": "none", "tryItOutEnabled": True},
    blueprint_name="page",
)


def documentation_of(app: Service) -> Blueprint:
    """The route to the document, which is written when it is asked for the first time."""
    documentation = Blueprint("documentation", __name__)

    @functools.cache
    def written() -> bytes:
        return ENCODER.encode(document(app, app.models)) + b"\n"

    @documentation.get("/openapi.json")
    @described({JSON: {"type": "object"}})
    def openapi(_asked: Asked) -> Answer:
        """What is read here: the OpenAPI document."""
        return Answer(written())

    return documentation
