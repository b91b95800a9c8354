"""All batches over a Ray cluster, by Ray Data: one task reads them, and actors predict them and write their parts.

A batch is a row of the dataset, so that none is cut or joined to another, and a part has the same rows as on one
machine. Where a node is lost, Ray reads and predicts again what was there; the part is written anew in its place.
"""

import contextlib
import logging
import os
import pickle
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data.block import BlockMetadata

from digitalis.scoring.batch import InputError
from digitalis.scoring.run import Counts, Report, Work

Columns = dict[str, Any]
CONNECT_TIMEOUT = 10.0  # seconds
WHOLE = 1  # byte: no two batches are joined to a larger block


def run_on_ray(work: Work, address: str, report: Report) -> Counts:
    """Predict all that is left over the nodes of a cluster; `report` is called after each batch.

    Every node has the files, the bundle and the folder of the parts at the same paths. Raises `InputError` where no
    cluster answers, where a file cannot be read, and where a node has another bundle.
    """
    try:
        _check_answers(address)
        ray.init(address, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise InputError(f"--ray {address}: no Ray cluster there that can be used: {error}") from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it reports is raised as well
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = WHOLE
    context.raise_original_map_exception = True
    try:
        return _predict(work, int(ray.cluster_resources().get("CPU", 0)), report)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        reason, _, _advice_of_ray = (str(cause) or repr(cause)).partition("\nFailed to apply")
        raise InputError(reason) from None
    finally:
        ray.shutdown()


def _predict(work: Work, cores: int, report: Report) -> Counts:
    if not cores:
        raise InputError("--ray: no node of the cluster has a core for this")
    here, total = Path.cwd(), Counts(0, 0)
    actors = ray.data.ActorPoolStrategy(min_size=1, max_size=cores)
    batches = ray.data.read_datasource(_Batches(work, here), override_num_blocks=1, num_cpus=0)
    scored = batches.map_batches(_PartScorer, batch_size=1, compute=actors, fn_args=(work, here), num_cpus=1)
    for row in scored.iter_rows():
        total = Counts(total.predicted + row["predicted"], total.rejected + row["rejected"])
        report(total)
    return total


def _check_answers(address: str) -> None:
    """Ray itself would ask an address where nothing listens for minutes. Raises `OSError`."""
    host, colon, port = address.rpartition("/")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()


class _Batches(ray.data.Datasource):  # type: ignore[misc] # Ray Data is untyped
    """All batches that have no part yet, as rows: their index, and the batch in bytes."""

    def __init__(self, work: Work, folder: Path) -> None:
        super().__init__()
        self._work, self._folder = work, folder

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown before it is read."""
        return None

    def get_read_tasks(self, parallelism: int, *_limits: object, **_options: object) -> list[Any]:
        """One, as rows of CSV can only be counted from the first on."""
        work, folder = self._work, self._folder
        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ray.data.ReadTask(lambda: _read(work, folder), metadata)]


def _read(work: Work, folder: Path) -> Iterator[pa.Table]:
    _enter(folder)
    for index, batch in work.left():
        yield pa.table({"index": [index], "batch": pa.array([pickle.dumps(batch, 5)], pa.large_binary())})


def _enter(folder: Path) -> None:
    """Relative paths are those of the command; where its folder is not on this node, absolute ones still are."""
    with contextlib.suppress(OSError):
        os.chdir(folder)


class _PartScorer:
    """An actor, which opens the model with its first batch."""

    def __call__(self, rows: Columns, work: Work, folder: Path) -> Columns:
        _enter(folder)
        batch = pickle.loads(rows["batch"][0])  # noqa: S301  # nosec B301 - written by `_read`; Ray pickles programs too
        counts = work.score(int(rows["index"][0]), batch)
        return {"predicted": np.array([counts.predicted]), "rejected": np.array([counts.rejected])}
