"""The service's own description: OpenAPI for tools, and a page for people, with Swagger UI, to try requests on."""

from flask import Blueprint, Response, current_app
from flask_swagger_ui import get_swaggerui_blueprint

from service.decoding.body import JSON
from service.routes import ENCODER, models
from service.routes.openapi import described, document

documentation = Blueprint("documentation", __name__)
page = get_swaggerui_blueprint(
    "/docs",
    "/openapi.json",
    {"app_name": "Digitalis", "layout": "BaseLayout", "docExpansion": "none", "tryItOutEnabled": True},
    blueprint_name="page",
)


@documentation.get("/openapi.json")
@described({JSON: {"type": "object"}})
def openapi() -> Response:
    """What is read here: the OpenAPI document."""
    built = current_app.extensions
    if "openapi" not in built:
        built["openapi"] = ENCODER.encode(document(current_app, models())) + b"\n"
    return Response(built["openapi"], content_type=JSON)
