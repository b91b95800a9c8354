"""From exceptions to error responses: `{"error": "<what was wrong, where, and what would be right>"}`."""

import logging
from collections.abc import Collection
from wsgiref.types import WSGIEnvironment

import flask
from werkzeug import Response as WerkzeugResponse
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from service.errors import RequestError, Unauthorized
from service.http.messages import Response, decode_path, json_bytes
from service.http.near_misses import advice_on_path
from service.observability.middleware import TIMER

MAX_PATH = 1000  # characters of a path that is not there
MAX_MESSAGE = 2000  # characters: a message may quote what a client sent

log = logging.getLogger(__name__)


def error_response(error: Exception, environ: WSGIEnvironment) -> Response:
    """The response to a failed request. For an internal error it has only the request id to look up in the log."""
    timer = environ[TIMER]
    timer.reason = type(error).__name__
    if isinstance(error, RequestError) and error.status != 500:
        response = json_error(str(error)[:MAX_MESSAGE], error.status)
        retry_after = () if error.retry_after is None else (("Retry-After", str(error.retry_after)),)
        if isinstance(error, Unauthorized):
            return response._replace(headers=(("WWW-Authenticate", 'Bearer realm="digitalis"'),))
        return response._replace(headers=retry_after)
    request = f"{environ['REQUEST_METHOD']} {decode_path(environ['PATH_INFO'])}"
    log.error("request %s: %s failed", timer.request_id, request, exc_info=error)
    return json_error(f"internal error; the log has it as request {timer.request_id}", 500)


def json_error(message: str, status: int) -> Response:
    """An error response with this message."""
    return Response(json_bytes({"error": message}), status=status)


def handle_exception(error: Exception) -> flask.Response:
    """Flask's error handler for exceptions of ordinary views."""
    return to_flask(error_response(error, flask.request.environ))


def handle_http_exception(error: HTTPException, models: Collection[str]) -> WerkzeugResponse:
    """Flask's error handler for unknown paths, methods that are not allowed, and other HTTP errors of its own.

    `models` are the names of those that there are.
    """
    response = error.get_response()
    if response.status_code < 400:
        return response
    flask.request.environ[TIMER].reason = type(error).__name__
    match error:
        case NotFound():
            advice = advice_on_path(flask.request.path[:MAX_PATH], flask.request.script_root, models)
            message = f"no such path: {flask.request.script_root}{flask.request.path}{advice}"
        case MethodNotAllowed():
            allowed = " or ".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
            path = flask.request.script_root + flask.request.path
            message = f"{flask.request.method} is not allowed for {path}: use {allowed}"
            if flask.request.method == "POST" and flask.request.path.startswith("/v1/models/"):
                message += f"; POST {path}:predict predicts"
        case _:
            message = error.description or error.name
    in_json = to_flask(json_error(message, response.status_code))
    in_json.headers.extend((name, value) for name, value in response.headers if name in ("Allow", "Retry-After"))
    return in_json


def to_flask(response: Response) -> flask.Response:
    """The same response as Flask's own type."""
    return flask.Response(
        response.body, response.status, content_type=response.content_type, headers=[*response.headers]
    )
