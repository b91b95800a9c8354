"""TorchScript: named arrays through `model.pt`. The only file of the service that imports torch."""

import io
import warnings

import numpy as np
import torch

from service.bundle.manifest import TORCHSCRIPT
from service.bundle.signature import Arrays, Signature
from service.errors import BundleError, DeviceUnavailable
from service.inference.runtimes import run_in_parts


class TorchScriptRuntime:
    """One frozen module of `model.pt`."""

    name = "TorchScript"

    def __init__(self, module: torch.jit.ScriptModule, signature: Signature, device: str) -> None:
        self.device = device
        self.cuda_from_rows = None if device == "cpu" else 1
        self._module = module
        self._inputs = [spec.name for spec in signature.inputs]
        self._outputs = [spec.name for spec in signature.outputs]

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs for inputs that fit the signature. Safe to call from several threads at once."""
        return run_in_parts(self._run_once, inputs, self.device)

    def _run_once(self, inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            arrays = (inputs[name] for name in self._inputs)
            # Arrays that are views of a request's bytes are read-only. PyTorch has no such tensors: they are copied.
            tensors = [torch.from_numpy(np.require(array, requirements="W")).to(self.device) for array in arrays]
            result = self._module(*tensors)
        outputs = [result] if isinstance(result, torch.Tensor) else list(result)
        return {name: output.numpy(force=True) for name, output in zip(self._outputs, outputs, strict=True)}


def open_file(signature: Signature, content: bytes, gpu: int | None, threads: int) -> TorchScriptRuntime:
    """Open the bytes of `model.pt` on the CPU or a GPU, with that many threads for one inference."""
    device = "cpu" if gpu is None else _cuda_device(gpu)
    torch.set_num_threads(threads)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # TorchScript is deprecated: decisions.md
        module = _load(content, device)
        schema = module.forward.schema  # type: ignore[attr-defined]  # torch types it as any callable
        arguments = [argument.name for argument in schema.arguments[1:]]
        expected = [spec.name for spec in signature.inputs]
        if arguments != expected:
            raise BundleError(f"{TORCHSCRIPT}: its inputs are {arguments}, the manifest expects {expected}")
        return TorchScriptRuntime(torch.jit.freeze(module.eval()), signature, device)


def _load(content: bytes, device: str) -> torch.jit.ScriptModule:
    try:
        module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(content), map_location=device)
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{TORCHSCRIPT}: TorchScript cannot open it: {error}") from error
    return module


def _cuda_device(gpu: int) -> str:
    if not torch.cuda.is_available():
        why = "it finds no GPU" if torch.version.cuda else "it was built without CUDA"
        raise DeviceUnavailable(f"PyTorch cannot use CUDA here: {why}")
    if gpu >= torch.cuda.device_count():
        raise DeviceUnavailable(f"there is no cuda:{gpu}: CUDA lists {torch.cuda.device_count()} GPU(s)")
    return f"cuda:{gpu}"
