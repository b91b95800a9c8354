"""Gunicorn's configuration, from our settings: `gunicorn -c python:service.gunicorn_conf 'service.app:create_app()'`.

Workers open their models after the fork: ONNX Runtime's and CUDA's threads do not survive one.
"""

import contextlib
import ctypes
import itertools
import json
import logging
import os
from pathlib import Path
from typing import Any

from service.bundle.manifest import read_counted
from service.inference.repository import ModelRepository, find_bundles
from service.observability.shared_counters import Telemetry
from service.protocols.examples import v1_request
from service.settings import Settings

FEW = 6  # models that are named one by one
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's mallopt(3)
SPARE = 16  # blocks of counters, beside two a worker: while all are replaced, the old ones still live

_settings = Settings.from_env()

bind = _settings.bind
workers = _settings.workers
worker_class = "service.worker.worker.Worker"
threads = _settings.request_threads
timeout = 120  # seconds without a sign of life, the opening of all models included
graceful_timeout = _settings.graceful_timeout
keepalive = 75  # seconds: longer than the 60 after which common proxies give up an idle connection
loglevel = _settings.log_level
logger_class = "service.observability.request_log.Logger"
preload_app = False
control_socket_disable = True  # it would need a writable home
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - heartbeats in memory


def on_starting(server: Any) -> None:
    """What the workers will share is mapped before the first fork."""
    folders = find_bundles(_settings.models_dir)
    counted = {(folder.parent.name, folder.name): read_counted(folder) for folder in folders}
    server.telemetry = Telemetry(counted, workers=2 * _settings.workers + SPARE)


def pre_fork(server: Any, worker: Any) -> None:
    """Each worker writes into a block of counters that no other living one has."""
    taken = {other.block for other in server.WORKERS.values()}
    worker.block = next(block for block in itertools.count() if block not in taken)
    worker.telemetry = server.telemetry


def post_fork(_server: Any, worker: Any) -> None:
    """What the service logs goes where Gunicorn logs; and memory goes back to the system."""
    _return_memory()
    ours = logging.getLogger("service")
    ours.handlers = worker.log.error_log.handlers
    ours.setLevel(worker.log.error_log.level)


def post_worker_init(worker: Any) -> None:
    """Each worker says that it is ready; the first one says where, and what to try."""
    models: ModelRepository = worker.wsgi.models
    if worker.telemetry.has(models.titles()):
        worker.wsgi.observed.recorder = worker.telemetry.recorder(worker.block)
    else:
        worker.log.warning("There are models that were not here at the start: this worker's statistics are its own")
    worker.log.info("Ready: %d models are open", len(models.names()))
    if worker.age == 1:
        print(invitation(models, _settings.bind), flush=True)


def _return_memory() -> None:
    """Let what a large picture took go back to the system: glibc would keep it, once for each thread."""
    with contextlib.suppress(OSError, AttributeError):  # another libc
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 2**22)  # what requests take again and again is kept
        libc.mallopt(M_ARENA_MAX, 2)


def invitation(models: ModelRepository, address: str) -> str:
    """A URL, and a request to try for each kind of model that is there."""
    host, _, port = address.rpartition(":")
    url = f"http://{'localhost' if host in ('0.0.0.0', '[::]') else host}:{port}/v1/models"  # noqa: S104 - compared
    found = [models.find(name).bundle for name in models.names()]
    count = f"{len(found)} models" if len(found) > FEW else ", ".join(models.names())
    lines = [f"\nDigitalis answers at {url}: {count}. Try:\n"]
    for bundle in [b for b in found if b.takes_images][:1]:
        picture = next(iter(sorted(Path("samples").glob("*.png"))), "digit.png")
        lines.append(f"  curl -F image=@{picture} {url}/{bundle.name}:predict")
    vectors = [bundle for bundle in found if not bundle.takes_images]
    # A row that is long enough to look like data, and short enough to type.
    short = sorted(vectors, key=lambda bundle: abs(len(bundle.features) - 4))[:1]
    lines += [f"  curl -d '{json.dumps(v1_request(bundle))}' {url}/{bundle.name}:predict" for bundle in short]
    return "\n".join([*lines, ""])
