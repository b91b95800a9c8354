"""The elements of a tensor in JSON, by its data type: what is accepted, and how lists of them become an array."""

from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.bundle.signature import FLOATS, NUMPY_DTYPES, Datatype, TensorSpec
from service.errors import BadRequest
from service.protocols.parsing import FLOAT_BYTES, PIXEL_BYTES, Pixel, as_fp32

TEXT_BYTES = 150  # of a short text as Python holds it in a list, and in an array
INT64 = np.iinfo(np.int64)  # beyond it msgspec checks no bounds


def element_type(datatype: Datatype, *, nullable: bool = False) -> Any:
    """The type of one element in JSON; null too, if it is `nullable`, which is NaN then."""
    if datatype == "UINT8":
        return Pixel
    kind: Any = {"BOOL": bool, "BYTES": str}.get(datatype, float)
    if datatype not in FLOATS and kind is float:
        bounds = np.iinfo(NUMPY_DTYPES[datatype])
        kind = Annotated[int, msgspec.Meta(ge=max(bounds.min, INT64.min), le=min(bounds.max, INT64.max))]
    return kind | None if nullable else kind


def nested(kind: Any, depth: int) -> Any:
    """The type of lists of elements, in lists, to this depth."""
    for _ in range(depth):
        kind = list[kind]
    return kind


def element_bytes(datatype: Datatype) -> int:
    """The most bytes that one element takes while it is parsed and becomes a part of an array."""
    return {"UINT8": PIXEL_BYTES, "BYTES": TEXT_BYTES}.get(datatype, FLOAT_BYTES)


def to_array(values: Any, datatype: Datatype) -> NDArray[Any]:
    """An array of elements of `element_type`, nested as they are; numbers are rounded to the data type.

    Numbers too large for it become infinities. Raises `ValueError` for lists of different lengths.
    """
    if datatype == "FP32":
        return as_fp32(values)
    with np.errstate(over="ignore"):
        if datatype == "FP16":
            return np.array(values, np.float64).astype(np.float16)
        return np.array(values, NUMPY_DTYPES[datatype])


def check_finite(array: NDArray[Any], spec: TensorSpec, where: str, *, nullable: bool = False) -> None:
    """Raise `BadRequest` with the place of the first infinity, or NaN unless it is `nullable`."""
    if spec.datatype not in FLOATS:
        return
    not_finite = np.isinf(array) if nullable else ~np.isfinite(array)
    if not_finite.any():
        at = "".join(f"[{i}]" for i in np.argwhere(not_finite)[0])
        raise BadRequest(f"{where}{at} is not a finite {spec.datatype} number")
