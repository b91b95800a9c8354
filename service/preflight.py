"""Before the first worker starts: whether every model opens, where each runs best, and how many workers the GPU holds.

All of it is tried once, in a child process: sessions that this process opened would not survive its forks, and in the
workers the same failure would be reported by each of them, between Gunicorn's own lines.
"""

import dataclasses
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from service.app import create_app
from service.errors import SettingsError, StartError
from service.inference import placement
from service.inference.gpu import free_gpu_memory
from service.inference.repository import ModelRepository
from service.inference.runtimes import MAX_ROWS_CUDA
from service.settings import Settings

log = logging.getLogger(__name__)

MIB = 2**20


class Trial(msgspec.Struct):
    """What was found out: by model the rows from which it runs on the GPU, and the GPU's memory in bytes."""

    cuda_from_rows: dict[str, int | None]
    device: str = "cpu"
    gpu_free: int | None = None  # before the models were opened; None if it is not known
    gpu_taken: int = 0  # by one process that has opened them, and run large batches
    by_name: dict[str, int | None] = {}  # the rows of the default versions: new ones run where these do

    def decide(self, settings: Settings) -> Settings:
        """The settings with these placements, and with no more workers than the GPU holds. Both are logged."""
        workers = settings.workers
        if self.gpu_taken and self.gpu_free is not None:
            most = int(self.gpu_free * settings.gpu_memory_share / self.gpu_taken)
            workers = max(min(workers, most), 1)
            log.info(
                "%s has %d MiB free, and a worker takes %d: %d of %d workers start (DIGITALIS_GPU_MEMORY_SHARE=%g)",
                self.device, self.gpu_free // MIB, self.gpu_taken // MIB, workers, settings.workers,
                settings.gpu_memory_share,
            )  # fmt: skip
        if any(self.cuda_from_rows.values()):
            log.info("%s, by the rows of a batch: %s", self.device, self._placements())
        decided = {**self.by_name, **settings.cuda_from_rows, placement.OTHERS: None, **self.cuda_from_rows}
        return dataclasses.replace(settings, workers=workers, cuda_from_rows=decided)

    def _placements(self) -> str:
        """For the log, such as `from 1 mnist/3; from 64 wine/1, xor/1; never iris/3`."""
        by_rows: dict[int | None, list[str]] = {}
        for name, rows in self.cuda_from_rows.items():
            by_rows.setdefault(rows, []).append(name)
        ordered = sorted(by_rows.items(), key=lambda item: (item[0] is None, item[0]))
        return "; ".join(f"{f'from {rows}' if rows else 'never'} {', '.join(names)}" for rows, names in ordered)


def try_models(settings: Settings, folders: Iterable[Path]) -> Trial | None:
    """Open all models in a child process; None, with the reason on stderr, unless each has a version that opens."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as pipe:
                status = _open_and_report(settings, folders, pipe)
        finally:
            os._exit(status)  # whatever happens, the child must not go on as a second parent
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        report = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        killed = signal.Signals(os.WTERMSIG(status)).name
        advice = "if that was for want of memory, it needs more, or fewer bundles"
        print(f"digitalis: opening the models was stopped by {killed}: {advice}", file=sys.stderr)
    return None if status else msgspec.json.decode(report, type=Trial)


def _open_and_report(settings: Settings, folders: Iterable[Path], pipe: BinaryIO) -> int:
    """The exit status of the child. It logs what is decided here; the rest that it would log, the workers log again."""
    service = logging.getLogger("service")
    placement.log.setLevel(service.level)
    service.setLevel(logging.CRITICAL)
    try:
        free = None if settings.device == "cpu" else free_gpu_memory(settings.gpu)
        models = create_app(settings, folders).models
        models.check_every_model_opens()
        _check_names(settings, models)
        pipe.write(msgspec.json.encode(_trial(models, settings, free)))
    except (StartError, MemoryError) as error:
        print(f"digitalis: {error or 'not enough memory to open the models'}", file=sys.stderr, flush=True)
        return 2
    except Exception:  # noqa: BLE001 - whatever it is, it is shown
        traceback.print_exc()
        return 1
    return 0


def _check_names(settings: Settings, models: ModelRepository) -> None:
    """Raise `SettingsError` for a model of the settings that there is not."""
    if settings.model_name and set(models.names()) != {settings.model_name}:
        raise SettingsError(
            f"DIGITALIS_MODEL_NAME={settings.model_name!r} is for a folder of one model, and {settings.models_dir} has "
            f"{', '.join(models.names())}"
        )
    ids = [*models.model_ids(), *models.unavailable]
    names = {name for name, _ in ids}
    asked = {
        "CUDA_FROM_ROWS": (settings.cuda_from_rows, names | {str(model_id) for model_id in ids}),
        "BATCHING": (settings.batching, names),
        "VERSIONS": (settings.versions, names),
        "DEFAULT_MODEL": ([settings.default_model] if settings.default_model else [], names),
    }
    for setting, (named, allowed) in asked.items():
        if unknown := set(named) - allowed - {placement.OTHERS}:
            listed = ", ".join(sorted(unknown))
            raise SettingsError(f"DIGITALIS_{setting} names {listed}: the models are {', '.join(models.names())}")


def _trial(models: ModelRepository, settings: Settings, free: int | None) -> Trial:
    on_gpu = [model for model in models if model.runtime.cuda_from_rows]
    for model in on_gpu:  # the largest batch: what it takes is kept
        rows = max(MAX_ROWS_CUDA, model.runtime.cuda_from_rows or 0)
        model.runtime.run(model.bundle.signature.zeros(rows))
    left = free_gpu_memory(settings.gpu) if on_gpu else None
    trial = Trial({str(model.id): model.runtime.cuda_from_rows for model in models})
    trial.by_name = {name: model.runtime.cuda_from_rows for name, model in models.defaults.items()}
    if on_gpu:
        trial.device = f"cuda:{settings.gpu}"
    if free is not None and left is not None:
        trial.gpu_free, trial.gpu_taken = free, max(free - left, 0)
    return trial
