"""TorchScript: named arrays through `model.pt`. The only file of the service that imports torch."""

import warnings
from pathlib import Path

import torch

from service.bundle import TORCHSCRIPT, Bundle
from service.errors import BundleError, DeviceUnavailable
from service.signature import Arrays, Signature


class TorchScriptRuntime:
    """One frozen module of `model.pt`."""

    name = "TorchScript"

    def __init__(self, module: torch.jit.ScriptModule, signature: Signature, device: str) -> None:
        self.device = device
        self._module = module
        self._inputs = [spec.name for spec in signature.inputs]
        self._outputs = [spec.name for spec in signature.outputs]

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for inputs that fit the signature. Safe to call from several threads at once."""
        with torch.inference_mode():
            tensors = [torch.from_numpy(inputs[name]).to(self.device) for name in self._inputs]
            result = self._module(*tensors)
        outputs = [result] if isinstance(result, torch.Tensor) else list(result)
        return {name: output.numpy(force=True) for name, output in zip(self._outputs, outputs, strict=True)}


def open_on(bundle: Bundle, folder: Path, device: str, threads: int) -> TorchScriptRuntime:
    """Open `model.pt` on `cpu`, `cuda` or `cuda:N`, with that many threads for one inference."""
    if device != "cpu":
        device = _cuda_device(device)
    torch.set_num_threads(threads)
    path = folder / TORCHSCRIPT
    module = _load(path, device)
    schema = module.forward.schema  # type: ignore[attr-defined]  # torch types it as any callable
    arguments = [argument.name for argument in schema.arguments[1:]]
    expected = [spec.name for spec in bundle.signature.inputs]
    if arguments != expected:
        raise BundleError(f"{path}: its inputs are {arguments}, the manifest expects {expected}")
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # TorchScript is deprecated: decisions.md
        runtime = TorchScriptRuntime(torch.jit.freeze(module.eval()), bundle.signature, device)
    if device != "cpu":
        _run_once(runtime, bundle.signature)
    return runtime


def _load(path: Path, device: str) -> torch.jit.ScriptModule:
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            module: torch.jit.ScriptModule = torch.jit.load(path, map_location=device)
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{path}: TorchScript cannot open it: {error}") from error
    return module


def _cuda_device(device: str) -> str:
    index = int(device.partition(":")[2] or 0)
    if not torch.cuda.is_available():
        why = "no GPU answers" if torch.version.cuda else "this PyTorch was built without CUDA"
        raise DeviceUnavailable(f"PyTorch has no CUDA here: {why}")
    if index >= torch.cuda.device_count():
        raise DeviceUnavailable(f"cuda:{index} is not there: this machine has {torch.cuda.device_count()} GPU(s)")
    return f"cuda:{index}"


def _run_once(runtime: TorchScriptRuntime, signature: Signature) -> None:
    """A device that is listed may still not run: an old driver, a full GPU."""
    try:
        runtime.run(signature.zeros())
    except RuntimeError as error:
        raise DeviceUnavailable(f"{runtime.device} does not run: {error}") from error
