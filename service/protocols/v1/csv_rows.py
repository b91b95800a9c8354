"""CSV rows of feature vectors, below a header or without one."""

import csv
import difflib
import re
from collections.abc import Collection, Iterator

from service.bundle.features import parse_number
from service.bundle.manifest import Column
from service.errors import BadRequest
from service.protocols.v1.counts import max_lines
from service.protocols.v1.csv_text import decode_text, delimiter_of, lines_of, with_point
from service.protocols.v1.decoded import ItemErrors, Rows
from service.protocols.v1.feature_values import UnknownValue, feature_list, names_of, number_in_cell
from service.protocols.v1.joined_lines import CURL, check_joined, reject_joined

UNNAMED = re.compile(r"|Unnamed: \d+")  # the index of pandas: below no name, and as it is named when it is read again

Order = list[int | None]  # for each feature, the index of its cell in a line


def read_csv(
    data: bytes, features: tuple[Column, ...], max_rows: int, ignored: Collection[str], items: ItemErrors
) -> Rows:
    """Rows of numbers: in the features' order, or in any order below a header that names each feature once."""
    rows: list[tuple[float, ...]] = []
    indices: list[int] = []
    line_numbers: list[int] = []
    order: Order | None = None
    width = len(features)
    if len(features) == 1:
        reject_joined(data, features[0])
    for line, cells in _cells(decode_text(data), names_of(features), max_lines(max_rows)):
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
    return _doubted(located, data, features, items)


def _doubted(rows: Rows, data: bytes, features: tuple[Column, ...], items: ItemErrors) -> Rows:
    """Rows with a warning where the first one may be several, or the names of columns that have none."""
    if len(features) == 1:
        try:
            return check_joined(rows, data, features[0])
        except BadRequest as error:
            items.add(error, 0)
            return Rows([], [], rows.locate)
    if rows.numbers[1:] and rows.indices[0] == 0 and rows.numbers[0] == tuple(range(len(features))):
        header = ",".join(str(i) for i in range(len(features)))
        warning = f"line 1 is {header}: if these are the names that pandas gives to columns, write header=False"
        return rows._replace(warnings={0: (warning,)})
    return rows


def _cells(text: str, names: list[str], max_lines: int) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not empty, and its cells; decimal commas are points.

    Lines of nothing but empty cells are left out at the end, where spreadsheets write them; elsewhere values miss.
    """
    delimiter = delimiter_of(text, names)
    lines = lines_of(text, max_lines, delimiter, names)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter == " ", strict=True)
    empty: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                if cells:
                    empty.append((reader.line_num, cells))
                continue
            yield from empty
            empty.clear()
            if delimiter == " " and not cells[-1]:
                cells.pop()  # after a space that ends the line
            yield reader.line_num, cells if delimiter == "," else list(map(with_point, cells))
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


def _row(cells: list[str], order: Order, features: tuple[Column, ...], line: int, width: int) -> tuple[float, ...]:
    """The numbers of a line of so many cells."""
    if len(cells) != width and not (len(cells) == width + 1 and not cells[-1].strip()):  # a comma ends each line
        expected = f"{width}: {feature_list(features)}" if width == len(features) else f"{width}, as in the header"
        raise BadRequest(f"{len(cells)} cells, expected {expected}{_advice(cells, width, line)}")
    try:
        located = zip(order, features, strict=True)
        return tuple(number_in_cell("" if i is None else cells[i], feature) for i, feature in located)
    except UnknownValue as error:
        raise BadRequest(str(error)) from None


def _advice(cells: list[str], width: int, line: int) -> str:
    """What may be the reason for a line of these cells in place of `width`."""
    count = len(cells)
    if count == 1 and width > 1:
        return "; cells are separated by commas, semicolons, tabs, vertical bars or spaces"
    joined = width > 1 and count > width and (count - 1) % (width - 1) == 0  # the last cell of a row and the first join
    if line == 1 and joined and (count > width + 1 or any(cell.count(".") > 1 for cell in cells)):
        return f"; {CURL}"
    if width == 1:
        return "; each line is one row, and a number with a decimal comma needs semicolons between cells"
    if count > width:
        return "; of columns with a header, ?ignore= leaves out those that are no features"
    return ""


def _column_order(header: list[str], features: tuple[Column, ...], line: int, ignored: Collection[str]) -> Order:
    """For each feature, the index of its column; none for one that may be missing and is."""
    names = [name.strip() for name in header]
    known = [feature.name for feature in features]
    rule = f"a header names each feature once: {feature_list(features)}"
    for name in names:
        if name in ignored or UNNAMED.fullmatch(name):
            continue
        if name not in known or names.count(name) > 1:
            close = difflib.get_close_matches(name.lower().replace("_", " "), known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close and name not in known else ""
            wrong = "twice" if name in known else f"unknown{hint}"
            advice = "" if name in known else f"; ?ignore={name[:40]} leaves it out"
            raise BadRequest(f"line {line}: column {name[:40]!r}: {wrong}; {rule}{advice}")
    if missing := [one.name for one in features if one.name not in names and not one.may_be_missing]:
        raise BadRequest(f"line {line}: no column {missing[0]!r}: {rule}")
    return [names.index(name) if name in names else None for name in known]
