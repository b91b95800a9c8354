"""Where a model runs: on the CPU, on a GPU, or on both, by the rows of a batch.

On the CPU a small network takes microseconds for a row. On a GPU every run takes some two hundred, and hardly more for
a thousand rows. So the GPU is faster from some number of rows on, or never. That number is measured, model by model.
"""

import functools
import logging
import math
import statistics
import time
from collections.abc import Callable

from service.bundle.loading import Contents
from service.bundle.manifest import Bundle
from service.bundle.signature import Arrays, batch_size
from service.errors import DeviceUnavailable, one_line
from service.inference.runtimes import Runtime, open_runtime
from service.settings import Settings

log = logging.getLogger(__name__)

REPEATS = 5  # times that a batch is run on each device, by turns
MARGIN = 0.9  # CUDA must take less than this share of the CPU's time: other workers use the same GPU
GROWTH = 4  # between the sizes that are tried
REFINEMENTS = 2  # times that the interval between two sizes is halved
OTHERS = "*"  # in `cuda_from_rows`: every model that is not named
UNKNOWN = 0  # rows from which a model is faster on a GPU, before that is measured
RETRY_AFTER = 60.0  # seconds for which nothing is run on a GPU that has failed


class PlacedRuntime:
    """Runs batches of `cuda_from_rows` rows or more on a GPU, and smaller ones on the CPU."""

    def __init__(
        self, cpu: Runtime, cuda: Runtime, cuda_from_rows: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = cpu.name
        self.device = cuda.device if cuda_from_rows == 1 else f"{cpu.device},{cuda.device}"
        self.cuda_from_rows = cuda_from_rows
        self._cpu, self._cuda = cpu, cuda
        self._clock = clock
        self._failed_until = 0.0

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for inputs that fit the signature. If the GPU fails, as when others have filled it, the CPU's."""
        if batch_size(inputs) < self.cuda_from_rows or self._clock() < self._failed_until:
            return self._cpu.run(inputs)
        try:
            return self._cuda.run(inputs)
        except Exception as error:  # noqa: BLE001 - the libraries' exceptions have no narrower base class
            self._failed_until = self._clock() + RETRY_AFTER
            log.error("%s failed, and the CPU is used for %.0f s: %s", self._cuda.device, RETRY_AFTER, one_line(error))  # noqa: TRY400
            return self._cpu.run(inputs)


def place(bundle: Bundle, contents: Contents, settings: Settings) -> Runtime:
    """Open a bundle on `settings.device`.

    `auto` is the CPU for small batches and CUDA for large ones, or one of them for all: as `settings.cuda_from_rows`
    says, or else as is measured here. Where CUDA cannot be used it is the CPU, and the log has the reason.

    Raises `DeviceUnavailable` with the reason if a device or runtime requested by name is not available, and
    `BundleError` if the signature of the file is not the manifest's.
    """
    if settings.device not in ("auto", "cpu"):
        return open_runtime(bundle.signature, contents, settings, settings.gpu)
    cpu = open_runtime(bundle.signature, contents, settings, None)
    pinned = settings.cuda_from_rows
    names = (str(bundle.id), bundle.name, OTHERS)
    rows = next((pinned[name] for name in names if name in pinned), UNKNOWN)
    if settings.device == "cpu" or rows is None:
        return cpu
    try:
        cuda = open_runtime(bundle.signature, contents, settings, settings.gpu)
    except DeviceUnavailable as reason:
        _log_once(f"{cpu.name} runs on the CPU: {reason}")
        return cpu
    if rows == UNKNOWN:
        rows = measured_cuda_from_rows(cpu, cuda, bundle.signature.zeros, settings.max_rows)
    return PlacedRuntime(cpu, cuda, rows) if rows else cpu


def measured_cuda_from_rows(
    cpu: Runtime,
    cuda: Runtime,
    batch: Callable[[int], Arrays],
    max_rows: int,
    clock: Callable[[], float] = time.perf_counter,
) -> int | None:
    """The number of rows from which CUDA is the faster one; None if it is not, up to `max_rows`.

    `batch` makes inputs of so many rows. Sizes grow until CUDA is faster, so that a large network is not run on the CPU
    for longer than it takes to see that.
    """

    def seconds(runtime: Runtime, inputs: Arrays) -> float:
        started = clock()
        runtime.run(inputs)
        return clock() - started

    def cuda_is_faster(rows: int) -> bool:
        inputs = batch(rows)
        runtimes = (cpu, cuda)
        for runtime in runtimes:  # the first run of a size loads kernels and grows what is kept
            runtime.run(inputs)
        times = [[seconds(runtime, inputs) for runtime in runtimes] for _ in range(REPEATS)]
        on_cpu, on_cuda = map(statistics.median, zip(*times, strict=True))
        return bool(on_cuda < MARGIN * on_cpu)

    slower, faster = 0, 1
    while not cuda_is_faster(faster):
        if faster == max_rows:
            return None
        slower, faster = faster, min(faster * GROWTH, max_rows)
    for _ in range(REFINEMENTS):
        middle = round(math.sqrt(slower * faster))
        if slower < middle < faster:
            slower, faster = (slower, middle) if cuda_is_faster(middle) else (middle, faster)
    return faster


@functools.cache
def _log_once(message: str) -> None:
    """Log a message once per process: it is the same for every model."""
    log.info(message)
