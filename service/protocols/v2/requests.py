"""The Open Inference Protocol's request, JSON with or without binary tensors behind it -> named arrays.

After `specification/protocol/inference_rest.md` of the protocol and Triton's extensions for binary data and
classification. Tensors are the network's own input: they never meet the ink normaliser.
"""

import functools
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from service.bundle.manifest import Bundle
from service.bundle.signature import NUMPY_DTYPES, Arrays, TensorSpec
from service.errors import BadRequest, NotSupported, PayloadTooLarge
from service.images.decoding import Pixel
from service.protocols.parsing import decode_json
from service.protocols.v1.vectors import as_fp32
from service.settings import Settings

MOST_PARTS = 10_000  # arrays and objects around the tensors' data
OPENING = re.compile(rb"[\[\s]*")

Dimension = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Name = Annotated[str, Meta(max_length=256)]
Parameters = Annotated[dict[str, str | int | float | bool], Meta(max_length=100)]
AnyDatatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "BF16", "FP32", "FP64", "BYTES",
]  # fmt: skip


class InferInput(msgspec.Struct):
    """One tensor: `data` flat or nested as `shape` says, row by row, or `binary_data_size` bytes behind the JSON."""

    name: Name
    shape: Annotated[list[Dimension], Meta(max_length=16)]
    datatype: AnyDatatype
    data: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "array"})] | UnsetType = UNSET
    parameters: Parameters | None = None


class InferOutput(msgspec.Struct):
    """One output that is asked for: `binary_data`, and `classification`, the number of the likeliest labels."""

    name: Name
    parameters: Parameters | None = None


class InferRequest(msgspec.Struct):
    """The request to `/infer`. Parameters that mean nothing here are passed over."""

    inputs: Annotated[list[InferInput], Meta(min_length=1, max_length=100)]
    id: Name | None = None
    outputs: Annotated[list[InferOutput], Meta(max_length=100)] | None = None
    parameters: Parameters | None = None


DECODER = msgspec.json.Decoder(InferRequest)


@dataclass(frozen=True)
class Wanted:
    """One output as it was asked for: how many of the likeliest labels, or (0) the tensor itself."""

    spec: TensorSpec
    binary: bool
    classes: int = 0


@dataclass(frozen=True)
class Inference:
    """A decoded request: the inputs by their names, and what shall come back, in order."""

    inputs: Arrays
    wanted: tuple[Wanted, ...]
    id: str | None = None


def decode(data: bytes, json_length: str | None, bundle: Bundle, settings: Settings) -> Inference:
    """The request in the body; `json_length` is its `Inference-Header-Content-Length`, None where there is no such.

    Raises a `RequestError` that names the tensor. A binary tensor is not copied: its array is a view of the body.
    """
    length = _json_length(json_length, len(data))
    if length == 0:
        return _raw(data, bundle, settings)
    if not data:
        raise BadRequest("the body is empty")
    text, behind = (data, b"") if length is None else (data[:length], memoryview(data)[length:])
    lists = sum(1 + math.prod(spec.shape[1:-1]) for spec in bundle.signature.inputs)  # of a row, nested
    request = decode_json(text, DECODER, MOST_PARTS + lists * settings.max_rows)
    arrays, used = {}, 0
    specs = {spec.name: spec for spec in bundle.signature.inputs}
    for i, tensor in enumerate(request.inputs):
        spec = specs.pop(tensor.name, None)
        if spec is None:
            wrong = "twice" if tensor.name in arrays else "unknown"
            takes = ", ".join(spec.name for spec in bundle.signature.inputs)
            raise BadRequest(f"inputs[{i}]: {tensor.name!r}: {wrong}; {bundle.name} takes {takes}")
        _check(tensor, spec, settings)
        arrays[tensor.name], taken = _array(tensor, spec, behind[used:])
        used += taken
    if specs:
        raise BadRequest(f"inputs: no {next(iter(specs))}, which {bundle.name} takes")
    if used != len(behind):
        raise BadRequest(f"{len(behind) - used} bytes are left behind the last binary tensor")
    return Inference(arrays, _wanted(request, bundle), request.id)


def _json_length(header: str | None, whole: int) -> int | None:
    if header is None:
        return None
    if not (header.isascii() and header.isdecimal() and len(header) <= 20 and int(header) <= whole):
        raise BadRequest(f"Inference-Header-Content-Length {header[:40]}: the JSON's length, 0 to the body's {whole}")
    return int(header)


def _raw(data: bytes, bundle: Bundle, settings: Settings) -> Inference:
    """No JSON at all: the body is the only input, as many rows as there are; all outputs come back binary."""
    (spec, *more) = bundle.signature.inputs
    if more:
        raise BadRequest(f"a raw request is for models of one input: {bundle.name} takes {len(more) + 1}")
    row = _bytes(spec, [1, *spec.shape[1:]])
    if not data or len(data) % row:
        raise BadRequest(f"{spec.name}: {len(data)} bytes are no whole rows of {row}, which {_said(spec)} has")
    _limit(len(data) // row, spec.name, settings)
    array = np.frombuffer(data, NUMPY_DTYPES[spec.datatype]).reshape(spec.shape)
    return Inference({spec.name: array}, tuple(Wanted(output, binary=True) for output in bundle.signature.outputs))


def _said(spec: TensorSpec) -> str:
    return f"{spec.datatype} {list(spec.shape)}"


def _bytes(spec: TensorSpec, shape: list[int]) -> int:
    return math.prod(shape) * NUMPY_DTYPES[spec.datatype].itemsize


def _limit(rows: int, name: str, settings: Settings) -> None:
    if rows > settings.max_rows:
        raise PayloadTooLarge(f"{name}: {rows} rows in one request: at most {settings.max_rows}")


def _check(tensor: InferInput, spec: TensorSpec, settings: Settings) -> None:
    """Type and shape, before anything is made of them."""
    if tensor.datatype != spec.datatype:
        raise BadRequest(f"{spec.name}: datatype {tensor.datatype}, expected {spec.datatype}")
    if len(tensor.shape) != len(spec.shape) or tuple(tensor.shape[1:]) != spec.shape[1:]:
        raise BadRequest(f"{spec.name}: shape {tensor.shape}, expected {list(spec.shape)}")
    if tensor.shape[0] == 0:
        raise BadRequest(f"{spec.name}: shape {tensor.shape}: no rows: send at least one")
    _limit(tensor.shape[0], spec.name, settings)


def _array(tensor: InferInput, spec: TensorSpec, behind: memoryview | bytes) -> tuple[NDArray[Any], int]:
    """The tensor's array, and how many bytes behind the JSON it took."""
    parameters = tensor.parameters or {}
    if "shared_memory_region" in parameters:
        raise NotSupported(f"{spec.name}: shared memory: send the data in the body")
    size = parameters.get("binary_data_size")
    if (size is None) == (tensor.data is UNSET):
        raise BadRequest(f"{spec.name}: send either data or the parameter binary_data_size")
    if isinstance(tensor.data, msgspec.Raw):
        return _numbers(bytes(tensor.data), spec, tensor.shape), 0
    expected = _bytes(spec, tensor.shape)
    if type(size) is not int or size != expected:
        raise BadRequest(f"{spec.name}: binary_data_size {size}: shape {tensor.shape} of {spec.datatype} is {expected}")
    if len(behind) < expected:
        raise BadRequest(f"{spec.name}: {expected} bytes expected behind the JSON, {len(behind)} are there")
    array = np.frombuffer(behind[:expected], NUMPY_DTYPES[spec.datatype]).reshape(tensor.shape)
    return np.require(array, requirements="A"), expected  # a copy only where FP32 begins in the midst of a word


def _numbers(data: bytes, spec: TensorSpec, shape: list[int]) -> NDArray[Any]:
    """JSON's numbers: as many as the shape holds is known before one of them is read."""
    opened = OPENING.match(data)
    depth = opened.group().count(b"[") if opened else 0
    if depth not in (1, len(shape)):
        raise BadRequest(f"{spec.name}: data nested {depth} deep: flat, or nested as shape {shape} says")
    if (count := data.count(b",") + 1) != math.prod(shape):
        raise BadRequest(f"{spec.name}: {count} values in data, expected {math.prod(shape)} for shape {shape}")
    array: NDArray[Any]
    values = decode_json(data, _decoder(spec.datatype == "UINT8", depth), root=f"{spec.name}: data")
    try:
        array = np.array(values, np.uint8) if spec.datatype == "UINT8" else as_fp32(values)
    except ValueError:  # lists of several lengths
        array = np.empty(0)
    if array.shape != (tuple(shape) if depth > 1 else (math.prod(shape),)):
        raise BadRequest(f"{spec.name}: data is not nested as shape {shape} says")
    if spec.datatype == "FP32" and not np.isfinite(array).all():
        at = "".join(f"[{i}]" for i in np.argwhere(~np.isfinite(array))[0])
        raise BadRequest(f"{spec.name}: data{at} is not a finite FP32 number")
    return array.reshape(shape)


@functools.cache
def _decoder(pixels: bool, depth: int) -> msgspec.json.Decoder[Any]:  # noqa: FBT001 - a cache's key
    kind: Any = Pixel if pixels else float
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def _wanted(request: InferRequest, bundle: Bundle) -> tuple[Wanted, ...]:
    """The outputs that are asked for, in that order; all of them where none is."""
    binary = _flag(request.parameters, "binary_data_output", otherwise=False)
    specs = {spec.name: spec for spec in bundle.signature.outputs}
    wanted: list[Wanted] = []
    for i, output in enumerate(request.outputs or [InferOutput(name) for name in specs]):
        spec = specs.pop(output.name, None)
        if spec is None:
            wrong = "twice" if any(one.spec.name == output.name for one in wanted) else "unknown"
            gives = ", ".join(spec.name for spec in bundle.signature.outputs)
            raise BadRequest(f"outputs[{i}]: {output.name!r}: {wrong}; {bundle.name} gives {gives}")
        parameters = output.parameters or {}
        if "shared_memory_region" in parameters:
            raise NotSupported(f"outputs[{i}]: shared memory: take the data from the body")
        classes = parameters.get("classification", 0)
        if type(classes) is not int or ("classification" in parameters and classes < 1):
            raise BadRequest(f"outputs[{i}]: classification {classes}: how many labels, from 1 up")
        wanted.append(Wanted(spec, _flag(parameters, "binary_data", otherwise=binary), classes))
    return tuple(wanted)


def _flag(parameters: Parameters | None, name: str, *, otherwise: bool) -> bool:
    found = (parameters or {}).get(name, otherwise)
    if not isinstance(found, bool):
        raise BadRequest(f"{name} {found}: true or false")
    return found
