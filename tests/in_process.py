"""The application without a server: opened in this process, and called with one WSGI environment at a time."""

import io
import json
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.util import setup_testing_defaults

from service.app import create_app
from service.http.routing import DigitalisApp
from service.inference.version_folders import find_bundles
from service.settings import Settings
from service.worker.wsgi import run_wsgi

MODELS = Path(__file__).parent.parent / "models"


class Response(NamedTuple):
    """A complete response; the names of its header fields are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


def open_app(*names: str, **settings: Any) -> DigitalisApp:
    """The application with all versions of these models of the project, on one CPU thread; it logs no requests."""
    folders = [folder for folder in find_bundles(MODELS) if folder.parent.name in names]
    one_thread: dict[str, Any] = {"device": "cpu", "workers": 1, "intra_op_threads": 1, "log_requests": "none"}
    return create_app(Settings(**one_thread, **settings), folders)


def post(application: WSGIApplication, target: str, body: bytes, headers: Mapping[str, str]) -> Response:
    """The response to a POST; `headers` are fields by name, and Content-Length is added."""
    path, _, query = target.partition("?")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": urllib.parse.unquote(path, "latin1"),
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    setup_testing_defaults(environ)
    status, fields, content = run_wsgi(application, environ)
    return Response(int(status[:3]), {name.lower(): value for name, value in fields}, content)
