"""Runtimes: named arrays in, named arrays out. Two implementations, one file each.

Each file imports its library, and is imported only when it is used, so that the service runs with either library alone.
Sessions are opened in the worker, after the fork.
"""

import functools
import importlib
import logging
from typing import Protocol

from service.bundle.loading import Contents
from service.bundle.manifest import ONNX, TORCHSCRIPT, Bundle
from service.bundle.signature import Arrays
from service.errors import DeviceUnavailable
from service.settings import Settings

log = logging.getLogger(__name__)

RUNTIMES = {  # module, the bundle's file for it, the extra that installs its library
    "onnx": ("service.inference.runtimes.onnx_runtime", ONNX, "cpu (or cuda)"),
    "torchscript": ("service.inference.runtimes.torchscript", TORCHSCRIPT, "torchscript"),
}


class Runtime(Protocol):
    """Runs one bundle's network on one device."""

    name: str
    device: str

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for inputs that fit the signature. Safe to call from several threads at once."""


def open_runtime(bundle: Bundle, contents: Contents, settings: Settings) -> Runtime:
    """Open the bundle's file for `settings.runtime` on `settings.device`.

    `auto` is CUDA if a test inference succeeds there, otherwise the CPU; the log has which one, and why. Raises
    `DeviceUnavailable` with the reason if a device or runtime requested by name is not available, and `BundleError` if
    the signature of the file is not the manifest's.
    """
    if settings.device == "cpu":
        return _open(bundle, contents, settings, None)
    try:
        runtime = _open(bundle, contents, settings, int(settings.device.partition(":")[2] or 0))
    except DeviceUnavailable as reason:
        if settings.device != "auto":
            raise
        runtime = _open(bundle, contents, settings, None)
        _log_once(f"{runtime.name} runs on the CPU: {reason}")
    else:
        _log_once(f"{runtime.name} runs on {runtime.device}")
    return runtime


def _open(bundle: Bundle, contents: Contents, settings: Settings, gpu: int | None) -> Runtime:
    """Open it on the CPU, or on the GPU of this index, where it must also run once: an old driver fails only then."""
    module, file, extra = RUNTIMES[settings.runtime]
    try:
        opener = importlib.import_module(module).open_file
    except ModuleNotFoundError as error:
        raise DeviceUnavailable(
            f"the runtime {settings.runtime} needs {error.name}, which is not installed: install the extra {extra}"
        ) from None
    runtime: Runtime = opener(bundle, contents[file], gpu, settings.threads_per_inference)
    if gpu is not None:
        try:
            runtime.run(bundle.signature.zeros())
        except Exception as error:  # the libraries' exceptions have no narrower base class
            reason = " ".join(str(error).split())  # it may have several lines
            raise DeviceUnavailable(f"{runtime.device} cannot run it: {reason}") from error
    return runtime


@functools.cache
def _log_once(message: str) -> None:
    """Log a message once per process: it is the same for every model."""
    log.info(message)
