"""The OpenAPI document for tools, and a page with Swagger UI on which people can try requests."""

import base64
import functools
import hashlib
import re

import flask
from flask_swagger_ui import get_swaggerui_blueprint
from werkzeug.http import parse_date

from service.http.messages import JSON, json_bytes
from service.http.routing import DigitalisApp
from service.protocols.openapi import describe, document

INLINE_SCRIPT = re.compile("<script>(.*?)</script>", re.DOTALL)

# Its URLs are relative to the page, as a proxy may have put a path before all others.
swagger_ui = get_swaggerui_blueprint(
    ".",
    "../openapi.json",
    {
        "app_name": "Digitalis",
        "layout": "BaseLayout",
        "docExpansion": "none",
        "tryItOutEnabled": True,
        "oauth2RedirectUrl": "",  # there is no OAuth 2; by default it would be made from the client's `Host`
    },
    blueprint_name="swagger_ui",
)
swagger_ui.url_prefix = "/docs"


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


swagger_ui.after_request(_restrict)


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
