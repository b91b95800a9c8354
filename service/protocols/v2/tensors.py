"""One tensor of an infer request, in JSON or binary -> an array."""

import functools
import math
import re
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from service.bundle.signature import NUMPY_DTYPES, TensorSpec
from service.errors import BadRequest, NotSupported, PayloadTooLarge
from service.protocols.parsing import Pixel, as_fp32, decode_json
from service.settings import Settings

OPENING_BRACKETS = re.compile(rb"[\[\s]*")

Dimension = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Name = Annotated[str, Meta(max_length=256)]
Parameters = Annotated[dict[str, str | int | float | bool], Meta(max_length=100)]
AnyDatatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "BF16", "FP32", "FP64", "BYTES",
]  # fmt: skip


class InferInput(msgspec.Struct):
    """One tensor: `data`, flat or nested like `shape`, row by row, or `binary_data_size` bytes after the JSON."""

    name: Name
    shape: Annotated[list[Dimension], Meta(max_length=16)]
    datatype: AnyDatatype
    data: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "array"})] | UnsetType = UNSET
    parameters: Parameters | None = None


def byte_size(spec: TensorSpec, shape: list[int]) -> int:
    """The bytes of a binary tensor of this shape."""
    return math.prod(shape) * NUMPY_DTYPES[spec.datatype].itemsize


def check_rows(rows: int, name: str, settings: Settings) -> None:
    """Raise `PayloadTooLarge` for more rows than one request may have."""
    if rows > settings.max_rows:
        raise PayloadTooLarge(f"{name}: {rows} rows in one request: at most {settings.max_rows}")


def check_tensor(tensor: InferInput, spec: TensorSpec, settings: Settings) -> None:
    """Check data type and shape, before any data is parsed."""
    if tensor.datatype != spec.datatype:
        raise BadRequest(f"{spec.name}: datatype {tensor.datatype}, expected {spec.datatype}")
    if len(tensor.shape) != len(spec.shape) or tuple(tensor.shape[1:]) != spec.shape[1:]:
        expected = ", ".join(["n", *map(str, spec.shape[1:])])
        raise BadRequest(f"{spec.name}: shape {tensor.shape}, expected [{expected}]")
    if tensor.shape[0] == 0:
        raise BadRequest(f"{spec.name}: shape {tensor.shape}: no rows: send at least one")
    check_rows(tensor.shape[0], spec.name, settings)


def decode_tensor(
    tensor: InferInput, spec: TensorSpec, tail: memoryview | bytes, *, nullable: bool = False
) -> tuple[NDArray[Any], int]:
    """The tensor's array, and how many of the bytes after the JSON it has used. If `nullable`, null is NaN."""
    parameters = tensor.parameters or {}
    if "shared_memory_region" in parameters:
        raise NotSupported(f"{spec.name}: shared memory is not supported: send the data in the body")
    size = parameters.get("binary_data_size")
    if (size is None) == (tensor.data is UNSET):
        raise BadRequest(f"{spec.name}: send either data or the parameter binary_data_size")
    if isinstance(tensor.data, msgspec.Raw):
        return _numbers(bytes(tensor.data), spec, tensor.shape, nullable=nullable), 0
    expected = byte_size(spec, tensor.shape)
    if type(size) is not int or size != expected:
        raise BadRequest(
            f"{spec.name}: binary_data_size {size}: shape {tensor.shape} of {spec.datatype} has {expected} bytes"
        )
    if len(tail) < expected:
        raise BadRequest(f"{spec.name}: expected {expected} bytes after the JSON, found {len(tail)}")
    array = np.frombuffer(tail[:expected], NUMPY_DTYPES[spec.datatype]).reshape(tensor.shape)
    return np.require(array, requirements="A"), expected  # copied only if FP32 is not aligned


def _numbers(data: bytes, spec: TensorSpec, shape: list[int], *, nullable: bool) -> NDArray[Any]:
    """Numbers in JSON. Their count is compared with the shape before any of them is parsed."""
    opened = OPENING_BRACKETS.match(data)
    depth = opened.group().count(b"[") if opened else 0
    if depth not in (1, len(shape)):
        raise BadRequest(f"{spec.name}: data is nested {depth} deep: expected flat, or nested like shape {shape}")
    if (count := data.count(b",") + 1) != math.prod(shape):
        raise BadRequest(f"{spec.name}: {count} values in data, expected {math.prod(shape)} for shape {shape}")
    array: NDArray[Any]
    values = decode_json(data, _decoder(_element(spec, nullable=nullable), depth), root=f"{spec.name}: data")
    try:
        array = np.array(values, np.uint8) if spec.datatype == "UINT8" else as_fp32(values)
    except ValueError:  # lists of different lengths
        array = np.empty(0)
    if array.shape != (tuple(shape) if depth > 1 else (math.prod(shape),)):
        raise BadRequest(f"{spec.name}: data is not nested like shape {shape}")
    not_finite = np.isinf(array) if nullable else ~np.isfinite(array)  # of a UINT8 array nothing is
    if not_finite.any():
        at = "".join(f"[{i}]" for i in np.argwhere(not_finite)[0])
        raise BadRequest(f"{spec.name}: data{at} is not a finite FP32 number")
    return array.reshape(shape)


def _element(spec: TensorSpec, *, nullable: bool) -> Any:
    """The type of one number in JSON."""
    if spec.datatype == "UINT8":
        return Pixel
    return float | None if nullable else float


@functools.cache
def _decoder(kind: Any, depth: int) -> msgspec.json.Decoder[Any]:
    """A decoder of such numbers in nested lists."""
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)
