"""Rows of one feature whose line breaks are lost: `curl -d @file` removes them, and 1, 2, 3 and 4 become 1234."""

import re

from service.bundle.manifest import Column
from service.errors import BadRequest
from service.protocols.v1.decoded import Rows

CURL = "`curl -d @file` removes line breaks, and --data-binary @file keeps them"
SEVERAL_DIGITS = re.compile(rb"\s*-?\d{2,}\s*")
NUMBERS_ALONE = re.compile(rb"[-+\d.]+")
SIGN = re.compile(rb"[-+]")


def reject_joined(data: bytes, feature: Column) -> None:
    """Raise `BadRequest` for a text without line breaks that has several numbers, or a header and a number."""
    if b"\n" in data or b"\r" in data:
        return
    text, name = data.strip(), feature.name.encode()
    has_header = text.startswith(name) and NUMBERS_ALONE.match(text, len(name))
    several = text.count(b".") > 1 or SIGN.search(text, 1)
    if has_header or (several and NUMBERS_ALONE.fullmatch(text)):
        raise BadRequest(f"line 1: several lines without line breaks between them: {CURL}")


def check_joined(rows: Rows, data: bytes, feature: Column) -> Rows:
    """Rows of one feature as they are, but for one number in a body without any line break, which may be several rows.

    It gets a warning if it is in the training range. If it is outside, `BadRequest` is raised: a line break at the end
    says that it is meant.
    """
    if b"\n" in data or b"\r" in data or len(rows.numbers) != 1 or not SEVERAL_DIGITS.fullmatch(data):
        return rows
    value = rows.numbers[0][0]
    number = f"{value:.12g} has no line break after it, and may be several rows: {CURL}"
    if not feature.minimum <= value <= feature.maximum:
        outside = f"it is outside {feature.minimum:.7} to {feature.maximum:.7} seen in training ({feature.name})"
        raise BadRequest(f"line 1: {number}; {outside}, so end it with a line break if it is one number")
    return rows._replace(warnings={0: (f"{feature.name} = {number}",)})
