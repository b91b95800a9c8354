"""The application: one factory that wires everything; nothing happens at import."""

import logging
from collections.abc import Iterable
from pathlib import Path

from flask import Flask, Response, request
from werkzeug import Response as BaseResponse
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from service.errors import RequestError, SettingsError
from service.logs import RequestLog
from service.observation import WATCH, Observed, Observer
from service.repository import ModelRepository
from service.routes import ModelConverter, answer
from service.routes.documentation import documentation, page
from service.routes.health import health
from service.routes.metrics import metrics
from service.routes.v1 import v1
from service.routes.v2 import v2
from service.settings import Settings, traces_wanted
from service.telemetry import Telemetry

LONGEST = 2000  # characters of a refusal: what a client sent may be quoted in it

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, folders: Iterable[Path] | None = None) -> Flask:
    """A WSGI application that has opened every model. Raises `StartError` when it cannot.

    `settings` default to the environment's, so that `gunicorn 'service.app:create_app()'` works, and `folders` to
    the bundles that are under `settings.models_dir` now.
    """
    settings = settings or Settings.from_env()
    app = Flask("service", static_folder=None)
    app.url_map.converters["model"] = ModelConverter
    app.url_map.merge_slashes = False  # it would answer with a redirect, in HTML
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1  # see routes/body, which looks further

    app.extensions["settings"] = settings
    models = app.extensions["models"] = ModelRepository.open(settings, folders)
    # Workers that share their counters set another recorder.
    observed = app.extensions["observed"] = Observed(
        app.wsgi_app,
        _observers(settings),
        Telemetry(models.counted()).recorder(),
    )
    app.wsgi_app = observed  # type: ignore[method-assign]  # as Flask's documentation has it

    app.register_blueprint(v1)
    app.register_blueprint(v2)
    app.register_blueprint(health)
    app.register_blueprint(documentation)
    app.register_blueprint(metrics)
    app.register_blueprint(page)

    app.register_error_handler(RequestError, _refused)
    app.register_error_handler(HTTPException, _not_ours_to_answer)
    app.register_error_handler(Exception, _failed)
    return app


def _observers(settings: Settings) -> list[Observer]:
    found: list[Observer] = [RequestLog(settings.log_requests, settings.slow_ms)]
    if traces_wanted():
        try:
            from service.tracing import Tracing
        except ModuleNotFoundError as error:
            raise SettingsError(f"OTEL_… asks for traces, which need {error.name}: install the extra otel") from None
        found.append(Tracing())
    return found


def _refused(error: RequestError) -> Response:
    request.environ[WATCH].reason = type(error).__name__
    if error.status == 500:
        return _failed(error)
    return answer({"error": str(error)[:LONGEST]}, error.status)


def _not_ours_to_answer(error: HTTPException) -> BaseResponse:
    """What Werkzeug finds wrong before or around a view, in the same form as everything else."""
    response = error.get_response()
    if response.status_code < 400:
        return response
    match error:
        case NotFound():
            message = f"no such path: {request.path}; GET /v1/models lists the models"
        case MethodNotAllowed():
            allowed = " or ".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
            message = f"{request.method} is not for {request.path}: use {allowed}"
        case RequestEntityTooLarge():
            message = "the form has too many fields"
        case _:
            message = error.description or error.name
    refusal = answer({"error": message}, response.status_code)
    refusal.headers.extend((name, value) for name, value in response.headers if name in ("Allow", "Retry-After"))
    return refusal


def _failed(error: Exception) -> Response:
    """Ours: the log says everything, under an id; the client learns the id and nothing of the inside."""
    request_id = request.environ[WATCH].request_id
    log.error("request %s: %s %s failed", request_id, request.method, request.path, exc_info=error)
    return answer({"error": f"internal error; the log has it as request {request_id}"}, 500)
