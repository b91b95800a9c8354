"""A TorchScript file to a network with the tensors of a bundle; and what is said of other files of PyTorch."""

import io
import pickletools
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.bundle.signature import NUMPY_DTYPES, Arrays, TensorSpec
from service.errors import one_line
from training.errors import CannotImport
from training.importing.foreign import ForeignNetwork, Run, found_outputs
from training.importing.image_input import ImageInput
from training.importing.meaning import Meaning

PICKLE_ADVICE = (
    "it is a pickle (a module or a state dict, as torch.save writes them), which can run any program when it is "
    "opened, so it is not opened. Where the module is defined:\n"
    "    import training\n"
    "    module.load_state_dict(torch.load('weights.pt', weights_only=True))\n"
    "    training.export_network(module.eval(), example, name='net', labels=['a', 'b'])"
)
SCRIPT_ADVICE = "torch.jit.script(module).save('net.pt') writes one, or training.export_network an ONNX bundle"
ALONE = "output"  # the name of the only output; of several the names are output_0, output_1, ...


def read_torchscript(path: Path) -> torch.jit.ScriptModule:
    """The module in a file, on the CPU; raises `CannotImport` for everything else that PyTorch writes."""
    data = path.read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise CannotImport(
            f"{path}: {PICKLE_ADVICE if is_pickle(data) else f'it is no TorchScript file: {SCRIPT_ADVICE}'}"
        )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    if not any(name.startswith("code/") for name in names):
        exported = any(name.endswith(("model.json", "exported_program.json")) for name in names)
        advice = f"it is a program of torch.export: {SCRIPT_ADVICE}" if exported else PICKLE_ADVICE
        raise CannotImport(f"{path}: {advice}")
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # deprecated: decisions.md
            module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(data), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise CannotImport(f"{path}: TorchScript cannot open it: {one_line(error)}") from None
    return module


def is_pickle(data: bytes) -> bool:
    """Whether these bytes begin as a pickle; it is not opened."""
    try:
        next(pickletools.genops(data))
    except ValueError:
        return False
    return data[:1] == b"\x80"


def foreign_torchscript(module: torch.jit.ScriptModule, inputs: Sequence[TensorSpec], where: str) -> ForeignNetwork:
    """The network in a module. A file has the names of its inputs alone: the rest is told by `inputs`, in their order.

    Raises `CannotImport` if these are not its inputs, or if it returns anything but tensors.
    """
    was_training = module.training
    module.eval()
    schema = module.forward.schema  # type: ignore[attr-defined]  # torch types it as any callable
    names = [argument.name for argument in schema.arguments[1:]]
    if len(names) != len(inputs):
        told = "--features or --samples, or for each --input NAME:DATATYPE:SHAPE, such as x:FP32:-1,28,28"
        raise CannotImport(
            f"{where}: its inputs are {', '.join(names)}, whose shapes a TorchScript file has not: {told}"
        )
    named = tuple(TensorSpec(name, spec.datatype, spec.shape) for name, spec in zip(names, inputs, strict=True))
    run = _runner(module, [spec.name for spec in named], where)
    outputs, notes = found_outputs(named, run, where)
    if was_training:
        notes.append("it was saved in training mode: it is served in evaluation mode")
    return ForeignNetwork(named, outputs, run, (), tuple(notes))


def _runner(module: torch.jit.ScriptModule, names: list[str], where: str) -> Run:
    def run(inputs: Arrays) -> dict[str, NDArray[np.generic]]:
        with torch.inference_mode():
            result = module(*(torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in names))
        if isinstance(result, Tensor):
            return {ALONE: result.numpy()}
        if isinstance(result, (tuple, list)) and all(isinstance(one, Tensor) for one in result):
            return {f"output_{i}": one.numpy() for i, one in enumerate(result)}
        raise CannotImport(f"{where}: it returns {type(result).__name__}: let its forward return a tensor, or a tuple")

    return run


class _OfTensor(nn.Module):
    """A module with the tensors of a bundle: as `onnx_rewriting` does to a graph."""

    __constants__ = ("activation", "dtype", "has_one_unit", "index")

    def __init__(self, network: torch.jit.ScriptModule, given: TensorSpec, index: int, meaning: Meaning) -> None:
        super().__init__()
        self.network = network
        self.dtype = torch.from_numpy(np.zeros(1, NUMPY_DTYPES[given.datatype])).dtype
        self.index = index
        self.activation: str = meaning.activation
        self.has_one_unit = meaning.has_one_unit

    def forward(self, features: Tensor) -> Tensor:
        """FP32 [n, features] to `probabilities` or `values` FP32 [n, columns]."""
        found = self.network(features.to(self.dtype))
        return _result(found, self.activation, self.has_one_unit)


class _OfTuple(_OfTensor):
    """The same for a module that returns several tensors."""

    def forward(self, features: Tensor) -> Tensor:
        """FP32 [n, features] to `probabilities` or `values` FP32 [n, columns]."""
        found = self.network(features.to(self.dtype))[self.index]
        return _result(found, self.activation, self.has_one_unit)


class _OfImages(nn.Module):
    """Images before a network of numbers: scaled, and their axes in its order."""

    factor: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, given: TensorSpec, image: ImageInput) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("factor", torch.from_numpy(image.factor))
        self.register_buffer("offset", torch.from_numpy(image.offset))
        self.axes = [-1, *(*image.shape, 1)[:3]]
        self.order = list(image.order_of(given, given.name))
        self.given = [-1, *given.shape[1:]]

    def forward(self, image: Tensor) -> Tensor:
        """UINT8 [n, height, width, ...] to probabilities FP32 [n, labels]."""
        pixels = image.to(torch.float32).reshape(self.axes) * self.factor + self.offset
        probabilities: Tensor = self.network(pixels.permute(self.order).reshape(self.given))
        return probabilities


def _result(found: Tensor, activation: str, has_one_unit: bool) -> Tensor:  # noqa: FBT001 - TorchScript calls it
    found = found.to(torch.float32).reshape(found.shape[0], -1)
    if activation == "softmax":
        found = torch.softmax(found, dim=1)
    if activation == "sigmoid":
        found = torch.sigmoid(found)
    return torch.cat([1 - found, found], dim=1) if has_one_unit else found


def rewrite_torchscript(module: torch.jit.ScriptModule, network: ForeignNetwork, meaning: Meaning) -> bytes:
    """The bytes of `model.pt`: FP32 features to FP32 probabilities or values, or the module as it is."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        if meaning.output is not None:
            name = meaning.output.name
            (given,) = network.inputs
            kind, index = (_OfTensor, 0) if name == ALONE else (_OfTuple, int(name.rpartition("_")[2]))
            rewritten: nn.Module = kind(module, given, index, meaning)
            if meaning.image:
                rewritten = _OfImages(rewritten, given, meaning.image)
            module = torch.jit.script(rewritten.eval())
        buffer = io.BytesIO()
        torch.jit.save(module, buffer)
    return buffer.getvalue()
