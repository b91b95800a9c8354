"""The application: one factory that wires everything; nothing happens at import."""

from collections.abc import Iterable
from pathlib import Path

from service.errors import SettingsError
from service.http.routing import Service
from service.inference.repository import ModelRepository
from service.observability.middleware import Observed, Observer
from service.observability.request_log import RequestLog
from service.observability.shared_counters import Telemetry
from service.protocols.documentation import documentation_of, page
from service.protocols.health import health
from service.protocols.metrics import metrics
from service.protocols.v1.views import v1
from service.protocols.v2.views import v2
from service.settings import Settings, traces_wanted


def create_app(settings: Settings | None = None, folders: Iterable[Path] | None = None) -> Service:
    """A WSGI application that has opened every model. Raises `StartError` when it cannot.

    `settings` default to the environment's, so that `gunicorn 'service.app:create_app()'` works, and `folders` to
    the bundles that are under `settings.models_dir` now.
    """
    settings = settings or Settings.from_env()
    app = Service("service")
    app.settings = settings
    app.models = ModelRepository.open(settings, folders)
    # Workers that share their counters set another recorder.
    recorder = Telemetry(app.models.counted()).recorder()
    app.observed = Observed(app.wsgi_app, _observers(settings), recorder)
    app.wsgi_app = app.observed  # type: ignore[method-assign]  # as Flask's documentation has it

    app.register_blueprint(v1)
    app.register_blueprint(v2)
    app.register_blueprint(health)
    app.register_blueprint(documentation_of(app))
    app.register_blueprint(metrics)
    app.register_blueprint(page)
    return app


def _observers(settings: Settings) -> list[Observer]:
    found: list[Observer] = [RequestLog(settings.log_requests, settings.slow_ms)]
    if traces_wanted():
        try:
            from service.observability.tracing import Tracing
        except ModuleNotFoundError as error:
            raise SettingsError(f"OTEL_… asks for traces, which need {error.name}: install the extra otel") from None
        found.append(Tracing())
    return found
