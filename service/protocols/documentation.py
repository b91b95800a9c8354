"""The OpenAPI documents for tools, and a page with Swagger UI on which people can try requests."""

import base64
import functools
import hashlib
import re
from typing import Any

import flask
from flask_swagger_ui import get_swaggerui_blueprint
from werkzeug.http import parse_date

from service.bundle.manifest import ModelId
from service.errors import ModelNotFound, ModelUnavailable
from service.http.access import requires
from service.http.messages import JSON, json_bytes
from service.http.routing import DigitalisApp
from service.inference.repository import ModelRepository
from service.protocols.openapi import describe
from service.protocols.openapi.document import model_document, service_document

INLINE_SCRIPT = re.compile("<script>(.*?)</script>", re.DOTALL)


def page_blueprint(models: ModelRepository) -> flask.Blueprint:
    """The page with Swagger UI: it shows the document of the service or, chosen at its top, that of a model.

    All its URLs are relative to the page, `/docs/`, since a proxy may have put a prefix before all paths.
    """
    documents = [{"name": "all models", "url": "../openapi.json"}]
    documents += [{"name": name, "url": f"../v1/models/{name}/openapi.json"} for name in models.names()]
    options = {
        "app_name": "Digitalis",
        "url": None,  # one of `urls`
        "urls": documents,
        "docExpansion": "list",
        "defaultModelsExpandDepth": 0,
        "tryItOutEnabled": True,
        "validatorUrl": None,  # it would send the document to a service elsewhere
        "oauth2RedirectUrl": "",  # there is no OAuth 2; by default it would be made from the client's `Host`
    }
    page: flask.Blueprint = get_swaggerui_blueprint(".", None, options, blueprint_name="swagger_ui")
    page.url_prefix = "/docs"
    page.before_request(_replace_dates_out_of_range)
    page.after_request(_restrict)
    page.record_once(lambda state: requires("open")(state.app.view_functions["swagger_ui.show"]) and None)
    return page


def _restrict(response: flask.Response) -> flask.Response:
    """Let the page load nothing from elsewhere, run no other script than its own, and be in no frame."""
    page = "" if response.direct_passthrough else response.get_data(as_text=True)
    hashes = [hashlib.sha256(script.encode()).digest() for script in INLINE_SCRIPT.findall(page)]
    scripts = " ".join(["'self'", *(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes)])
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    response.headers["X-Frame-Options"] = "DENY"
    return response


def documentation_blueprint(app: DigitalisApp) -> flask.Blueprint:
    """The routes of the OpenAPI documents. Each is made at the first request for it, and kept."""
    documentation = flask.Blueprint("documentation", __name__)

    @functools.cache
    def of_service() -> bytes:
        return json_bytes(service_document(app, app.models))

    @functools.cache
    def of_model(model_id: ModelId, *, versioned: bool) -> bytes:
        return json_bytes(model_document(app, app.models, app.models.find(*model_id), versioned=versioned))

    @documentation.get("/openapi.json")
    @requires("predict")
    @describe({JSON: dict[str, Any]})
    def openapi() -> flask.Response:
        """The OpenAPI document of this service."""
        return flask.Response(of_service(), content_type=JSON)

    @documentation.get("/v1/models/<model:name>/openapi.json")
    @documentation.get("/v1/models/<model:name>/versions/<model:version>/openapi.json")
    @requires("predict")
    @describe({JSON: dict[str, Any]}, errors=(ModelNotFound, ModelUnavailable))
    def model_openapi(name: str, version: str | None = None) -> flask.Response:
        """The OpenAPI document of a model: its own paths and types, with its features by name."""
        model = app.models.find(name, version)
        return flask.Response(of_model(model.id, versioned=version is not None), content_type=JSON)

    return documentation


def _replace_dates_out_of_range() -> None:
    """Make a date that is too large for Python an invalid one, which is ignored; Werkzeug would raise an exception."""
    for name in ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_RANGE"):
        try:
            parse_date(flask.request.environ.get(name))
        except OverflowError:
            flask.request.environ[name] = "out of range"
