"""The application: one factory that connects all parts; nothing happens at import."""

from collections.abc import Iterable
from pathlib import Path

from service.errors import SettingsError
from service.http.cross_origin import CrossOrigin
from service.http.root_path import RootPath
from service.http.routing import DigitalisApp
from service.inference.repository import ModelRepository
from service.inference.segmenter import open_segmenter
from service.observability.counter_layout import metrics_schema
from service.observability.middleware import Application, RequestHook, RequestMiddleware
from service.observability.request_log import RequestLog
from service.observability.shared_counters import worker_counters
from service.page.documentation import documentation_page
from service.page.views import page
from service.protocols.documentation import documentation_blueprint
from service.protocols.health import health, root
from service.protocols.metrics import metrics
from service.protocols.sagemaker import sagemaker
from service.protocols.v1.views import v1
from service.protocols.v2.views import v2
from service.settings import Settings, tracing_enabled

# What a trial before the start has decided from the environment's settings: workers inherit it through the fork.
decided_settings: Settings | None = None


def create_app(settings: Settings | None = None, folders: Iterable[Path] | None = None) -> DigitalisApp:
    """A WSGI application that has opened every model. Raises `StartError` if it cannot.

    `settings` default to the environment's, so that `gunicorn 'service.app:create_app()'` works, and `folders` to the
    bundles that are under `settings.models_dir` now.
    """
    settings = settings or decided_settings or Settings.from_env()
    models = ModelRepository.open(settings, folders)
    app = DigitalisApp(settings, models, open_segmenter(settings))
    documents = documentation_blueprint(app), documentation_page(models)
    blueprints = v1, v2, health, page if settings.page else root, sagemaker, metrics, *documents
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    counters = worker_counters({model.id: metrics_schema(model.bundle) for model in models})
    application: Application = app.wsgi_app
    if settings.cors_origins:
        application = app.cross_origin = CrossOrigin(application, settings.cors_origins)
    application = app.middleware = RequestMiddleware(application, _request_hooks(settings), counters)
    if settings.root_path:
        application = app.prefix = RootPath(application, settings.root_path)
    app.wsgi_app = application  # type: ignore[method-assign]  # as Flask's documentation shows it
    return app


def _request_hooks(settings: Settings) -> list[RequestHook]:
    hooks: list[RequestHook] = [RequestLog(settings.log_requests, settings.slow_ms)]
    if tracing_enabled():
        try:
            from service.observability.tracing import Tracing
        except ModuleNotFoundError as error:
            raise SettingsError(f"OTEL_… turns tracing on, which needs {error.name}: install the extra otel") from None
        hooks.append(Tracing())
    return hooks
