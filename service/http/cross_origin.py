"""Requests from the pages of other origins (CORS): the headers by which a browser lets these pages read the responses.

https://fetch.spec.whatwg.org/#http-cors-protocol. Before most requests a browser asks first, with OPTIONS: such a
preflight is answered here for every path, so that the request itself is sent, and a page can read its error.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.http.error_responses import json_error
from service.http.messages import Response
from service.observability.middleware import Application, Headers

ANY = "*"
METHODS = "GET, HEAD, POST"
# Those that a page could not read otherwise, of all that a response of the service may have.
EXPOSED = (
    "Allow, Inference-Header-Content-Length, Retry-After, Server-Timing, X-Model-Digest, X-Model-Version, X-Request-ID"
)
MAX_AGE = "7200"  # seconds for which a browser need not ask again; Chromium takes no more
HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1000}")
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class CrossOrigin:
    """A WSGI application around another one, whose responses the pages of some origins may read."""

    def __init__(self, application: Application, origins: Sequence[str]) -> None:
        self._application = application
        exposed = ("Access-Control-Expose-Headers", EXPOSED)
        varies = ("Vary", "Origin")  # no cache may hand the response for one origin to another
        self._any = [("Access-Control-Allow-Origin", ANY), exposed] if ANY in origins else None
        self._by_origin: dict[str | None, Headers] = {
            origin: [("Access-Control-Allow-Origin", origin), exposed, varies] for origin in origins
        }
        self._others: Headers = [varies]

    def __call__(self, environ: WSGIEnvironment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            return self._preflight(environ)(environ, start_response)

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            return start_response(status, headers + self.headers(environ), *exc_info)

        return self._application(environ, start)

    def headers(self, environ: WSGIEnvironment) -> Headers:
        """What any response to this request needs, an error response too."""
        return self._any or self._by_origin.get(environ.get("HTTP_ORIGIN"), self._others)

    def _preflight(self, environ: WSGIEnvironment) -> Response:
        """Which methods and headers the page may send: all that it asks for, as none of them has more rights here."""
        origin = environ.get("HTTP_ORIGIN", "")
        if not (self._any or origin in self._by_origin):
            message = f"pages of {origin[:100]!r} may send no requests: DIGITALIS_CORS_ORIGINS has the origins that may"
            return json_error(message, 403)._replace(headers=(("Vary", PREFLIGHT_VARY),))
        headers = [
            ("Access-Control-Allow-Origin", ANY if self._any else origin),
            ("Access-Control-Allow-Methods", METHODS),
            ("Access-Control-Max-Age", MAX_AGE),
            ("Vary", PREFLIGHT_VARY),
        ]
        names = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        if HEADER_NAMES.fullmatch(names):
            headers.append(("Access-Control-Allow-Headers", names))
        return Response(b"", status=204, headers=tuple(headers))
