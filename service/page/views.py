"""`GET /`: the page for browsers, and what it was before for everybody else; and the files of the page."""

from pathlib import Path

import flask

from service import __version__
from service.http.access import requires
from service.http.page_headers import PAGE_HEADERS
from service.protocols.health import V1Liveness, v1_liveness
from service.protocols.openapi import describe, hidden

HERE = Path(__file__).parent
JSON, HTML = "application/json", "text/html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = PAGE_HEADERS | {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",  # asked for again each time, and sent only if it has changed
}
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FILES = {path.name: path.read_bytes() for path in (HERE / "static").iterdir() if path.suffix in MEDIA_TYPES}

page = flask.Blueprint("page", __name__, template_folder=str(HERE / "templates"))


@page.get("/")
@requires("open")
@describe(V1Liveness)
def root() -> flask.Response:
    """KServe's liveness in V1; and for browsers, which prefer HTML, a page on which models can be tried."""
    if flask.request.accept_mimetypes.best_match([JSON, HTML]) != HTML:
        response = v1_liveness()
    else:
        # Relative, as a proxy may have put a path before all others; absolute, if the service knows it.
        base = f"{flask.request.script_root}/" if flask.request.script_root else ""
        html = flask.render_template("index.html", version=__version__, base=base)
        response = flask.Response(html, headers=HEADERS)
    response.vary.add("Accept")
    return response


@page.get("/page/<name>")
@requires("open")
@hidden
def file(name: str) -> flask.Response:
    """A file of the page."""
    if name not in FILES:
        flask.abort(404)
    response = flask.Response(FILES[name], mimetype=MEDIA_TYPES[Path(name).suffix], headers=HEADERS)
    response.add_etag()
    response.make_conditional(flask.request)
    return response
