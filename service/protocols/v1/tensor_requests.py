"""Requests to models of which only the signature is known -> named arrays, one row of each for every instance.

An instance is as in TensorFlow Serving's row format: a nested list, or an element alone, for a model with one input; an
object of those by the inputs' names for several.
"""

import functools
import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Bundle
from service.bundle.signature import Arrays, Signature, TensorSpec
from service.errors import BadRequest
from service.http.body import Body
from service.http.messages import JSON, Request
from service.protocols.parsing import LARGE_BODY, decode_json, parsing_memory
from service.protocols.tensor_values import check_finite, element_bytes, element_type, nested, to_array
from service.protocols.v1.counts import check_rows
from service.protocols.v1.decoded import DecodedRequest
from service.settings import Settings

EXTRA_INSTANCES = 100  # parsed beyond the limit, so that the message can say how many there are


def decode(body: Body, bundle: Bundle, request: Request) -> DecodedRequest:
    """All instances of a body, in order. Raises a `RequestError` that names the one that failed."""
    return DecodedRequest(_arrays(body, bundle, request))


def _arrays(body: Body, bundle: Bundle, request: Request) -> Arrays:
    signature, settings = bundle.signature, request.settings
    if len(body.data) <= LARGE_BODY:
        return _decode(body.data, signature, settings, None)
    rows = settings.max_rows + EXTRA_INSTANCES
    arrays = len(body.data)
    if signature.has_fixed_rows:
        arrays = rows * (1 + sum(1 + math.prod(spec.shape[1:-1]) for spec in signature.inputs))
    largest = max(element_bytes(spec.datatype) for spec in signature.inputs)
    with request.reserve(parsing_memory(body.data, largest, arrays)):
        return _decode(body.data, signature, settings, arrays)


def media_types(bundle: Bundle) -> dict[str, Any]:
    """The media type that is accepted, and the type of what it contains."""
    return {JSON: _decoder(bundle.signature).type}


def example(bundle: Bundle) -> dict[str, Any]:
    """An example body: one instance of zeros."""
    rows = {name: batch.tolist()[0] for name, batch in bundle.signature.zeros(1).items()}
    return {"instances": [rows if len(rows) > 1 else next(iter(rows.values()))]}


def _decode(data: bytes, signature: Signature, settings: Settings, max_arrays: int | None) -> Arrays:
    instances = decode_json(data, _decoder(signature), max_arrays).instances
    check_rows(len(instances), settings, "instances")
    if len(signature.inputs) == 1:
        (spec,) = signature.inputs
        return {spec.name: _batch(instances, spec, "instances[{}]")}
    columns = zip(*map(msgspec.structs.astuple, instances), strict=True)
    return {
        spec.name: _batch(column, spec, f"instances[{{}}].{spec.name}")
        for spec, column in zip(signature.inputs, columns, strict=True)
    }


def _batch(rows: Any, spec: TensorSpec, where: str) -> NDArray[Any]:
    """The rows of one input as an array, [n, ...]; `where` has a place for the index of a row."""
    parts = [_row(row, spec, where.format(i)) for i, row in enumerate(rows)]
    if any(part.shape != parts[0].shape for part in parts):
        i = next(i for i, part in enumerate(parts) if part.shape != parts[0].shape)
        shapes = f"{list(parts[i].shape)}, and that of the first instance {list(parts[0].shape)}"
        raise BadRequest(f"{where.format(i)}: its shape is {shapes}: all in one request must have one shape")
    return np.stack(parts)


def _row(row: Any, spec: TensorSpec, where: str) -> NDArray[Any]:
    expected = spec.shape[1:]
    if expected == (1,) and not isinstance(row, list):
        row = [row]
    try:
        array = to_array(row, spec.datatype)
    except ValueError:
        raise BadRequest(f"{where}: its lists have different lengths, expected shape {_shown(expected)}") from None
    if not spec.fits((1, *array.shape)):
        raise BadRequest(f"{where}: its shape is {list(array.shape)}, expected {_shown(expected)}")
    check_finite(array, spec, where)
    return array


def _shown(shape: tuple[int, ...]) -> str:
    return f"[{', '.join('any' if size == -1 else str(size) for size in shape)}]"


def _value_type(spec: TensorSpec) -> Any:
    """A row of an input in JSON: a nested list; an element alone too, if a row is one."""
    element = element_type(spec.datatype)
    row = nested(element, len(spec.shape) - 1)
    return row | element if spec.shape[1:] == (1,) else row


@functools.lru_cache(256)
def _decoder(signature: Signature) -> msgspec.json.Decoder[Any]:
    """The V1 request of these inputs as a type."""
    types = [_value_type(spec) for spec in signature.inputs]
    instance: Any = types[0]
    if len(types) > 1:
        names = {f"input_{i}": spec.name for i, spec in enumerate(signature.inputs)}
        instance = msgspec.defstruct(
            "NamedInputs", list(zip(names, types, strict=True)), rename=names, forbid_unknown_fields=True
        )
    fields: list[Any] = [("instances", nested(instance, 1)), ("signature_name", str | None, None)]
    return msgspec.json.Decoder(msgspec.defstruct("TensorInstances", fields))
