"""The application: one factory that connects all parts; nothing happens at import."""

from collections.abc import Iterable
from pathlib import Path

from service.errors import SettingsError
from service.http.cross_origin import CrossOrigin
from service.http.root_path import RootPath
from service.http.routing import DigitalisApp
from service.inference.segmenter import open_segmenter
from service.model_updates import ModelUpdates
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
    counters = worker_counters()
    updates = ModelUpdates(settings, counters, folders)
    app = DigitalisApp(settings, updates, open_segmenter(settings))
    if settings.repository_api and not (app.access and app.access.has_key_for("admin")):
        raise SettingsError(
            "DIGITALIS_REPOSITORY_API=true needs an API key with the scope admin, such as DIGITALIS_API_KEYS=admin:KEY"
        )
    documents = documentation_blueprint(app), documentation_page(app)
    blueprints = v1, v2, health, page if settings.page else root, sagemaker, metrics, *documents
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
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
