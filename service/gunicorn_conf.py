"""Gunicorn's configuration, from our settings: `gunicorn -c python:service.gunicorn_conf 'service.app:create_app()'`.

Workers open their models after the fork: the threads of ONNX Runtime and CUDA do not survive one.
"""

import dataclasses
import itertools
import logging
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

from service import app, malloc
from service.errors import SettingsError, StartError
from service.http.access import access_control
from service.http.routing import DigitalisApp
from service.inference.repository import ModelRepository
from service.inference.version_folders import find_bundles
from service.observability.middleware import RequestMiddleware
from service.observability.shared_counters import SharedCounters, assign_block
from service.preflight import try_models
from service.setting_values import is_loopback
from service.settings import Settings
from service.startup_banner import startup_banner
from service.worker.options import WorkerOptions
from service.worker.worker import UnsupportedConfiguration
from service.worker.worker import Worker as LeaderFollowerWorker

WORKER_OPTION_NAMES = {  # in messages
    "request_timeout": "DIGITALIS_READ_TIMEOUT",
    "queue_timeout": "DIGITALIS_QUEUE_TIMEOUT_MS",
    "max_queued": "DIGITALIS_MAX_QUEUED",
    "max_connections": "DIGITALIS_MAX_CONNECTIONS",
    "response_timeout": "DIGITALIS_ANSWER_TIMEOUT",
    "memory_budget_bytes": "DIGITALIS_MEMORY_BUDGET_BYTES",
}
RETRY_AFTER = 5  # seconds after which a worker that could not start is replaced
MAX_WAITING_THREADS = 256  # of one worker, for requests that wait to run as one batch
SPARE_BLOCKS = 16  # of counters, besides two for each worker: during a reload old and new workers are alive at once

_settings = Settings.from_env()

bind = _settings.bind
workers = _settings.workers
threads = _settings.request_threads
worker_connections = _settings.max_connections
timeout = _settings.heartbeat_timeout
graceful_timeout = _settings.graceful_timeout + _settings.drain_delay
keepalive = _settings.keepalive
loglevel = _settings.log_level
logger_class = "service.observability.log_lines.Logger"
preload_app = False
control_socket_disable = True  # it would need a writable home
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # nosec B108 - heartbeats in memory


def _count_response(application: Any, environ: WSGIEnvironment, status: int) -> list[tuple[str, str]]:
    """Count and log a request that the worker responds to in the application's place; headers for the response."""
    return application.record_rejection(environ, status) if isinstance(application, DigitalisApp) else []


def _tidy_up(application: Any) -> None:
    """Count what the worker has kept during the last second, and return the memory that it no longer needs."""
    if middleware := _middleware(application):
        middleware.counters.flush()
    malloc.return_free_memory()


def _say_not_ready(application: Any) -> None:
    """Let readiness fail, as the service ends."""
    if isinstance(application, DigitalisApp):
        application.is_shutting_down = True


def _middleware(application: Any) -> RequestMiddleware | None:
    """The application's middleware; another WSGI application than ours has none."""
    return getattr(application, "middleware", None)


class Worker(LeaderFollowerWorker):
    """The worker, with the limits of the settings; its hooks reach the application's middleware."""

    options = WorkerOptions(
        request_timeout=_settings.read_timeout,
        queue_timeout=_settings.queue_timeout_ms / 1000,
        max_queued=_settings.max_queued,
        # Twice the rows of a batch, if these are not too many: while one runs, the next one comes together.
        waiting_threads=min(2 * sum(rows for rows, _ in _settings.batching.values()), MAX_WAITING_THREADS),
        cores=_settings.cores_per_worker,
        response_timeout=_settings.answer_timeout,
        max_body_bytes=_settings.max_body_bytes,
        memory_budget_bytes=_settings.memory_budget_bytes,
        drain_delay=_settings.drain_delay,
        on_response=_count_response,
        every_second=_tidy_up,
        on_shutdown=_say_not_ready,
        names=WORKER_OPTION_NAMES,
    )

    def init_process(self) -> None:
        """As Gunicorn's; but once the service has served, a worker that cannot start does not end it.

        The worker is replaced after a pause, and the others go on.
        """
        try:
            super().init_process()
        except Exception as error:
            if self.booted or not self.siblings.has_served:
                raise
            self.siblings.set_failed(self.age)
            unexplained = None if isinstance(error, StartError) else error
            self.log.error("a worker cannot start, and will be retried: %s", error, exc_info=unexplained)  # noqa: TRY400
            select.select(self.PIPE[:1], [], [], RETRY_AFTER)  # a signal ends it early
            raise SystemExit(1) from error

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """As the worker's, with the setting to use in place of Gunicorn's access log."""
        if cfg.accesslog:
            raise UnsupportedConfiguration("access-logfile is not supported: set DIGITALIS_LOG_REQUESTS=all instead")
        if cfg.preload_app:
            raise UnsupportedConfiguration("preload is not supported: each worker opens the models for itself")
        super().check_config(cfg, log)


worker_class = "service.gunicorn_conf.Worker"


def on_starting(server: Any) -> None:
    """Before the first fork: check that every model opens, and map the memory that all workers share."""
    _log_where_gunicorn_does(server.log)
    # For SIGUSR2: the command of this process. Gunicorn itself would run a `python -m` as a script without its package.
    server.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]
    try:
        _check_who_may_ask(server)
        folders = find_bundles(_settings.models_dir)
    except StartError as error:
        print(f"digitalis: {error}", file=sys.stderr)
        sys.exit(2)
    _decide(server, folders)
    server.counters = SharedCounters(blocks=2 * server.cfg.workers + SPARE_BLOCKS)


def _check_who_may_ask(server: Any) -> None:
    """Raise `SettingsError` if others can reach the service, it has no keys, and nothing says that this is meant."""
    access = access_control(_settings)
    reachable = [bind for bind in server.cfg.bind if not is_loopback(bind)]
    if reachable and not access and not _settings.allow_anonymous:
        raise SettingsError(
            f"{reachable[0]} can be reached by others, and there are no API keys: set DIGITALIS_API_KEYS or "
            "DIGITALIS_API_KEYS_FILE; or DIGITALIS_ALLOW_ANONYMOUS=1, if everybody who reaches it may ask"
        )


def _decide(server: Any, folders: list[Path]) -> None:
    """Try every model; the workers then run them where each is fastest, and are as many as the GPU holds."""
    asked = dataclasses.replace(_settings, workers=server.cfg.workers)  # Gunicorn's own option may be another
    settings = _decided(asked, folders)
    if settings.workers < asked.workers:  # each has more cores then, so that the CPU is faster up to larger batches
        again = dataclasses.replace(asked, workers=settings.workers)
        settings = _decided(again, folders)
    app.decided_settings = settings
    Worker.options = dataclasses.replace(Worker.options, cores=settings.cores_per_worker)
    _keep_workers(server)


def _decided(settings: Settings, folders: list[Path]) -> Settings:
    trial = try_models(settings, folders)
    if trial is None:
        sys.exit(2)
    return trial.decide(settings)


def on_reload(server: Any) -> None:
    """The new workers serve whatever is in the folder, and are as many as were decided at the start."""
    server.counters.state.count_reload()
    _keep_workers(server)


def _keep_workers(server: Any) -> None:
    """As many workers as were decided at the start, whatever Gunicorn's options are."""
    if app.decided_settings:
        server.num_workers = app.decided_settings.workers
        server.cfg.set("workers", server.num_workers)


def when_ready(server: Any) -> None:
    """Tell the workers at once when SIGTERM ends the service: to Gunicorn's own SIGTERM there are other reasons."""

    def end(number: int, frame: Any) -> None:
        is_parent = os.getpid() == server.pid  # a worker inherits the handler, until it sets its own
        if is_parent and not _another_parent_serves(server):
            Worker.siblings.stop()
        server.signal(number, frame)

    signal.signal(signal.SIGTERM, end)


def _another_parent_serves(server: Any) -> bool:
    """Whether there are two on the same sockets, as after SIGUSR2: the end of one is not the end of the service."""
    return bool(server.reexec_pid or (server.master_pid and server.master_pid == os.getppid()))


def pre_fork(server: Any, worker: Any) -> None:
    """Choose a block of counters that no other living worker has."""
    taken = {other.block for other in server.WORKERS.values()}
    worker.block = next(block for block in itertools.count() if block not in taken)


def post_fork(server: Any, worker: Any) -> None:
    """In the worker: assign its counters, send the service's log where Gunicorn's goes, and tune malloc."""
    assign_block(server.counters, worker.block)
    _log_where_gunicorn_does(worker.log)
    malloc.tune()


def child_exit(server: Any, worker: Any) -> None:
    """Tell the other workers that this one has ended, and the operator what may help it if it could not start."""
    was_starting = Worker.siblings.set_ended(worker.age)
    if was_starting and server.LISTENERS:  # otherwise the service ends
        advice = "if it was killed for want of memory, set DIGITALIS_WORKERS to fewer, or give the service more"
        server.log.error("worker %s has ended before it was ready: %s", worker.pid, advice)


def post_worker_init(worker: Any) -> None:
    """Log that the worker is ready; the first one prints the URL, and requests to try."""
    models: ModelRepository = worker.wsgi.models
    worker.wsgi.updates.start()
    worker.log.info("Ready: %d models are open", len(models.names()))
    if worker.age == 1:
        print(startup_banner(models, worker.cfg.bind[0], page=_settings.page), flush=True)


def _log_where_gunicorn_does(log: Any) -> None:
    service = logging.getLogger("service")
    service.handlers = log.error_log.handlers
    service.setLevel(log.error_log.level)
