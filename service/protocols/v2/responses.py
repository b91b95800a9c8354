"""Outputs to the response of `/infer`: JSON, and binary tensors after it."""

import itertools
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from service.bundle.manifest import Bundle
from service.bundle.signature import Arrays
from service.inference.training_range import input_warnings
from service.protocols.v2.requests import DecodedInferRequest, RequestedOutput

Buffer = bytes | memoryview
MAX_WARNINGS = 10  # in one response


class BinarySize(msgspec.Struct):
    """How many bytes a tensor has after the JSON; tensors are in the order of the outputs."""

    binary_data_size: int


class ResponseOutput(msgspec.Struct):
    """One tensor, `data` flat in row-major order; BYTES are texts, `value:index:label` for a classification."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float | bool | str] | UnsetType = UNSET
    parameters: BinarySize | UnsetType = UNSET


class ResponseParameters(msgspec.Struct):
    """What is doubtful: the rows of the inputs that are outside the training range, as one text."""

    warnings: str


class InferResponse(msgspec.Struct):
    """The response of `/infer`; `outputs` are in the order in which they were requested."""

    model_name: str
    model_version: str
    outputs: list[ResponseOutput]
    id: str | UnsetType = UNSET
    parameters: ResponseParameters | UnsetType = UNSET


def encode(bundle: Bundle, request: DecodedInferRequest, outputs: Arrays) -> tuple[InferResponse, list[Buffer]]:
    """The JSON part, and the bytes of the binary tensors that follow it: the arrays' own memory."""
    encoded: list[ResponseOutput] = []
    tensors: list[Buffer] = []
    for requested in request.outputs:
        array = outputs[requested.spec.name]
        strings = _texts(bundle, requested, array)
        shape = [len(array), len(strings or ()) // len(array)] if requested.classes else list(array.shape)
        output = ResponseOutput(requested.spec.name, "BYTES" if strings is not None else requested.spec.datatype, shape)
        if requested.binary:
            tensors.append(
                np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
                if strings is None
                else b"".join(map(_length_prefixed, strings))
            )
            output.parameters = BinarySize(len(tensors[-1]))
        else:
            output.data = array.ravel().tolist() if strings is None else list[float | bool | str](strings)
        encoded.append(output)
    request_id = UNSET if request.id is None else request.id
    return InferResponse(bundle.name, bundle.version, encoded, request_id, _warnings(bundle, request.inputs)), tensors


def _warnings(bundle: Bundle, inputs: Arrays) -> ResponseParameters | UnsetType:
    """As parameters of the protocol are numbers, texts or booleans, all warnings are one text."""
    warnings = input_warnings(bundle, inputs)
    found = [f"row {row}: {warning}" for row, warning in itertools.islice(warnings, MAX_WARNINGS)]
    if next(warnings, None):
        found.append("and more")
    return ResponseParameters("; ".join(found)) if found else UNSET


def _texts(bundle: Bundle, requested: RequestedOutput, array: NDArray[Any]) -> list[str] | None:
    """The elements of an output that are texts: those of a classification, or of a network; None for numbers."""
    if requested.classes:
        return _classification(bundle, requested, array)
    return array.ravel().tolist() if requested.spec.datatype == "BYTES" else None


def _length_prefixed(text: str) -> bytes:
    """An element of a binary BYTES tensor: four bytes of length, little-endian, then the text in UTF-8."""
    content = text.encode()
    return len(content).to_bytes(4, "little") + content


def _classification(bundle: Bundle, requested: RequestedOutput, array: NDArray[Any]) -> list[str]:
    """`value:index:label` of each row's largest values, in descending order."""
    labels = bundle.labels if requested.spec.name == "probabilities" else ()
    best = np.argsort(-array, axis=1, kind="stable")[:, : requested.classes]
    return [
        f"{array[row, i]:f}:{i}" + (f":{labels[i]}" if labels else "")
        for row, indices in enumerate(best.tolist())
        for i in indices
    ]
