"""The inputs and outputs of a model: names, data types and shapes.

The vocabulary is the Open Inference Protocol's: data types such as `UINT8`, `FP32` and `BYTES` (text); -1 is a
dimension of any size.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]  # fmt: skip

NUMPY_DTYPES: dict[Datatype, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),  # of str
}
FLOATS = frozenset({"FP16", "FP32", "FP64"})
DATATYPES: dict[np.dtype[Any], Datatype] = {dtype: name for name, dtype in NUMPY_DTYPES.items()}


class SignatureMismatch(Exception):
    """Arrays do not match the signature; the message names the tensor, what was found and what was expected."""


class NotFinite(SignatureMismatch):
    """An array has the right name, data type and shape, but contains NaN or an infinity."""


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tensor: name, data type, and shape, whose first dimension is the batch; -1 is a dimension of any size."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]

    def check(self, array: NDArray[Any], *, finite: bool = True) -> None:
        """Raise `SignatureMismatch` unless the array has this data type and shape and, if so asked, is finite."""
        if array.dtype != NUMPY_DTYPES[self.datatype]:
            found = DATATYPES.get(array.dtype, str(array.dtype))
            raise SignatureMismatch(f"{self.name} is {found}, expected {self.datatype}")
        if array.shape[1:] != self.shape[1:] and not self.fits(array.shape):
            raise SignatureMismatch(f"{self.name} has shape {list(array.shape)}, expected {list(self.shape)}")
        if finite and self.datatype in FLOATS and not all_finite(array):
            raise NotFinite(f"{self.name} contains NaN or an infinity, expected finite numbers")

    @property
    def has_fixed_rows(self) -> bool:
        """Whether all rows have one shape, so that those of several requests can be one batch."""
        return -1 not in self.shape[1:]

    def zeros(self, rows: int) -> NDArray[Any]:
        """A batch of zeros, or of empty texts; a dimension of any size is 1."""
        shape = (rows, *(abs(size) for size in self.shape[1:]))
        return np.full(shape, "" if self.datatype == "BYTES" else 0, NUMPY_DTYPES[self.datatype])

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape has the right number of dimensions, and the right size where one is given."""
        sizes = zip(shape, self.shape, strict=False)
        return len(shape) == len(self.shape) and all(expected in (-1, size) for size, expected in sizes)


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The inputs and outputs of a model, in order; the first dimension of each is the batch."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def has_fixed_rows(self) -> bool:
        """Whether all rows of each input have one shape."""
        return all(spec.has_fixed_rows for spec in self.inputs)

    def zeros(self, rows: int = 1) -> Arrays:
        """Inputs for a batch, all zero: enough to test whether a device can run the model, and how fast."""
        return {spec.name: spec.zeros(rows) for spec in self.inputs}

    def check_inputs(self, arrays: Arrays, *, finite: bool = True) -> None:
        """Raise `SignatureMismatch` unless these are exactly the inputs."""
        _check(self.inputs, arrays, finite=finite)

    def check_outputs(self, arrays: Arrays) -> None:
        """Raise `SignatureMismatch` unless these are exactly the outputs."""
        _check(self.outputs, arrays, finite=True)


def batch_size(arrays: Arrays) -> int:
    """The number of rows, which is the same in all of a model's inputs, or outputs."""
    return len(next(iter(arrays.values())))


def all_finite(array: NDArray[Any]) -> bool:
    """Whether an array contains neither NaN nor an infinity.

    The sum of squares is the fast test: it is not finite if any element is not (or if the squares overflow).
    """
    return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())


def _check(specs: tuple[TensorSpec, ...], arrays: Arrays, *, finite: bool) -> None:
    if len(specs) != len(arrays) or any(spec.name not in arrays for spec in specs):
        names = sorted(spec.name for spec in specs)
        raise SignatureMismatch(f"found {sorted(arrays)}, expected {names}")
    for spec in specs:
        spec.check(arrays[spec.name], finite=finite)
    if len(specs) == 1:
        return
    rows = {spec.name: len(arrays[spec.name]) for spec in specs}
    if len(set(rows.values())) > 1:
        raise SignatureMismatch(f"the numbers of rows differ: {', '.join(f'{n} {count}' for n, count in rows.items())}")
