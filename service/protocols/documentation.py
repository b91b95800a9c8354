"""The OpenAPI document for tools, and a page with Swagger UI on which people can try requests."""

import functools

import flask
from flask_swagger_ui import get_swaggerui_blueprint
from werkzeug.http import parse_date

from service.http.messages import JSON, json_bytes
from service.http.routing import DigitalisApp
from service.protocols.openapi import describe, document

swagger_ui = get_swaggerui_blueprint(
    "/docs",
    "/openapi.json",
    {"app_name": "Digitalis", "layout": "BaseLayout", "docExpansion": "none", "tryItOutEnabled": True},
    blueprint_name="swagger_ui",
)


def documentation_blueprint(app: DigitalisApp) -> flask.Blueprint:
    """The route of the OpenAPI document, which is made at the first request for it."""
    documentation = flask.Blueprint("documentation", __name__)

    @functools.cache
    def document_bytes() -> bytes:
        return json_bytes(document(app, app.models))

    @documentation.get("/openapi.json")
    @describe({JSON: {"type": "object"}})
    def openapi() -> flask.Response:
        """The OpenAPI document of this service."""
        return flask.Response(document_bytes(), content_type=JSON)

    return documentation


def _replace_dates_out_of_range() -> None:
    """Make a date that is too large for Python an invalid one, which is ignored; Werkzeug would raise an exception."""
    for name in ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_RANGE"):
        try:
            parse_date(flask.request.environ.get(name))
        except OverflowError:
            flask.request.environ[name] = "out of range"


swagger_ui.before_request(_replace_dates_out_of_range)
