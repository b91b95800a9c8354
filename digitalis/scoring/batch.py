"""What is read and predicted at a time."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class InputError(Exception):
    """Why nothing can be predicted; the message names the file, and says what would be right."""


class Batch(NamedTuple):
    """Rows of one file, with their numbers from 1 on, INT64; of pictures their paths, each of which is one row.

    `broken` says of further rows why they could not be read.
    """

    source: str
    rows: NDArray[np.int64]
    content: "pa.RecordBatch | NDArray[np.generic] | list[str]"
    broken: Mapping[int, str] = {}  # a Mapping: never changed

    def __len__(self) -> int:
        return len(self.content)
