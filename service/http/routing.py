"""From a path to a view, and from its errors to answers: Flask's routes, without what Flask does around a view.

Flask pushes contexts, opens a session, sends signals and looks for hooks, for which no view here asks; it takes longer
than decoding, inference and encoding together (docs/performance.md). What no view of ours is found for, Flask
answers: unknown paths and methods, and the files of the page with the documentation.
"""

import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import WSGIEnvironment

from flask import Flask, Response, request
from werkzeug import Response as BaseResponse
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from service.errors import RequestError
from service.http.messages import Answer, Asked, answer, text_of
from service.inference.repository import ModelRepository
from service.observability.middleware import WATCH, Observed
from service.settings import Settings

LONGEST = 2000  # characters of a refusal: what a client sent may be quoted in it
LONGEST_PATH = 256  # characters of a path whose view is remembered

log = logging.getLogger(__name__)


class ModelConverter(BaseConverter):
    """A model's name or version in a path: up to the colon of `:predict`."""

    regex = "[^/:]+"


class Service(Flask):
    """The application: models that are open, the settings, and whoever watches."""

    models: ModelRepository
    settings: Settings
    observed: Observed

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)
        self.url_map.converters["model"] = ModelConverter
        self.url_map.merge_slashes = False  # it would answer with a redirect, in HTML
        self.register_error_handler(HTTPException, _not_found_here)
        self.register_error_handler(Exception, lambda error: _for_flask(refusal(error, request.environ)))
        self._remembered = functools.lru_cache(1024)(self._view)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        find = self._remembered if len(path) <= LONGEST_PATH else self._view
        view, arguments = find(environ["REQUEST_METHOD"], path)
        if view is None:
            found: Iterable[bytes] = super().wsgi_app(environ, start_response)
            return found
        asked = Asked(environ, self.models, self.settings, self.observed.recorder)
        try:
            given: Answer = view(asked, **arguments)
        except Exception as error:  # noqa: BLE001 - it is logged, if it is ours
            given = refusal(error, environ)
        return given(environ, start_response)

    def _view(self, method: str, path: str) -> tuple[Any, dict[str, Any]]:
        """A view of ours with its arguments, or None."""
        try:
            endpoint, arguments = self.url_map.bind("").match(text_of(path), method)
        except HTTPException:
            return None, {}
        view = self.view_functions[endpoint]
        ours = hasattr(view, "operation") and method != "OPTIONS"  # which Flask answers by the rule
        return (view, dict(arguments)) if ours else (None, {})


def refusal(error: Exception, environ: WSGIEnvironment) -> Answer:
    """What a client is told of an error. Of one of ours it learns the id, under which the log says everything."""
    watch = environ[WATCH]
    watch.reason = type(error).__name__
    if isinstance(error, RequestError) and error.status != 500:
        return problem(str(error)[:LONGEST], error.status)
    what = f"{environ['REQUEST_METHOD']} {text_of(environ['PATH_INFO'])}"
    log.error("request %s: %s failed", watch.request_id, what, exc_info=error)
    return problem(f"internal error; the log has it as request {watch.request_id}", 500)


def problem(message: str, status: int) -> Answer:
    """What was wrong, where, and what would be right."""
    return answer({"error": message}, status)


def _not_found_here(error: HTTPException) -> BaseResponse:
    """What Flask finds no view for, in the same form as everything else."""
    response = error.get_response()
    if response.status_code < 400:
        return response
    match error:
        case NotFound():
            message = f"no such path: {request.path}; GET /v1/models lists the models"
        case MethodNotAllowed():
            allowed = " or ".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
            message = f"{request.method} is not for {request.path}: use {allowed}"
        case _:
            message = error.description or error.name
    refused = _for_flask(problem(message, response.status_code))
    refused.headers.extend((name, value) for name, value in response.headers if name in ("Allow", "Retry-After"))
    return refused


def _for_flask(given: Answer) -> Response:
    return Response(given.body, given.status, content_type=given.content_type)
