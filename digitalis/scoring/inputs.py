"""Files -> batches: tables in CSV and Parquet, arrays in `.npy`, pictures. The same files give the same batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from service.bundle.manifest import Bundle

TABLES, ARRAYS = (".csv", ".parquet"), (".npy",)
MAX_BATCH_BYTES = 2**26  # of an array
CSV_BLOCK = 2**20  # bytes that are read of a CSV file at a time


class InputError(Exception):
    """A file that cannot be read; the message names it, and says what would be right."""


class Batch(NamedTuple):
    """Rows of one file, from `first` on, counted from 1; of pictures their paths, each of which is one row."""

    source: str
    first: int
    content: "pa.RecordBatch | NDArray[np.generic] | list[str]"

    def __len__(self) -> int:
        return len(self.content)


def find_files(given: Sequence[Path]) -> list[Path]:
    """The files that are given, and those in the folders that are, sorted; raises `InputError` for one without any."""
    found: list[Path] = []
    for path in given:
        inside = (one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
        files = sorted(inside) if path.is_dir() else [path]
        if not files or not all(one.exists() for one in files):
            raise InputError(f"{path}: no file there")
        found += files
    return found


def count_rows(files: Sequence[Path]) -> int | None:
    """All rows of these files; None if one would have to be read for that, as CSV has to, or cannot be."""
    try:
        return sum(map(_rows_in, files))
    except (OSError, ValueError, pa.ArrowException):
        return None


def _rows_in(path: Path) -> int:
    match path.suffix.lower():
        case ".csv":
            raise ValueError("it says nowhere how many rows it has")
        case ".parquet":
            rows: int = pq.ParquetFile(path).metadata.num_rows
            return rows
        case ".npy":
            return len(np.load(path, mmap_mode="r"))
    return 1


def batches(files: Sequence[Path], bundle: Bundle, rows: int, pictures: int) -> Iterator[Batch]:
    """All batches for a model: of at most so many rows (of CSV as many as are in a block), or pictures."""
    others = []
    for path in files:
        try:
            if path.suffix.lower() in ARRAYS:
                array = np.load(path, mmap_mode="r")
                step = min(rows, max(1, MAX_BATCH_BYTES * len(array) // max(array.nbytes, 1)))
                yield from (Batch(str(path), at + 1, array[at : at + step]) for at in range(0, len(array), step))
            elif path.suffix.lower() in TABLES and not bundle.takes_images:
                columns = [feature.name for feature in bundle.features]
                yield from _csv(path, columns) if path.suffix.lower() == ".csv" else _parquet(path, columns, rows)
            else:
                others.append(str(path))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InputError(f"{path}: {error}") from None
    if others and not bundle.takes_images:
        raise InputError(f"{others[0]}: expected a table in CSV or Parquet, or an array in .npy, for {bundle.id}")
    for at in range(0, len(others), pictures):
        yield Batch("", at + 1, others[at : at + pictures])


def _csv(path: Path, columns: Sequence[str]) -> Iterator[Batch]:
    """As text: what is a number is decided cell by cell, as in requests."""
    reader = pyarrow.csv.open_csv(
        path,
        pyarrow.csv.ReadOptions(block_size=CSV_BLOCK),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
    )
    _check_columns(path, columns, reader.schema.names)
    first = 1
    for block in reader:
        yield Batch(str(path), first, block.select(list(columns)))
        first += block.num_rows


def _parquet(path: Path, columns: Sequence[str], rows: int) -> Iterator[Batch]:
    file = pq.ParquetFile(path)
    _check_columns(path, columns, file.schema_arrow.names)
    first = 1
    for block in file.iter_batches(batch_size=rows, columns=list(columns)):
        yield Batch(str(path), first, block)
        first += block.num_rows


def _check_columns(path: Path, columns: Sequence[str], found: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in found]:
        raise InputError(f"{path}: it has no column {', '.join(map(repr, missing))}: there are {', '.join(found)}")
