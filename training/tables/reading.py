"""Reading a table: every cell as text, so that what a column is can be said with the cells that speak against it."""

import csv
import difflib
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from service.bundle.features import MISSING
from service.bundle.loading import is_a_name
from training.errors import DataUnavailable
from training.recipes.table import Decimal
from training.tables.numbers import parse_numbers

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|"}
BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
SAMPLE_LINES = 50  # from which the delimiter is found
EXCEL_DELIMITER = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)  # a first line that Excel reads, and writes
MAX_ROWS = 2_000_000
WITH_COMMA = re.compile(r"[-+]?\d+,\d+")
WITH_COMMA_ONLY_DECIMAL = re.compile(r"[-+]?(\d+,\d{1,2}|\d+,\d{4,}|0,\d+|\d{4,},\d+)")  # no separator of thousands
WITH_POINT = re.compile(r"[-+]?\d*\.\d+")
UNNAMED = re.compile(r"column \d+")
NESTED = "(a list or a structure)"
PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Format:
    """How a file is written."""

    delimiter: str = ","
    decimal: Decimal = "."
    encoding: str = "utf-8"


@dataclass(frozen=True)
class RawTable:
    """The columns of a file as text, None where nothing is; spaces around a cell are removed.

    `lines` UINT32 [rows] are those of the rows in the file, if no cell has a line break.
    """

    path: Path
    columns: dict[str, pl.Series]
    format: Format
    lines: pl.Series

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def column(self, name: str, missing: tuple[str, ...] = MISSING) -> pl.Series:
        """A column with None in place of the words for missing values; raises `DataUnavailable` if there is none."""
        if name not in self.columns:
            close = difflib.get_close_matches(name, self.columns, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(self.columns)}"
            if 2 * sum(bool(UNNAMED.fullmatch(one)) for one in self.columns) > len(self.columns):
                hint += "; line 1 must name the columns: is it a title, to be deleted?"
            raise DataUnavailable(f"{self.path}: no column {name!r}: {hint}")
        series = self.columns[name]
        return series.set(series.is_in(missing), None)

    def numbers(self, text: pl.Series) -> pl.Series:
        """Text as FP64; None where it is missing, and where it is no finite number."""
        return parse_numbers(text, self.format.decimal, self.format.delimiter)

    def where(self, rows: pl.Series) -> "RawTable":
        """The rows for which a BOOL series is true."""
        columns = {name: column.filter(rows) for name, column in self.columns.items()}
        return replace(self, columns=columns, lines=self.lines.filter(rows))

    def with_all(self, names: Sequence[str], missing: tuple[str, ...] = MISSING) -> "RawTable":
        """The rows in which these columns have a value."""
        columns = [self.column(name, missing) for name in names]
        return self.where(pl.DataFrame(columns).select(pl.all_horizontal(pl.all().is_not_null())).to_series())

    def line(self, row: int) -> int:
        """The line of a row in the file, if no cell has a line break."""
        return int(self.lines[row])


def read_table(path: Path, known: Format | None = None) -> RawTable:
    """Read a file, in a known format or as it seems; raises `DataUnavailable` and says why it cannot."""
    try:
        if path.suffix.lower() in PARQUET:
            return _checked(path, _as_text(pl.read_parquet(path)), Format())
        data = path.read_bytes()
    except OSError as error:
        raise DataUnavailable(f"{path}: {error.strerror or error}") from None
    except pl.exceptions.PolarsError as error:
        raise DataUnavailable(f"{path}: not a Parquet file: {error}") from None
    if not data.strip():
        raise DataUnavailable(f"{path}: the file is empty")
    if (lines := data.count(b"\n")) > MAX_ROWS + 1:
        raise DataUnavailable(f"{path}: {lines:,} lines: at most {MAX_ROWS:,} rows; train on a sample of them")
    text, encoding = _decoded(data, path, known)
    said = EXCEL_DELIMITER.match(text)
    text = text[said.end() :] if said else text
    delimiter = known.delimiter if known else said[1] if said else detect_delimiter(text)
    frame = _parsed(text, delimiter, path)
    decimal = known.decimal if known else detect_decimal(frame, delimiter)
    return _checked(path, frame, Format(delimiter, decimal, encoding), first_line=3 if said else 2)


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of a Parquet file as text; those that are lists or structures hold nothing that could be used."""
    usable = [name for name, dtype in frame.schema.items() if not dtype.is_nested() and dtype != pl.Duration]
    return frame.select(
        pl.col(name).cast(pl.String, strict=False) if name in usable else pl.lit(NESTED).alias(name)
        for name in frame.columns
    )


def _decoded(data: bytes, path: Path, known: Format | None) -> tuple[str, str]:
    """The text and its encoding: by its byte order mark, UTF-8, or what Windows writes in western Europe."""
    marked = [encoding for mark, encoding in BYTE_ORDER_MARKS if data.startswith(mark)]
    for encoding in [known.encoding] if known else marked or ["utf-8", "cp1252"]:
        try:
            return data.decode("utf-8-sig" if encoding == "utf-8" else encoding), encoding
        except (UnicodeDecodeError, LookupError):
            continue
    raise DataUnavailable(f"{path}: it is not text in {known.encoding if known else 'UTF-8 or Windows-1252'}")


def detect_delimiter(text: str) -> str:
    """The delimiter by which the first lines have as many cells as line 1, as many as possible; else a comma."""
    lines = [line for line in text.splitlines()[:SAMPLE_LINES] if line.strip()]
    best, most = ",", 1.0
    for delimiter in DELIMITERS:
        cells, *others = map(len, csv.reader(lines, delimiter=delimiter))
        score = cells * (1 + others.count(cells)) / len(lines)
        if cells > 1 and score > most:
            best, most = delimiter, score
    return best


def detect_decimal(frame: pl.DataFrame, delimiter: str) -> Decimal:
    """A comma if more numbers are written with one than with a point.

    Where commas separate the cells too, those are in quotes, and one at least must be no separator of thousands.
    """
    cells = [cell for column in frame.head(SAMPLE_LINES).iter_columns() for cell in column.to_list() if cell]
    if delimiter == "," and not any(map(WITH_COMMA_ONLY_DECIMAL.fullmatch, cells)):
        return "."
    commas, points = (sum(bool(pattern.fullmatch(cell)) for cell in cells) for pattern in (WITH_COMMA, WITH_POINT))
    return "," if commas > points else "."


def _parsed(text: str, delimiter: str, path: Path) -> pl.DataFrame:
    header = next(csv.reader(io.StringIO(text), delimiter=delimiter), [])
    names = [name.strip() or f"column {i}" for i, name in enumerate(header, 1)]  # pandas' index has no name
    _check_names(names, path)  # Polars would rename the second of a name
    if all(re.fullmatch(r"[-+]?[\d.,]+", name) for name in names):
        raise DataUnavailable(f"{path}: line 1 holds numbers, expected the names of the columns")
    _check_cells(text, delimiter, len(names), path)
    try:
        frame = pl.read_csv(text.encode(), separator=delimiter, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise DataUnavailable(f"{path}: {str(error).splitlines()[0]}") from None
    frame.columns = names
    return frame


def _check_names(names: list[str], path: Path) -> None:
    for name in names:
        if not is_a_name(name):
            raise DataUnavailable(f"{path}: line 1: column {name!r}: a name must not contain quotes or backslashes")
    for name, count in Counter(names).items():
        if count > 1:
            raise DataUnavailable(f"{path}: line 1: {count} columns are named {name!r}: each needs a name of its own")


def _check_cells(text: str, delimiter: str, expected: int, path: Path) -> None:
    """Raise `DataUnavailable` for the first line that has another number of cells than the first one."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    for cells in reader:
        if len(cells) != expected and cells:
            where = f"{path}: line {reader.line_num}"
            hint = "; a cell that contains the delimiter must be in quotes" if len(cells) > expected else ""
            if expected == 1:
                hint = "; line 1 must name the columns: is it a title, to be deleted?"
            raise DataUnavailable(f"{where}: {len(cells)} cells, expected {expected} as in line 1{hint}")


def _checked(path: Path, frame: pl.DataFrame, found: Format, first_line: int = 2) -> RawTable:
    """The table without rows of which all cells are empty."""
    _check_names(frame.columns, path)
    columns = {name: frame[name].str.strip_chars() for name in frame.columns}
    if not columns or not len(frame):
        raise DataUnavailable(f"{path}: there are no rows")
    if len(frame) > MAX_ROWS:
        raise DataUnavailable(f"{path}: {len(frame):,} rows: at most {MAX_ROWS:,}; train on a sample of them")
    lines = pl.int_range(first_line, first_line + len(frame), eager=True)
    filled = pl.DataFrame(columns).select(pl.any_horizontal(pl.all().fill_null("") != "")).to_series()
    return RawTable(path, columns, found, lines).where(filled)
