"""Rows that a network is for: examples of its inputs, and the ranges that it was trained in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import CannotImport
from training.tables.columns import check_numbers
from training.tables.reading import read_table

MAX_ROWS = 100_000  # of which ranges and baselines are made


@dataclass(frozen=True)
class Samples:
    """The names of columns, and their values FP32 [n, columns], NaN where a cell is empty."""

    names: tuple[str, ...]
    values: NDArray[np.float32]


def read_samples(path: Path, features: Sequence[str], count: int) -> Samples:
    """The columns of a table (CSV, TSV, Parquet) that are called `features`, or all if they are `count`.

    Raises `DataUnavailable` or `CannotImport` with what is wrong.
    """
    table = read_table(path)
    names = tuple(features) or tuple(table.columns)
    if len(names) != count:
        raise CannotImport(
            f"{path}: {len(names)} columns ({', '.join(names)}), and the network has {count} features: --features "
            "names those that it takes, in its order"
        )
    columns = [check_numbers(table, table.column(name)).to_numpy()[:MAX_ROWS] for name in names]
    return Samples(names, np.column_stack(columns).astype(np.float32))
