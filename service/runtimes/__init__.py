"""The replaceable edge: named arrays in, named arrays out. Two implementations, one file each.

Each imports its library inside its own file and only when it is opened, so that the service runs with
either one alone. Sessions are opened in the worker, after the fork.
"""

import functools
import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from service.bundle import Bundle
from service.errors import DeviceUnavailable
from service.settings import Settings
from service.signature import Arrays

log = logging.getLogger(__name__)

MODULES = {"onnx": "service.runtimes.onnx_runtime", "torchscript": "service.runtimes.torchscript"}


class Runtime(Protocol):
    """Runs one bundle's network on one device."""

    name: str
    device: str

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for inputs that fit the signature. Safe to call from several threads at once."""


def open_runtime(bundle: Bundle, folder: Path, settings: Settings) -> Runtime:
    """Open the bundle's file for `settings.runtime` on `settings.device`.

    `auto` takes CUDA when a session can be created there and has run, else the CPU, and logs which and why.
    Raises `DeviceUnavailable` with the reason when what was asked for by name cannot be had, and
    `BundleError` when the file does not say the signature that the manifest says.
    """
    try:
        module = importlib.import_module(MODULES[settings.runtime])
    except ModuleNotFoundError as error:
        extra = {"onnx": "cpu (or cuda)", "torchscript": "torchscript"}[settings.runtime]
        raise DeviceUnavailable(
            f"the runtime {settings.runtime} needs {error.name}, which is not installed: install the extra {extra}"
        ) from None
    open_on: Callable[[str], Runtime] = lambda device: module.open_on(  # noqa: E731
        bundle, folder, device, settings.threads_per_inference
    )
    if settings.device != "auto":
        return open_on(settings.device)
    try:
        runtime = open_on("cuda")
    except DeviceUnavailable as reason:
        runtime = open_on("cpu")
        _say_once(f"{runtime.name} runs on the CPU: {reason}")
    else:
        _say_once(f"{runtime.name} runs on {runtime.device}")
    return runtime


@functools.cache
def _say_once(message: str) -> None:
    """Every model of a process has the same reason; the log has it once."""
    log.info(message)
