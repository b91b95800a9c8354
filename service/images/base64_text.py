"""A file as text: base64 as programs and browsers write it, which is more than the standard's one spelling."""

import binascii
import re

from service.errors import BadRequest
from service.images.file_formats import WHITE_SPACE
from service.images.recognised import SIGNATURE, recognise_hexadecimal

DATA_URI = re.compile(rb"\s*data:([^,]{0,200}),", re.IGNORECASE)
LOOKS_LIKE_BASE64 = re.compile(rb"[A-Za-z0-9+/_=\s-]{32,}")
NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
SPACES = re.compile(rb"[A-Za-z0-9/] +[A-Za-z0-9/]")  # inside of a line
SHOWN_GROUPS = 8  # of letters between spaces
SHOWN = 64  # bytes from which a text is told from a file: no picture begins with so many letters
NETPBM = re.compile(rb"P[1-7]\s")  # a picture that may begin with digits and white space
PRINTED = re.compile(rb"b['\"]")
URL_SAFE = bytes.maketrans(b"-_", b"+/")
BASE64_COPIES = 3  # the most that there are of a text while it is decoded: ours, one without white space, the file


def is_base64(data: bytes | memoryview) -> bool:
    """Whether a body or a field is a text like this, and not a file: a data URI, or letters alone at its beginning."""
    beginning = bytes(data[:SHOWN])
    if beginning.isspace() or NETPBM.match(beginning):
        return False
    return DATA_URI.match(bytes(data[:256])) is not None or LOOKS_LIKE_BASE64.fullmatch(beginning) is not None


def is_picture(text: bytes | memoryview) -> bool:
    """Whether it is certainly a picture as text: a data URI, or base64 of how one begins; not a token, or a remark."""
    beginning = bytes(text[: 4 * SHOWN])
    if DATA_URI.match(beginning):
        return True
    letters = beginning.translate(URL_SAFE, WHITE_SPACE)[:SHOWN]
    if NOT_BASE64.search(letters):
        return False
    return SIGNATURE.match(binascii.a2b_base64(letters[: len(letters) // 4 * 4])) is not None


def decode_base64(text: str | bytes | memoryview) -> bytes:
    """The bytes of a file in base64: standard or URL-safe, with line breaks or without padding, or as a data URI.

    Raises `BadRequest` and says what is wrong.
    """
    try:
        data = text.encode("ascii") if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError as error:
        raise BadRequest(f"{text[error.start : error.start + 1]!r} is no character of base64") from None
    if uri := DATA_URI.match(data):
        if b";base64" not in uri[1].lower():
            raise BadRequest("a data URI without ;base64: canvas.toDataURL() writes one with it")
        data = data[uri.end() :]
    if hexadecimal := recognise_hexadecimal(data):
        raise BadRequest(f"no base64: {hexadecimal}")
    data = _with_plus_signs(data).translate(URL_SAFE, WHITE_SPACE).rstrip(b"=")
    if not data:
        raise BadRequest("the base64 text is empty")
    if wrong := NOT_BASE64.search(data):
        printed = "; it is bytes as Python prints them: write .decode()" if PRINTED.match(data) else ""
        raise BadRequest(f"{chr(wrong[0][0])!r} is no character of base64{printed}")
    if len(data) % 4 == 1:
        raise BadRequest(f"{len(data)} characters of base64: one or two are missing at its end")
    return binascii.a2b_base64(data + b"=" * (-len(data) % 4))


def _with_plus_signs(data: bytes) -> bytes:
    """A text with `+` in place of each space, if something took it for a part of a URL, and has made spaces of them.

    Then there are spaces inside of its lines, no `+` at all, and the text between them is not of one length.
    """
    if b"+" in data or b"-" in data or b"_" in data or not SPACES.search(data):
        return data
    text = data.strip(WHITE_SPACE)
    characters = len(text) - sum(text.count(character) for character in (b" ", b"\t", b"\r", b"\n", b"\f", b"\v"))
    groups = {len(group) for group in text.split(b" ", SHOWN_GROUPS)[:-1]}
    is_grouped = len(groups) == 1 and characters % 4 == 0
    return data if is_grouped else text.replace(b" ", b"+")
