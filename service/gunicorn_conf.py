"""Gunicorn's configuration, from our settings: `gunicorn -c python:service.gunicorn_conf 'service.app:create_app()'`.

Workers open their models after the fork: the threads of ONNX Runtime and CUDA do not survive one.
"""

import contextlib
import ctypes
import itertools
import json
import logging
import os
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

from service.bundle.manifest import ModelId
from service.inference.repository import ModelRepository, find_bundles
from service.observability.counter_layout import read_metrics_schema
from service.observability.middleware import RequestMiddleware
from service.observability.shared_counters import SharedCounters, assign_block
from service.protocols.v1.requests import example
from service.settings import Settings
from service.worker.options import WorkerOptions
from service.worker.worker import UnsupportedConfiguration
from service.worker.worker import Worker as LeaderFollowerWorker

MAX_NAMED_MODELS = 6  # above this, the startup banner gives the number of models, not their names
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's mallopt(3)
WORKER_OPTION_NAMES = {  # in messages
    "request_timeout": "DIGITALIS_READ_TIMEOUT",
    "queue_timeout": "DIGITALIS_QUEUE_TIMEOUT_MS",
    "max_queued": "DIGITALIS_MAX_QUEUED",
    "max_connections": "DIGITALIS_MAX_CONNECTIONS",
    "response_timeout": "DIGITALIS_ANSWER_TIMEOUT",
    "memory_budget_bytes": "DIGITALIS_MEMORY_BUDGET_BYTES",
}
SPARE_BLOCKS = 16  # of counters, besides two for each worker: during a reload old and new workers are alive at once

_settings = Settings.from_env()

bind = _settings.bind
workers = _settings.workers
threads = _settings.request_threads
worker_connections = _settings.max_connections
timeout = 120  # seconds without a heartbeat, opening all models included
graceful_timeout = _settings.graceful_timeout
keepalive = 75  # seconds: longer than the 60 after which common proxies close an idle connection
loglevel = _settings.log_level
logger_class = "service.observability.request_log.Logger"
preload_app = False
control_socket_disable = True  # it would need a writable home
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - heartbeats in memory


def _count_response(application: Any, environ: WSGIEnvironment, status: int) -> list[tuple[str, str]]:
    """Count and log a request that the worker responds to in the application's place; headers for the response."""
    middleware = _middleware(application)
    return middleware.record(environ, status) if middleware else []


def _flush_counters(application: Any) -> None:
    """Count what the worker has kept during the last second."""
    if middleware := _middleware(application):
        middleware.counters.flush()


def _middleware(application: Any) -> RequestMiddleware | None:
    """The application's middleware; another WSGI application than ours has none."""
    return getattr(application, "middleware", None)


class Worker(LeaderFollowerWorker):
    """The worker, with the limits of the settings; its hooks reach the application's middleware."""

    options = WorkerOptions(
        request_timeout=_settings.read_timeout,
        queue_timeout=_settings.queue_timeout_ms / 1000,
        max_queued=_settings.max_queued,
        response_timeout=_settings.answer_timeout,
        max_body_bytes=_settings.max_body_bytes,
        memory_budget_bytes=_settings.memory_budget_bytes,
        on_response=_count_response,
        every_second=_flush_counters,
        names=WORKER_OPTION_NAMES,
    )

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """As the worker's, with the setting to use in place of Gunicorn's access log."""
        if cfg.accesslog:
            raise UnsupportedConfiguration("access-logfile is not supported: set DIGITALIS_LOG_REQUESTS=all instead")
        super().check_config(cfg, log)


worker_class = "service.gunicorn_conf.Worker"


def on_starting(server: Any) -> None:
    """Map the memory that all workers share before the first fork."""
    folders = find_bundles(_settings.models_dir)
    schemas = {ModelId(folder.parent.name, folder.name): read_metrics_schema(folder) for folder in folders}
    server.counters = SharedCounters(schemas, blocks=2 * server.cfg.workers + SPARE_BLOCKS)


def pre_fork(server: Any, worker: Any) -> None:
    """Choose a block of counters that no other living worker has."""
    taken = {other.block for other in server.WORKERS.values()}
    worker.block = next(block for block in itertools.count() if block not in taken)


def post_fork(server: Any, worker: Any) -> None:
    """In the worker: assign its counters, send the service's log where Gunicorn's goes, and tune malloc."""
    assign_block(server.counters, worker.block)
    service = logging.getLogger("service")
    service.handlers = worker.log.error_log.handlers
    service.setLevel(worker.log.error_log.level)
    _tune_malloc()


def post_worker_init(worker: Any) -> None:
    """Log that the worker is ready; the first one prints the URL, and requests to try."""
    models: ModelRepository = worker.wsgi.models
    worker.log.info("Ready: %d models are open", len(models.names()))
    if worker.age == 1:
        print(startup_banner(models, worker.cfg.bind[0]), flush=True)


def _tune_malloc() -> None:
    """Return the memory of large pictures to the system: glibc would keep it, once for each thread."""
    with contextlib.suppress(OSError, AttributeError):  # another libc
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 2**22)  # up to here it is kept, as the next requests need it again
        libc.mallopt(M_ARENA_MAX, 2)


def startup_banner(models: ModelRepository, address: str) -> str:
    """The URL, and a request to try for each kind of model that there is."""
    host, _, port = address.rpartition(":")
    url = f"http://{'localhost' if host in ('0.0.0.0', '[::]') else host}:{port}/v1/models"  # noqa: S104 - compared
    bundles = [models.find(name).bundle for name in models.names()]
    served = f"{len(bundles)} models" if len(bundles) > MAX_NAMED_MODELS else ", ".join(models.names())
    lines = [f"\nDigitalis serves {served} at {url}. Try:\n"]
    for bundle in [bundle for bundle in bundles if bundle.takes_images][:1]:
        picture = next(iter(sorted(Path("samples").glob("*.png"))), "digit.png")
        lines.append(f"  curl -F image=@{picture} {url}/{bundle.name}:predict")
    vector_models = [bundle for bundle in bundles if not bundle.takes_images]
    # A row of about four features looks like data, and is short enough to type.
    typical = sorted(vector_models, key=lambda bundle: abs(len(bundle.features) - 4))[:1]
    lines += [f"  curl -d '{json.dumps(example(bundle))}' {url}/{bundle.name}:predict" for bundle in typical]
    return "\n".join([*lines, ""])
