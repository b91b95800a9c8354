"""Tables in CSV and Parquet -> batches of rows. Cells of CSV are text: what is a number is decided as in requests."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from digitalis.scoring.batch import Batch, InputError

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
DELIMITERS = (",", ";", "\t", "|")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
CSV_BLOCK = 2**20  # bytes that are read of a CSV file at a time
MAX_BROKEN = 65_536  # rows of a batch that could not be read


def is_table(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(PARQUET + TEXT)


def is_parquet(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(PARQUET)


def check_columns(path: Path, columns: Sequence[str]) -> None:
    """Raise `InputError` unless a table has each of these columns once; its rows are not read."""
    found = pq.read_schema(path).names if is_parquet(path) else CsvFile(path, columns).header
    if missing := [name for name in columns if name not in found]:
        raise InputError(
            f"{path}: it has no column {', '.join(map(repr, missing))}: there are {', '.join(map(repr, found))}"
        )
    if twice := [name for name in columns if found.count(name) > 1]:
        raise InputError(f"{path}: more than one column has the name {', '.join(map(repr, twice))}")


def read_table(path: Path, columns: Sequence[str], rows: int) -> Iterator[Batch]:
    """The batches of a table: of at most so many rows, or those of a block of CSV."""
    yield from _parquet(path, columns, rows) if is_parquet(path) else CsvFile(path, columns).batches()


def _parquet(path: Path, columns: Sequence[str], rows: int) -> Iterator[Batch]:
    first = 1
    for block in pq.ParquetFile(path).iter_batches(batch_size=rows, columns=list(columns)):
        yield Batch(str(path), np.arange(first, first + block.num_rows), block)
        first += block.num_rows


class CsvFile:
    """A CSV file, of which these columns are read; its first line says how it is written."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._columns = path, list(columns)
        self._compression = "gzip" if path.name.lower().endswith(".gz") else None
        with pa.input_stream(str(path), compression=self._compression) as file:
            start = file.read(CSV_BLOCK)
        if not start:
            raise InputError(f"{path}: the file is empty")
        self._encoding = "utf-16" if start.startswith(UTF_16) else "utf-8"
        text = start.decode(self._encoding, "replace").removeprefix("\ufeff")
        headers = {one: next(csv.reader(io.StringIO(text), delimiter=one), []) for one in DELIMITERS}
        # The one with which the most of the columns are there; of several the one with the most cells.
        self._delimiter = max(headers, key=lambda one: (len({*columns} & {*headers[one]}), len(headers[one])))
        self.header = headers[self._delimiter]

    def batches(self) -> Iterator[Batch]:
        """A row with too few or too many cells is counted like the others, and belongs to the batch it stands in.

        Raises `InputError` if a quote is opened and never closed, which would hide all rows after it.
        """
        broken: dict[int, str] = {}

        def skip(row: pyarrow.csv.InvalidRow) -> str:
            broken[row.number - 1] = f"the row has {row.actual_columns} cells, expected {row.expected_columns}"
            return "skip"

        following = 1
        with QuoteCounter(self._path, self._compression) as file:
            for block in self._open(file, skip):
                numbers = _row_numbers(following, block.num_rows, broken)
                following = int(numbers[-1]) + 1 if len(numbers) else following
                of_block = {row: broken.pop(row) for row in sorted(broken) if row < following}
                yield Batch(str(self._path), numbers, block, of_block)
            left = sorted(broken)
            for at in range(0, len(left), MAX_BROKEN):
                reasons = {row: broken[row] for row in left[at : at + MAX_BROKEN]}
                yield Batch(str(self._path), np.arange(0), self._nothing(), reasons)
            if file.quotes % 2 and self._encoding == "utf-8":  # in UTF-16, other characters have this byte
                raise InputError(f"{self._path}: a quote is opened and not closed, so that rows after it are not seen")

    def _nothing(self) -> pa.RecordBatch:
        return pa.record_batch({name: pa.array([], pa.string()) for name in self._columns})

    def _open(
        self, file: "QuoteCounter", skip: Callable[[pyarrow.csv.InvalidRow], str]
    ) -> pyarrow.csv.CSVStreamingReader:
        """On one thread, as only then rows have numbers."""
        return pyarrow.csv.open_csv(
            pa.PythonFile(file, "r"),
            pyarrow.csv.ReadOptions(block_size=CSV_BLOCK, encoding=self._encoding, use_threads=False),
            pyarrow.csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=skip),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(self._columns, pa.string()), include_columns=self._columns
            ),
        )


class QuoteCounter(io.RawIOBase):
    """A file for pyarrow that counts the quotes that were read from it."""

    def __init__(self, path: Path, compression: str | None) -> None:
        super().__init__()
        self.quotes = 0
        self._file = pa.input_stream(str(path), compression=compression)

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, decompressed."""
        content: bytes = self._file.read(size if size >= 0 else None)
        self.quotes += content.count(b'"')
        return content

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _row_numbers(first: int, count: int, broken: dict[int, str]) -> NDArray[np.int64]:
    """Of `count` rows that can be read, from row `first` on; `broken` are rows from there on that cannot be."""
    numbers = np.arange(first, first + count + len(broken))
    return numbers[~np.isin(numbers, list(broken))][:count]
