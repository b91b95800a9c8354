"""CSV rows of feature vectors, below a header or without one."""

import csv
import difflib
import re
from collections.abc import Collection, Iterator

from service.bundle.features import parse_number
from service.bundle.manifest import Column
from service.errors import BadRequest
from service.protocols.v1.csv_text import decode_text, delimiter_of, lines_of
from service.protocols.v1.decoded import ItemErrors, Rows
from service.protocols.v1.feature_values import UnknownValue, feature_list, number_in_cell
from service.protocols.v1.joined_lines import CURL, check_joined, reject_joined

DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")
EXTRA_LINES = 100  # read beyond the limit on rows: a header, empty lines


def read_csv(
    data: bytes, features: tuple[Column, ...], max_rows: int, ignored: Collection[str], items: ItemErrors
) -> Rows:
    """Rows of numbers: in the features' order, or in any order below a header that names each feature once."""
    rows: list[tuple[float, ...]] = []
    indices: list[int] = []
    line_numbers: list[int] = []
    order: list[int] | None = None
    width = len(features)
    text = decode_text(data)
    if len(features) == 1:
        reject_joined(data, features[0])
    for line, cells in _cells(text, delimiter_of(text, len(features)), 2 * max_rows + EXTRA_LINES):
        if order is None:
            order = list(range(len(features)))
            if _is_header(cells, features):
                width = len(cells)
                order = _column_order(cells, features, line, ignored)
                continue
        line_numbers.append(line)
        try:
            rows.append(_row(cells, order, features, line, width))
            indices.append(len(line_numbers) - 1)
        except BadRequest as error:
            items.add(error, len(line_numbers) - 1, f"line {line}")
    located = Rows(rows, indices, lambda index: f"line {line_numbers[index]}")
    return check_joined(located, data, features[0]) if len(features) == 1 else located


def _cells(text: str, delimiter: str, max_lines: int) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not empty, and its cells; decimal commas are points."""
    reader = csv.reader(lines_of(text, max_lines), delimiter=delimiter, skipinitialspace=delimiter == " ", strict=True)
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if delimiter == " " and not cells[-1]:
                cells.pop()  # after a space that ends the line
            yield reader.line_num, cells if delimiter == "," else list(map(_with_point, cells))
    except csv.Error as error:
        raise BadRequest(f"the body is not CSV: {error}") from None


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
    if len(cells) != width and not (len(cells) == width + 1 and not cells[-1].strip()):  # a comma ends each line
        expected = f"{width}: {feature_list(features)}" if width == len(features) else f"{width}, as in the header"
        raise BadRequest(f"{len(cells)} cells, expected {expected}{_advice(len(cells), width, line)}")
    try:
        return tuple(number_in_cell(cells[i], feature) for i, feature in zip(order, features, strict=True))
    except UnknownValue as error:
        raise BadRequest(str(error)) from None


def _advice(cells: int, width: int, line: int) -> str:
    """What may be the reason for a line of so many cells in place of `width`."""
    if cells == 1 and width > 1:
        return "; cells are separated by commas, semicolons or tabs"
    if line == 1 and width > 1 and cells > width + 1 and (cells - 1) % (width - 1) == 0:  # the last and the first join
        return f"; {CURL}"
    if width == 1:
        return "; each line is one row"
    if cells > width:
        return "; of columns with a header, ?ignore= leaves out those that are no features"
    return ""


def _with_point(cell: str) -> str:
    """A number with a decimal comma as one with a point."""
    return cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell


def _column_order(header: list[str], features: tuple[Column, ...], line: int, ignored: Collection[str]) -> list[int]:
    """For each feature, the index of its column."""
    names = [name.strip() for name in header]
    known = [feature.name for feature in features]
    rule = f"a header names each feature once: {feature_list(features)}"
    for name in names:
        if name in ignored or not name:  # pandas writes its index below no name
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
