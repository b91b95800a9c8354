"""Runtimes: named arrays in, named arrays out, on one device. Two implementations, one file each.

Each file imports its library, and is imported only when it is used, so that the service runs with either library alone.
Sessions are opened in the worker, after the fork.
"""

import importlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from service.bundle.loading import Contents
from service.bundle.manifest import ONNX, TORCHSCRIPT
from service.bundle.signature import Arrays, Signature, batch_size
from service.errors import BundleError, DeviceUnavailable, one_line
from service.settings import Settings

RUNTIMES = {  # module, the bundle's file for it, the extra that installs its library
    "onnx": ("service.inference.runtimes.onnx_runtime", ONNX, "cpu (or cuda)"),
    "torchscript": ("service.inference.runtimes.torchscript", TORCHSCRIPT, "torchscript"),
}
MAX_ROWS_CPU, MAX_ROWS_CUDA = 256, 4096  # in one run of a network: with more, a row would take no less time


class Runtime(Protocol):
    """Runs one network on one device."""

    name: str
    device: str

    @property
    def cuda_from_rows(self) -> int | None:
        """Batches of so many rows or more run on a GPU; None if none do."""

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for inputs that fit the signature. Safe to call from several threads at once."""


def open_runtime(signature: Signature, contents: Contents, settings: Settings, gpu: int | None) -> Runtime:
    """Open the network's file for `settings.runtime` on the CPU, or on the GPU of this index.

    A bundle that was imported may have one file only: the runtime of that file opens it then. On a GPU it must also run
    once, as an old driver fails only then. Raises `DeviceUnavailable` with the reason, and `BundleError` if the
    signature of the file is not the manifest's.
    """
    chosen = next(name for name in (settings.runtime, *RUNTIMES) if RUNTIMES[name][1] in contents)
    module, file, extra = RUNTIMES[chosen]
    try:
        opener = importlib.import_module(module).open_file
    except ModuleNotFoundError as error:
        message = f"the runtime {chosen} needs {error.name}, which is not installed: install the extra {extra}"
        if chosen != settings.runtime:
            raise BundleError(f"{file}: {message}; the bundle has no {RUNTIMES[settings.runtime][1]}") from None
        raise DeviceUnavailable(message) from None
    runtime: Runtime = opener(signature, contents[file], gpu, settings.threads_per_inference)
    if gpu is not None:
        try:
            runtime.run(signature.zeros())
        except Exception as error:  # the libraries' exceptions have no narrower base class
            raise DeviceUnavailable(f"{runtime.device} cannot run it: {one_line(error)}") from error
    return runtime


def run_in_parts(run: Callable[[Arrays], Arrays], inputs: Arrays, device: str) -> Arrays:
    """The outputs for a batch, of which no more rows run at a time than the device needs to be fast.

    What lies between the layers of a network takes memory for each row of a run, and runtimes keep that memory.
    """
    max_rows = MAX_ROWS_CPU if device == "cpu" else MAX_ROWS_CUDA
    rows = batch_size(inputs)
    if rows <= max_rows:
        return run(inputs)
    starts = range(0, rows, max_rows)
    parts = [run({name: array[at : at + max_rows] for name, array in inputs.items()}) for at in starts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
