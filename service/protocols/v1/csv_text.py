"""The text of CSV as programs write it: in UTF-8 or UTF-16, with a delimiter of several, and lines that are no rows."""

import csv
import io
import re
from collections.abc import Iterator

from service.errors import BadRequest, PayloadTooLarge

MAX_LINE = 2**16  # characters
DELIMITERS = (",", ";", "\t", "|")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how it begins
NO_ROW = re.compile(r"(?i)\s*(#.*)?$|sep=.$")  # an empty line, a comment of NumPy, the first line of some spreadsheets
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


def lines_of(text: str, max_lines: int) -> Iterator[str]:
    """The lines; those that are no rows are empty. Raises for too many or too long ones before they are parsed."""
    for number, line in enumerate(io.StringIO(text, newline=None), 1):  # they end with LF, CR LF or CR
        if number > max_lines:
            raise PayloadTooLarge(f"over {max_lines} lines in one request (DIGITALIS_MAX_ROWS)")
        if len(line) > MAX_LINE:
            raise BadRequest(f"line {number}: {len(line)} characters: at most {MAX_LINE}")
        yield "\n" if NO_ROW.match(line) else line


def delimiter_of(text: str, features: int) -> str:
    """What separates the cells of the first row: a comma, unless another gives as many cells as there are features.

    A space, if there are as many numbers as features with spaces between them, as `numpy.savetxt` writes them.
    """
    first = next((line for line in text[:MAX_LINE].splitlines() if not NO_ROW.match(line)), "")
    counts = {one: len(next(csv.reader([first], delimiter=one), [])) for one in DELIMITERS}
    if features == 1 or counts[","] == features:
        return ","
    if features not in counts.values() and NUMBERS_AND_SPACES.fullmatch(first) and len(first.split()) == features:
        return " "
    best = max(counts, key=lambda one: (counts[one] == features, counts[one]))
    return best if counts[best] >= features else ","
