"""The text of CSV as programs write it: in UTF-8 or UTF-16, with a delimiter of several, and lines that are no rows."""

import csv
import io
import re
from collections.abc import Iterator

from service.bundle.features import parse_number
from service.errors import BadRequest, PayloadTooLarge

MAX_LINE = 2**16  # characters
DELIMITERS = (",", ";", "\t", "|")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how it begins
NO_ROW = re.compile(r"(?i)\s*(#.*)?$|sep=.$")  # an empty line, a comment of NumPy, the first line of some spreadsheets
DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")
COMMENT = re.compile(r"\s*#\s*")
NUMBERS_AND_SPACES = re.compile(r"\s*[-+\d.eE]+(\s+[-+\d.eE]+)+\s*")
JSON_DOCUMENT = re.compile(rb"\s*[\[{]")


def decode_text(data: bytes) -> str:
    """The text without its byte order mark; raises `BadRequest` for another encoding, and for JSON."""
    if JSON_DOCUMENT.match(data[:100]):
        raise BadRequest("the body is JSON, not CSV: its Content-Type is application/json")
    encoding = "utf-16" if data.startswith(UTF_16) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8 text") from None


def lines_of(text: str, max_lines: int, delimiter: str, names: list[str]) -> Iterator[str]:
    """The lines; those before the first row that are none are empty, but a comment with the `names` is a header.

    Raises for too many or too long ones before they are parsed.
    """
    begun = False
    for number, line in enumerate(io.StringIO(text, newline=None), 1):  # they end with LF, CR LF or CR
        if number > max_lines:
            raise PayloadTooLarge(f"over {max_lines} lines in one request (DIGITALIS_MAX_ROWS)")
        if len(line) > MAX_LINE:
            raise BadRequest(f"line {number}: {len(line)} characters: at most {MAX_LINE}")
        if begun:
            yield line
            continue
        header = _commented_header(line, delimiter, names)
        no_row = not header and NO_ROW.match(line) and (len(names) == 1 or line.count(delimiter) != len(names) - 1)
        begun = not no_row
        yield "\n" if no_row else header or line


def _commented_header(line: str, delimiter: str, names: list[str]) -> str:
    """The header in a comment, as `numpy.savetxt` writes it; empty if there is none."""
    comment = COMMENT.match(line)
    header = line[comment.end() :] if comment else ""
    return header if {cell.strip() for cell in header.split(delimiter)} >= {*names} else ""


def with_point(cell: str) -> str:
    """A number with a decimal comma as one with a point."""
    return cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell


def delimiter_of(text: str, names: list[str]) -> str:
    """What separates the cells of the first row: what leaves as many numbers, or names, as there are features.

    `names` are those of the features. A space, if there are as many numbers as features with spaces between them, as
    `numpy.savetxt` writes them.
    """
    first = next((line for line in text[:MAX_LINE].splitlines() if not NO_ROW.match(line)), "")
    cells = {one: [cell.strip() for cell in next(csv.reader([first], delimiter=one), [])] for one in DELIMITERS}
    for one, found in cells.items():
        if names[0] in found or (len(found) == len(names) > 1 and all(_is_number(cell, one) for cell in found)):
            return one
    exact = [one for one, found in cells.items() if len(found) == len(names)]
    if len(names) == 1 or "," in exact:
        return ","
    if not exact and NUMBERS_AND_SPACES.fullmatch(first) and len(first.split()) == len(names):
        return " "
    best = exact[0] if exact else max(cells, key=lambda one: len(cells[one]))
    return best if len(cells[best]) >= len(names) else ","


def _is_number(cell: str, delimiter: str) -> bool:
    return parse_number(cell if delimiter == "," else with_point(cell)) is not None
