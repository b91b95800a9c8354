"""The Flask application, and the fast path for the hot routes: V1 `:predict`, SageMaker's alias of it, and V2 `/infer`.

All other routes are ordinary Flask views. Around each of those, Flask pushes contexts, opens a session, sends signals
and calls hooks, none of which the hot routes use, and which take longer than decoding, inference and encoding together
(docs/performance.md). So `wsgi_app` looks a POST up in Flask's own URL map, and if its view is decorated with
`fast_path`, calls it directly with a `Request`, and sends the `Response` that it returns. `flask.request` and
`before_request` do not exist there.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Protocol, cast
from urllib.parse import urlsplit, urlunsplit
from wsgiref.types import WSGIEnvironment

import flask
from flask.json.provider import JSONProvider
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, RequestRedirect

from service.http.access import access_control, scope_of
from service.http.cross_origin import CrossOrigin
from service.http.error_responses import error_response, handle_exception, handle_http_exception, to_flask
from service.http.messages import RESERVED_BODY, Request, Response, decode_path, json_bytes, release_body
from service.http.root_path import RootPath
from service.images.normaliser import SegmentFunction
from service.inference.repository import ModelRepository
from service.model_updates import ModelUpdates
from service.observability.middleware import Headers, RequestMiddleware
from service.settings import Settings

MAX_CACHED_PATH = 256  # characters: longer paths are matched each time

FastView = Callable[..., Response]


class FastPathView(Protocol):
    """A Flask view with the view that `wsgi_app` calls in its place."""

    fast_view: FastView

    def __call__(self, **arguments: Any) -> flask.Response:
        """Called by Flask."""


class ModelConverter(BaseConverter):
    """A model's name or version in a path: anything up to a slash, or the colon of `:predict`."""

    regex = "[^/:]+"


class MsgspecJSON(JSONProvider):
    """Makes `flask.jsonify` accept msgspec's structs."""

    def dumps(self, obj: Any, **_kwargs: Any) -> str:
        """As text."""
        return json_bytes(obj).decode()

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        """Not used: requests are decoded by msgspec, into types."""
        raise NotImplementedError


class DigitalisApp(flask.Flask):
    """A Flask application with its settings, its models, which may change, its segmenter, and what is around it.

    `middleware` counts requests; `cross_origin` and `prefix` are there if the settings ask for them.
    """

    json_provider_class = MsgspecJSON
    is_shutting_down = False  # set by the worker: readiness fails, so that load balancers send nothing more
    middleware: RequestMiddleware
    cross_origin: CrossOrigin | None = None
    prefix: RootPath | None = None

    def __init__(self, settings: Settings, updates: ModelUpdates, segment: SegmentFunction) -> None:
        super().__init__("service", static_folder=None)
        self.settings = settings
        self.updates = updates
        self.segment = segment
        self.access = access_control(settings)
        self.before_request(self._check_access)
        self.url_map.converters["model"] = ModelConverter
        self.url_map.merge_slashes = False  # it would respond with a redirect, in HTML
        self.register_error_handler(HTTPException, lambda error: handle_http_exception(error, self.models.names()))
        self.register_error_handler(Exception, handle_exception)
        self._cached_fast_match = functools.lru_cache(1024)(self._match_fast_view)

    @property
    def models(self) -> ModelRepository:
        """What is served now; whoever asks keeps what they get, as the next answer may be another."""
        return self.updates.current()

    def wsgi_app(self, environ: WSGIEnvironment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request: on the fast path if its view is marked for it, otherwise as Flask does."""
        view = None
        if environ["REQUEST_METHOD"] == "POST":
            path = environ["PATH_INFO"]
            view, arguments = (self._cached_fast_match if len(path) <= MAX_CACHED_PATH else self._match_fast_view)(path)
        try:
            if view is None:
                response: Iterable[bytes] = super().wsgi_app(environ, start_response)
                return response
            try:
                if self.access:
                    self.access.check(environ, scope_of(view))
                result = view(self.request_of(environ), **arguments)
            except Exception as error:  # noqa: BLE001 - becomes an error response; is logged if it is a fault of ours
                result = error_response(error, environ)
            return result(environ, start_response)
        finally:
            if RESERVED_BODY in environ:
                release_body(environ)

    def raise_routing_exception(self, request: flask.Request) -> NoReturn:
        """As Flask's; but a redirect, which appends a slash, is relative to the path.

        It names neither a host, which would be whatever the client has sent as `Host`, nor the path under which a proxy
        may have the service.
        """
        redirect = request.routing_exception
        if isinstance(redirect, RequestRedirect):
            url = urlsplit(redirect.new_url)
            last = url.path.rstrip("/").rpartition("/")[2]
            redirect.new_url = urlunsplit(("", "", f"./{last}/", url.query, ""))
        super().raise_routing_exception(request)

    def record_rejection(self, environ: WSGIEnvironment, status: int) -> Headers:
        """The server responds in the application's place: count the request, and return headers for that response."""
        if self.prefix:
            self.prefix.strip(environ)
        headers = self.middleware.record(environ, status)
        return headers + self.cross_origin.headers(environ) if self.cross_origin else headers

    def _check_access(self) -> None:
        """Before an ordinary view: a path that there is not needs no key, and gets 404."""
        if self.access and flask.request.endpoint:
            self.access.check(flask.request.environ, scope_of(self.view_functions[flask.request.endpoint]))

    def request_of(self, environ: WSGIEnvironment) -> Request:
        """The request of a WSGI environment."""
        return Request(environ, self.models, self.settings, self.segment)

    def _match_fast_view(self, path: str) -> tuple[FastView | None, dict[str, Any]]:
        """The view on the fast path for a POST to this path, with its arguments; None if there is none."""
        try:
            endpoint, arguments = self.url_map.bind("").match(decode_path(path), "POST")
        except HTTPException:
            return None, {}
        return getattr(self.view_functions[endpoint], "fast_view", None), dict(arguments)


current_app = cast(DigitalisApp, flask.current_app)
"""Flask's proxy of that name, typed: the application that handles the request of an ordinary view."""


def fast_path(view: FastView) -> FastPathView:
    """Make a view from `Request` to `Response` a Flask view; `wsgi_app` calls it directly, without Flask's contexts."""

    @functools.wraps(view)
    def flask_view(**arguments: Any) -> flask.Response:
        return to_flask(view(current_app.request_of(flask.request.environ), **arguments))

    found = cast(FastPathView, flask_view)
    found.fast_view = view
    return found
