"""Tables in CSV and Parquet -> batches of rows. Cells of CSV are text: what is a number is decided as in requests."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from digitalis.scoring.batch import Batch, InputError

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
DELIMITERS = (",", ";", "\t", "|")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
CSV_BLOCK = 2**20  # bytes that are read of a CSV file at a time


def is_table(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(PARQUET + TEXT)


def check_columns(path: Path, columns: Sequence[str]) -> None:
    """Raise `InputError` unless a table has each of these columns once; its rows are not read."""
    found = pq.read_schema(path).names if is_parquet(path) else _open_csv(path).schema.names
    if missing := [name for name in columns if name not in found]:
        raise InputError(
            f"{path}: it has no column {', '.join(map(repr, missing))}: there are {', '.join(map(repr, found))}"
        )
    if twice := [name for name in columns if found.count(name) > 1]:
        raise InputError(f"{path}: more than one column has the name {', '.join(map(repr, twice))}")


def read_table(path: Path, columns: Sequence[str], rows: int) -> Iterator[Batch]:
    """The batches of a table: of at most so many rows, or those of a block of CSV."""
    yield from _parquet(path, columns, rows) if is_parquet(path) else _csv(path, columns)


def is_parquet(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(PARQUET)


def _parquet(path: Path, columns: Sequence[str], rows: int) -> Iterator[Batch]:
    first = 1
    for block in pq.ParquetFile(path).iter_batches(batch_size=rows, columns=list(columns)):
        yield Batch(str(path), np.arange(first, first + block.num_rows), block)
        first += block.num_rows


def _csv(path: Path, columns: Sequence[str]) -> Iterator[Batch]:
    """A row with too few or too many cells is counted like the others, and belongs to the batch that it stands in."""
    broken: dict[int, str] = {}

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        broken[row.number - 1] = f"the row has {row.actual_columns} cells, expected {row.expected_columns}"
        return "skip"

    following, told = 1, 0
    for block in _open_csv(path, columns, skip):
        numbers = _row_numbers(following, block.num_rows, broken)
        following = int(numbers[-1]) + 1 if len(numbers) else following
        of_block = {row: broken[row] for row in sorted(broken) if told < row < following}
        told = following - 1
        yield Batch(str(path), numbers, block, of_block)
    if left := {row: broken[row] for row in sorted(broken) if row > told}:
        nothing = pa.record_batch({name: pa.array([], pa.string()) for name in columns})
        yield Batch(str(path), np.arange(0), nothing, left)


def _row_numbers(first: int, count: int, broken: dict[int, str]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Of `count` rows that can be read, when those before `first` were numbered."""
    numbers = np.arange(first, first + count + sum(row >= first for row in broken))
    return numbers[~np.isin(numbers, list(broken))][:count]


def _open_csv(
    path: Path, columns: Sequence[str] = (), skip: Callable[[pyarrow.csv.InvalidRow], str] = lambda _row: "skip"
) -> pyarrow.csv.CSVStreamingReader:
    """With the delimiter and the encoding of its first line; on one thread, as only then rows have numbers."""
    with pa.input_stream(str(path), compression="detect") as file:
        start = file.read(CSV_BLOCK)
    encoding = "utf-16" if start.startswith(UTF_16) else "utf-8"
    header = start.decode(encoding, "replace").partition("\n")[0]
    convert = {"column_types": dict.fromkeys(columns, pa.string()), "include_columns": list(columns)} if columns else {}
    return pyarrow.csv.open_csv(
        path,
        pyarrow.csv.ReadOptions(block_size=CSV_BLOCK, encoding=encoding, use_threads=False),
        pyarrow.csv.ParseOptions(
            delimiter=max(DELIMITERS, key=header.count), newlines_in_values=True, invalid_row_handler=skip
        ),
        pyarrow.csv.ConvertOptions(**convert),
    )
