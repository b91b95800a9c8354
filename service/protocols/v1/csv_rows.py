"""CSV rows of feature vectors: cells separated by commas, semicolons or tabs, below a header or without one."""

import csv
import difflib
import io
import re
from collections.abc import Callable, Collection, Iterator

from service.bundle.features import parse_number
from service.bundle.manifest import Column
from service.errors import BadRequest, PayloadTooLarge
from service.protocols.v1.feature_values import UnknownValue, feature_list, number_in_cell

MAX_LINE = 2**16  # characters
DELIMITERS = (",", ";", "\t")
DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")
EXTRA_LINES = 100  # read beyond the limit on rows: a header, empty lines

Rows = list[tuple[float, ...]]
Locate = Callable[[int], str]  # the index of a row -> where in the body it is


def read_csv(data: bytes, features: tuple[Column, ...], max_rows: int, ignored: Collection[str]) -> tuple[Rows, Locate]:
    """Rows of numbers: in the features' order, or in any order below a header that names each feature once."""
    rows: Rows = []
    line_numbers: list[int] = []
    order: list[int] | None = None
    width = len(features)
    delimiter = _delimiter(data, len(features))
    try:
        reader = csv.reader(_lines(data, 2 * max_rows + EXTRA_LINES), delimiter=delimiter, strict=True)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            plain = cells if delimiter == "," else list(map(_with_point, cells))
            if order is None:
                is_header = _is_header(plain, features)
                order = list(range(len(features)))
                if is_header:
                    width = len(cells)
                    order = _column_order(cells, features, reader.line_num, ignored)
                    continue
            rows.append(_row(plain, order, features, reader.line_num, width))
            line_numbers.append(reader.line_num)
    except csv.Error as error:
        raise BadRequest(f"the body is not CSV: {error}") from None
    return rows, lambda row: f"line {line_numbers[row]}"


def _lines(data: bytes, max_lines: int) -> Iterator[str]:
    """The lines of the text; raises for too many or too long ones before they are parsed."""
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline=None)  # lines end with LF, CR LF or CR
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8 text") from None
    for number, line in enumerate(text, 1):
        if number > max_lines:
            raise PayloadTooLarge(f"over {max_lines} lines in one request (DIGITALIS_MAX_ROWS)")
        if len(line) > MAX_LINE:
            raise BadRequest(f"line {number}: {len(line)} characters: at most {MAX_LINE}")
        yield line


def _is_header(cells: list[str], features: tuple[Column, ...]) -> bool:
    """Whether no cell is a number and, where features have words of their own, one names a feature."""
    if len(cells) == 1 and len(features) > 1:  # separated by something else
        return False
    names = {feature.name for feature in features}
    has_words = any(feature.categories for feature in features)
    named = not has_words or any(cell.strip() in names for cell in cells)
    return named and all(parse_number(cell) is None for cell in cells)


def _row(cells: list[str], order: list[int], features: tuple[Column, ...], line: int, width: int) -> tuple[float, ...]:
    """The numbers of a line of so many cells; `order` has for each feature the index of its cell."""
    if len(cells) != width:
        hint = "; cells are separated by commas, semicolons or tabs" if len(cells) == 1 and width > 1 else ""
        if line == 1 and len(cells) > width:
            hint = "; `curl -d @file` removes line breaks, and --data-binary @file keeps them"
        expected = f"{width}: {feature_list(features)}" if width == len(features) else f"{width}, as in the header"
        raise BadRequest(f"line {line}: {len(cells)} cells, expected {expected}{hint}")
    try:
        return tuple(number_in_cell(cells[i], feature) for i, feature in zip(order, features, strict=True))
    except UnknownValue as error:
        raise BadRequest(f"line {line}: {error}") from None


def _delimiter(data: bytes, features: int) -> str:
    """What separates the cells of the first line: a comma, unless another gives as many cells as there are features."""
    lines = data[:MAX_LINE].decode("utf-8-sig", "replace").splitlines()
    first = next((line for line in lines if line.strip()), "")
    counts = {one: len(next(csv.reader([first], delimiter=one), [])) for one in DELIMITERS}
    if features == 1 or counts[","] == features:
        return ","
    best = max(counts, key=lambda one: (counts[one] == features, counts[one]))
    return best if counts[best] >= features else ","


def _with_point(cell: str) -> str:
    """A number with a decimal comma as one with a point."""
    return cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell


def _column_order(header: list[str], features: tuple[Column, ...], line: int, ignored: Collection[str]) -> list[int]:
    """For each feature, the index of its column."""
    names = [name.strip() for name in header]
    known = [feature.name for feature in features]
    rule = f"a header names each feature once: {feature_list(features)}"
    for name in names:
        if name in ignored:
            continue
        if name not in known or names.count(name) > 1:
            close = difflib.get_close_matches(name.lower().replace("_", " "), known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close and name not in known else ""
            wrong = "twice" if name in known else f"unknown{hint}"
            advice = "" if name in known else f"; ?ignore={name[:40]} leaves it out"
            raise BadRequest(f"line {line}: column {name[:40]!r}: {wrong}; {rule}{advice}")
    if missing := [name for name in known if name not in names]:
        raise BadRequest(f"line {line}: no column {missing[0]!r}: {rule}")
    return [names.index(name) for name in known]
