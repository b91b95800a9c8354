"""Pictures in the fields of an `application/x-www-form-urlencoded` body, as jQuery and `requests` send them."""

import re
from urllib.parse import unquote

from service.errors import PayloadTooLarge
from service.http.multipart import Upload

URLENCODED = "application/x-www-form-urlencoded"
MAX_FIELDS = 1000
FIELD = re.compile(rb"[\w.%\[\]-]{1,200}=")
# A field whose value is a data URI of a picture, or begins as long texts in base64 do.
PICTURE = re.compile(
    rb"(?:\A|&)([\w.%\[\]-]{1,200})=(?=data(?::|%3A)image|(?:[A-Za-z0-9/_+-]|%2[BF]){64})([^&]*+)", re.IGNORECASE
)
# What escapes stand for in base64 and data URIs; `+` is no space in them, whether it is escaped or not.
ESCAPES = {
    b"%2B": b"+",
    b"%2F": b"/",
    b"%3D": b"=",
    b"%3A": b":",
    b"%3B": b";",
    b"%2C": b",",
    b"%2D": b"-",
    b"%5F": b"_",
    b"%0D": b"\r",
    b"%0A": b"\n",
    b"%20": b" ",
}


def form_pictures(data: bytes) -> list[Upload]:
    """The fields that have a picture as a text, in order; empty for a body without one.

    They take as many bytes again as the body. Raises `PayloadTooLarge` for too many fields.
    """
    if not (FIELD.match(data) and PICTURE.search(data)):
        return []
    if data.count(b"&") >= MAX_FIELDS:
        raise PayloadTooLarge(f"the form has over {MAX_FIELDS:,} fields: send several requests")
    return [
        Upload(unquote(name.decode("latin1"), errors="replace"), memoryview(_unescaped(value)), "field")
        for name, value in PICTURE.findall(data)
    ]


def _unescaped(value: bytes) -> bytes:
    for escape, character in ESCAPES.items():
        if b"%" not in value:
            break
        value = value.replace(escape, character).replace(escape.lower(), character)
    return value
