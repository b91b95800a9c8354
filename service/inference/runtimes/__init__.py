"""The replaceable edge: named arrays in, named arrays out. Two implementations, one file each.

Each imports its library inside its own file and only when it is opened, so that the service runs with
either one alone. Sessions are opened in the worker, after the fork.
"""

import functools
import importlib
import logging
from typing import Protocol

from service.bundle.manifest import ONNX, TORCHSCRIPT, Bundle, Contents
from service.bundle.signature import Arrays
from service.errors import DeviceUnavailable
from service.settings import Settings

log = logging.getLogger(__name__)

RUNTIMES = {  # module, the bundle's file for it, the extra that brings its library
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

    `auto` takes CUDA when a session can be created there and has run, else the CPU, and logs which and why.
    Raises `DeviceUnavailable` with the reason when what was asked for by name cannot be had, and
    `BundleError` when the file does not say the signature that the manifest says.
    """
    if settings.device == "cpu":
        return _open(bundle, contents, settings, None)
    try:
        runtime = _open(bundle, contents, settings, int(settings.device.partition(":")[2] or 0))
    except DeviceUnavailable as reason:
        if settings.device != "auto":
            raise
        runtime = _open(bundle, contents, settings, None)
        _say_once(f"{runtime.name} runs on the CPU: {reason}")
    else:
        _say_once(f"{runtime.name} runs on {runtime.device}")
    return runtime


def _open(bundle: Bundle, contents: Contents, settings: Settings, gpu: int | None) -> Runtime:
    """On the GPU of that index, where it must also run once: an old driver or a full GPU shows only then."""
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
        except Exception as error:  # the libraries' exceptions have no other base
            raise DeviceUnavailable(f"{runtime.device} does not run: {error}") from error
    return runtime


@functools.cache
def _say_once(message: str) -> None:
    """Every model of a process has the same reason; the log has it once."""
    log.info(message)
