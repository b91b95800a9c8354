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
from service.protocols.parsing import decode_json
from service.protocols.tensor_values import check_finite, element_type, nested, to_array
from service.settings import Settings

EMPTY = b"[], \t\r\n"
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
    """The bytes of a binary tensor of this shape, whose elements are all of one size."""
    return math.prod(shape) * NUMPY_DTYPES[spec.datatype].itemsize


def check_rows(rows: int, name: str, settings: Settings) -> None:
    """Raise `PayloadTooLarge` for more rows than one request may have."""
    if rows > settings.max_rows:
        raise PayloadTooLarge(f"{name}: {rows} rows in one request: at most {settings.max_rows} (DIGITALIS_MAX_ROWS)")


def check_tensor(tensor: InferInput, spec: TensorSpec, settings: Settings) -> None:
    """Check data type and shape, before any data is parsed."""
    if tensor.datatype != spec.datatype:
        raise BadRequest(f"{spec.name}: datatype {tensor.datatype}, expected {spec.datatype}")
    if not spec.fits(tuple(tensor.shape)):
        expected = ", ".join(["n", *("any" if size == -1 else str(size) for size in spec.shape[1:])])
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
        return _elements(bytes(tensor.data), spec, tensor.shape, nullable=nullable), 0
    if type(size) is not int or size < 0:
        size = -1
    if spec.datatype != "BYTES" and size != (expected := byte_size(spec, tensor.shape)):
        raise BadRequest(
            f"{spec.name}: binary_data_size {parameters['binary_data_size']}: shape {tensor.shape} of {spec.datatype} "
            f"has {expected} bytes"
        )
    if size < 0:
        raise BadRequest(f"{spec.name}: binary_data_size: expected a number of bytes")
    if len(tail) < size:
        raise BadRequest(f"{spec.name}: expected {size} bytes after the JSON, found {len(tail)}")
    return from_bytes(tail[:size], spec, tensor.shape), size


def from_bytes(data: memoryview | bytes, spec: TensorSpec, shape: list[int]) -> NDArray[Any]:
    """A binary tensor: a view of the bytes, which is copied only if it is not aligned; texts are always copied."""
    if spec.datatype == "BYTES":
        return np.array(_texts(data, math.prod(shape), spec.name), np.object_).reshape(shape)
    if spec.datatype == "BOOL" and (np.frombuffer(data, np.uint8) > 1).any():
        raise BadRequest(f"{spec.name}: a byte of a BOOL tensor is neither 0 nor 1")
    array = np.frombuffer(data, NUMPY_DTYPES[spec.datatype]).reshape(shape)
    return np.require(array, requirements="A")


def _texts(data: memoryview | bytes, count: int, name: str) -> list[str]:
    """The elements of a binary BYTES tensor: four bytes of length each, little-endian, then the text in UTF-8."""
    texts: list[str] = []
    at = 0
    while at < len(data) and len(texts) < count:
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        try:
            texts.append(str(data[at + 4 : end], "utf-8"))
        except UnicodeDecodeError:
            raise BadRequest(f"{name}: element {len(texts)} is not UTF-8 text") from None
        at = end
    if len(texts) != count or at != len(data):
        rule = "each is four bytes of length, little-endian, and so many bytes of text"
        raise BadRequest(f"{name}: its {len(data)} bytes are not {count} elements: {rule}")
    return texts


def _elements(data: bytes, spec: TensorSpec, shape: list[int], *, nullable: bool) -> NDArray[Any]:
    """Elements in JSON. The number of commas is compared with the shape before any of them is parsed."""
    opened = OPENING_BRACKETS.match(data)
    depth = opened.group().count(b"[") if opened else 0
    if depth not in (1, len(shape)):
        raise BadRequest(f"{spec.name}: data is nested {depth} deep: expected flat, or nested like shape {shape}")
    count, expected = data.count(b",") + bool(data.strip(EMPTY)), math.prod(shape)
    if count < expected or (count > expected and spec.datatype != "BYTES"):  # texts may have commas
        raise BadRequest(f"{spec.name}: {count} values in data, expected {expected} for shape {shape}")
    array: NDArray[Any]
    kind = element_type(spec.datatype, nullable=nullable)
    values = decode_json(data, _decoder(kind, depth), root=f"{spec.name}: data")
    try:
        array = to_array(values, spec.datatype)
    except ValueError:  # lists of different lengths
        array = np.empty(0)
    if array.shape != (tuple(shape) if depth > 1 else (expected,)):
        raise BadRequest(f"{spec.name}: data is not nested like shape {shape}")
    check_finite(array, spec, f"{spec.name}: data", nullable=nullable)
    return array.reshape(shape)


@functools.lru_cache(256)
def _decoder(kind: Any, depth: int) -> msgspec.json.Decoder[Any]:
    """A decoder of such elements in nested lists."""
    return msgspec.json.Decoder(nested(kind, depth))
