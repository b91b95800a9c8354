"""The request of `/infer`, JSON with or without binary tensors after it -> named arrays.

It follows `specification/protocol/inference_rest.md` of the protocol, and Triton's extensions for binary data and
classification. Tensors are the network's own input: the normaliser is never applied to them.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.bundle.manifest import Bundle
from service.bundle.signature import Arrays, TensorSpec
from service.errors import BadRequest, NotSupported, PayloadTooLarge
from service.http.messages import Request
from service.protocols.examples import example_batch
from service.protocols.parsing import LARGE_BODY, decode_json, parsing_memory
from service.protocols.tensor_values import element_bytes
from service.protocols.v2.tensors import (
    InferInput,
    Name,
    Parameters,
    byte_size,
    check_rows,
    check_tensor,
    decode_tensor,
    from_bytes,
)
from service.settings import Settings

MAX_ARRAYS = 10_000  # arrays and objects around the tensors' data
MAX_FIELDS = 25_000  # fields and parameters of 100 inputs and outputs, and colons in names
SHAPE_FACTOR = 10  # times its bytes: an integer of three digits as Python holds it in a list


class InferOutput(msgspec.Struct):
    """One requested output; its parameters are `binary_data`, and `classification`, the number of labels to return."""

    name: Name
    parameters: Parameters | None = None


class InferRequest(msgspec.Struct):
    """The request of `/infer`. Unknown parameters are ignored."""

    inputs: Annotated[list[InferInput], Meta(min_length=1, max_length=100)]
    id: Name | None = None
    outputs: Annotated[list[InferOutput], Meta(max_length=100)] | None = None
    parameters: Parameters | None = None


DECODER = msgspec.json.Decoder(InferRequest)


@dataclass(frozen=True)
class RequestedOutput:
    """One requested output: the tensor itself (`classes` is 0), or the `classes` most likely labels."""

    spec: TensorSpec
    binary: bool
    classes: int = 0


@dataclass(frozen=True)
class DecodedInferRequest:
    """The inputs by name, and the requested outputs, in order."""

    inputs: Arrays
    outputs: tuple[RequestedOutput, ...]
    id: str | None = None


def decode(data: bytes, json_length: str | None, bundle: Bundle, request: Request) -> DecodedInferRequest:
    """Decode a body; `json_length` is the request's `Inference-Header-Content-Length`, None without that header.

    Raises a `RequestError` that names the tensor. A binary tensor is not copied: its array is a view of the body.
    """
    length = _json_length(json_length, len(data))
    if length == 0:
        return _raw(data, bundle, request.settings)
    if not data:
        raise BadRequest("the body is empty")
    text, tail = (data, b"") if length is None else (data[:length], memoryview(data)[length:])
    max_arrays = _max_arrays(bundle, request.settings)
    if len(text) <= LARGE_BODY:
        return _json(text, tail, bundle, request.settings, max_arrays)
    if text.count(b":") > MAX_FIELDS:
        raise PayloadTooLarge("more fields and parameters than one request may have")
    with request.reserve(_parsing_memory(text, bundle, max_arrays)):
        return _json(text, tail, bundle, request.settings, max_arrays)


def _max_arrays(bundle: Bundle, settings: Settings) -> int | None:
    """How many arrays and objects the largest request has; None if dimensions may be of any size."""
    if not bundle.signature.has_fixed_rows:
        return None
    lists = sum(1 + math.prod(spec.shape[1:-1]) for spec in bundle.signature.inputs)  # of a row, if it is nested
    return MAX_ARRAYS + lists * settings.max_rows


def _parsing_memory(text: bytes, bundle: Bundle, max_arrays: int | None) -> int:
    inputs = bundle.signature.inputs
    largest = max(element_bytes(spec.datatype) for spec in inputs)
    data = parsing_memory(text, largest, len(text) if max_arrays is None else max_arrays)
    # The numbers are copied before they are parsed; a shape is parsed before its length is checked.
    return max(data + len(text), SHAPE_FACTOR * len(text))


def _json(
    text: bytes, tail: memoryview | bytes, bundle: Bundle, settings: Settings, max_arrays: int | None
) -> DecodedInferRequest:
    request = decode_json(text, DECODER, max_arrays)
    arrays, used = {}, 0
    specs = {spec.name: spec for spec in bundle.signature.inputs}
    nullable = any(feature.may_be_missing for feature in bundle.features)
    for i, tensor in enumerate(request.inputs):
        spec = specs.pop(tensor.name, None)
        if spec is None:
            wrong = "twice" if tensor.name in arrays else "unknown"
            known = ", ".join(spec.name for spec in bundle.signature.inputs)
            raise BadRequest(f"inputs[{i}]: {tensor.name!r}: {wrong}; the inputs of {bundle.name} are {known}")
        check_tensor(tensor, spec, settings)
        arrays[tensor.name], taken = decode_tensor(tensor, spec, tail[used:], nullable=nullable)
        used += taken
    if specs:
        raise BadRequest(f"inputs: {next(iter(specs))} is missing, which {bundle.name} requires")
    if used != len(tail):
        raise BadRequest(f"{len(tail) - used} bytes are left after the last binary tensor")
    return DecodedInferRequest(arrays, _requested_outputs(request, bundle), request.id)


def _json_length(header: str | None, body_length: int) -> int | None:
    if header is None:
        return None
    if not (header.isascii() and header.isdecimal() and len(header) <= 20 and int(header) <= body_length):
        raise BadRequest(
            f"Inference-Header-Content-Length {header[:40]}: expected the length of the JSON, 0 to {body_length} bytes"
        )
    return int(header)


def _raw(data: bytes, bundle: Bundle, settings: Settings) -> DecodedInferRequest:
    """A raw request, without JSON: the body is the only input, of as many rows as it has; all outputs are binary."""
    (spec, *more) = bundle.signature.inputs
    if more:
        raise BadRequest(f"a raw request is for models with one input: {bundle.name} has {len(more) + 1}")
    if spec.datatype == "BYTES" or not spec.has_fixed_rows:
        raise BadRequest(f"a raw request is for rows of one size: {spec.name} is {spec.datatype} {list(spec.shape)}")
    row = byte_size(spec, [1, *spec.shape[1:]])
    if not data or len(data) % row:
        one = f"{spec.datatype} {[1, *spec.shape[1:]]}"
        raise BadRequest(f"{spec.name}: {len(data)} bytes are not a multiple of {row}, the size of a row, {one}")
    check_rows(len(data) // row, spec.name, settings)
    array = from_bytes(data, spec, [len(data) // row, *spec.shape[1:]])
    return DecodedInferRequest(
        {spec.name: array}, tuple(RequestedOutput(output, binary=True) for output in bundle.signature.outputs)
    )


def _requested_outputs(request: InferRequest, bundle: Bundle) -> tuple[RequestedOutput, ...]:
    """The requested outputs, in order; all outputs if none is named."""
    binary = _flag(request.parameters, "binary_data_output", default=False)
    specs = {spec.name: spec for spec in bundle.signature.outputs}
    requested: list[RequestedOutput] = []
    for i, output in enumerate(request.outputs or [InferOutput(name) for name in specs]):
        spec = specs.pop(output.name, None)
        if spec is None:
            wrong = "twice" if any(one.spec.name == output.name for one in requested) else "unknown"
            known = ", ".join(spec.name for spec in bundle.signature.outputs)
            raise BadRequest(f"outputs[{i}]: {output.name!r}: {wrong}; the outputs of {bundle.name} are {known}")
        parameters = output.parameters or {}
        if "shared_memory_region" in parameters:
            raise NotSupported(f"outputs[{i}]: shared memory is not supported: outputs are in the body of the response")
        classes = parameters.get("classification", 0)
        if type(classes) is not int or ("classification" in parameters and classes < 1):
            raise BadRequest(f"outputs[{i}]: classification {classes}: expected the number of labels, from 1 up")
        if classes and (len(spec.shape) != 2 or spec.datatype in ("BYTES", "BOOL")):
            found = f"{spec.name} is {spec.datatype} {list(spec.shape)}"
            raise BadRequest(f"outputs[{i}]: classification is of scores, [n, labels]: {found}")
        requested.append(RequestedOutput(spec, _flag(parameters, "binary_data", default=binary), classes))
    return tuple(requested)


def _flag(parameters: Parameters | None, name: str, *, default: bool) -> bool:
    found = (parameters or {}).get(name, default)
    if not isinstance(found, bool):
        raise BadRequest(f"{name} {found}: expected true or false")
    return found


def example(bundle: Bundle) -> dict[str, Any]:
    """An example body for `/infer`."""
    specs = bundle.signature.inputs
    batches = [spec.zeros(1) for spec in specs] if bundle.takes_tensors else [example_batch(bundle)]
    return {
        "inputs": [
            {"name": spec.name, "shape": [*batch.shape], "datatype": spec.datatype, "data": batch.ravel().tolist()}
            for spec, batch in zip(specs, batches, strict=True)
        ]
    }
