"""A batch of a table -> the network's input: what a V1 request accepts is accepted here, cell by cell."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.bundle.features import check_values
from service.bundle.manifest import Column
from service.bundle.signature import NotFinite, SignatureMismatch
from service.protocols.v1.feature_values import UnknownValue, number_in_cell

Floats = NDArray[np.float32]
Rejected = dict[int, str]
"""By the index of a row why it has no prediction."""


def to_features(block: pa.RecordBatch, features: tuple[Column, ...]) -> tuple[Floats, Rejected]:
    """FP32 [n, features]; rows that are rejected are NaN."""
    rejected: Rejected = {}
    columns = [_numbers(block.column(feature.name), feature, rejected) for feature in features]
    rows = np.stack(columns, axis=1) if columns else np.empty((block.num_rows, 0), np.float32)
    for index in _doubtful(rows):
        if index not in rejected:
            try:
                check_values(features, rows[index : index + 1])
            except (NotFinite, SignatureMismatch) as error:
                rejected[index] = str(error).removeprefix("row 0: ")
    return rows, rejected


def _numbers(column: pa.Array, feature: Column, rejected: Rejected) -> Floats:
    """The numbers of a column: all at once, if all are plain; otherwise each cell as its feature says."""
    if not feature.categories and not column.null_count:
        try:
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is rejected
                return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), np.float32)
        except pa.ArrowException:
            pass  # some cell is no number: which, and why
    numbers = np.full(len(column), np.nan, np.float32)
    for index, value in enumerate(column.to_pylist()):
        try:
            numbers[index] = number_in_cell("" if value is None else _as_text(value), feature)
        except UnknownValue as error:
            rejected.setdefault(index, str(error))
    return numbers


def _as_text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _doubtful(rows: Floats) -> list[int]:
    """The rows with a number that is not finite."""
    found: list[int] = np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist()
    return found
