"""Arrays to the Open Inference Protocol's answer: JSON, and binary tensors behind it."""

from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from service.bundle.manifest import Bundle
from service.bundle.signature import Arrays
from service.protocols.v2.requests import Inference, Wanted

Buffer = bytes | memoryview


class BinarySize(msgspec.Struct):
    """How many bytes of a tensor are behind the JSON, those of the outputs before it first."""

    binary_data_size: int


class ResponseOutput(msgspec.Struct):
    """One tensor, `data` flat, row by row; BYTES are texts, `value:index:label` for a classification."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float | str] | UnsetType = UNSET
    parameters: BinarySize | UnsetType = UNSET


class InferResponse(msgspec.Struct):
    """The answer to `/infer`; `outputs` are in the order in which they were asked for."""

    model_name: str
    model_version: str
    outputs: list[ResponseOutput]
    id: str | UnsetType = UNSET


def encode(bundle: Bundle, inference: Inference, outputs: Arrays) -> tuple[InferResponse, list[Buffer]]:
    """The answer, and the bytes of the tensors that are to stand behind its JSON: the arrays' own memory."""
    found: list[ResponseOutput] = []
    behind: list[Buffer] = []
    for wanted in inference.wanted:
        array = outputs[wanted.spec.name]
        texts = _classified(bundle, wanted, array) if wanted.classes else None
        shape = [len(array), len(texts) // len(array)] if texts is not None else list(array.shape)
        output = ResponseOutput(wanted.spec.name, "BYTES" if texts is not None else wanted.spec.datatype, shape)
        if wanted.binary:
            behind.append(
                np.ascontiguousarray(array).data.cast("B") if texts is None else b"".join(map(_counted, texts))
            )
            output.parameters = BinarySize(len(behind[-1]))
        else:
            output.data = array.ravel().tolist() if texts is None else list[float | str](texts)
        found.append(output)
    name = UNSET if inference.id is None else inference.id
    return InferResponse(bundle.name, bundle.version, found, name), behind


def _counted(text: str) -> bytes:
    """An element of a binary BYTES tensor: its length first, little-endian."""
    content = text.encode()
    return len(content).to_bytes(4, "little") + content


def _classified(bundle: Bundle, wanted: Wanted, array: NDArray[Any]) -> list[str]:
    """`value:index:label` of each row's largest values, the largest first."""
    labels = bundle.labels if wanted.spec.name == "probabilities" else ()
    best = np.argsort(-array, axis=1, kind="stable")[:, : wanted.classes]
    return [
        f"{array[row, i]:f}:{i}" + (f":{labels[i]}" if labels else "")
        for row, indices in enumerate(best.tolist())
        for i in indices
    ]
