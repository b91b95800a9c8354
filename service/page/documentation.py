"""`GET /docs/`: a page with Swagger UI, on which people can try requests, in the look of the page at `/`."""

import base64
import hashlib
import re
from pathlib import Path

import flask
from flask_swagger_ui import get_swaggerui_blueprint
from werkzeug.http import parse_date

from service import __version__
from service.http.access import requires
from service.http.page_headers import PAGE_HEADERS
from service.http.routing import DigitalisApp

HERE = Path(__file__).parent
INLINE_SCRIPT = re.compile("<script>(.*?)</script>", re.DOTALL)
STYLE = "".join((HERE / name).read_text() for name in ("static/look.css", "documentation.css"))
HEADER = f"""<header>
  <h1>Digitalis <small>{__version__}</small></h1>
  <nav aria-label="Sections"><a href="../">Try the models</a></nav>
</header>
<form id="key-form" class="notice" hidden>
  <label for="key">This service asks for an API key.</label>
  <input type="password" id="key" autocomplete="off" required> <button>Use it</button>
</form>
<script>{(HERE / "documentation.js").read_text()}</script>"""


def documentation_page(app: DigitalisApp) -> flask.Blueprint:
    """The page with Swagger UI: it shows the document of the service or, chosen at its top, that of a model.

    All its URLs are relative to the page, `/docs/`, since a proxy may have put a prefix before all paths.
    """
    documents: list[dict[str, str]] = []

    def list_documents() -> None:
        names = app.models.names()
        documents[:] = [{"name": "all models", "url": "../openapi.json"}]
        documents.extend({"name": name, "url": f"../v1/models/{name}/openapi.json"} for name in names)

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
    page.before_request(list_documents)  # into the list that Swagger UI has got: the models change
    page.before_request(_replace_dates_out_of_range)
    page.after_request(_restrict)
    page.after_request(_add_look)  # before `_restrict`: Flask calls the last one first
    page.record_once(lambda state: requires("open")(state.app.view_functions["swagger_ui.show"]) and None)
    return page


def _add_look(response: flask.Response) -> flask.Response:
    """Put the style and the header of the page at `/` into the HTML, whose template is Swagger UI's."""
    if response.mimetype == "text/html" and not response.direct_passthrough:
        html = response.get_data(as_text=True)
        html = html.replace("</head>", f"<style>{STYLE}</style></head>", 1).replace("<body>", f"<body>{HEADER}", 1)
        response.set_data(html)
    return response


def _restrict(response: flask.Response) -> flask.Response:
    """Let the page load nothing from elsewhere, run no other script than its own, and be in no frame."""
    page = "" if response.direct_passthrough else response.get_data(as_text=True)
    hashes = [hashlib.sha256(script.encode()).digest() for script in INLINE_SCRIPT.findall(page)]
    scripts = " ".join(["'self'", *(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes)])
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    response.headers.update(PAGE_HEADERS)
    return response


def _replace_dates_out_of_range() -> None:
    """Make a date that is too large for Python an invalid one, which is ignored; Werkzeug would raise an exception."""
    for name in ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_RANGE"):
        try:
            parse_date(flask.request.environ.get(name))
        except OverflowError:
            flask.request.environ[name] = "out of range"
