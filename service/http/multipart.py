"""The files of a form, `multipart/form-data`, as browsers and curl send it (RFC 7578, RFC 2046 section 5.1)."""

import re

from werkzeug.http import parse_options_header

from service.errors import BadRequest, PayloadTooLarge
from service.protocols.parsing import Upload

MOST_FIELDS = 1000
FILE = re.compile(rb'(?im)^content-disposition:[^\r\n]*; *filename="([^"\\\r\n%]*)" *\r?$')  # as most write it
DISPOSITION = re.compile(rb"(?im)^content-disposition:([^\r\n]*)")


def files_of(data: bytes, content_type: str) -> list[Upload]:
    """Every file, in order; other fields are passed over. Raises `BadRequest` for a form that is broken."""
    boundary = parse_options_header(content_type)[1].get("boundary", "").encode("latin1", "replace")
    if not boundary:
        raise BadRequest("the form cannot be read: its Content-Type names no boundary")
    delimiter = b"\r\n--" + boundary
    if data.count(delimiter) > MOST_FIELDS:
        raise PayloadTooLarge("the form has too many fields")
    _, *parts = (b"\r\n" + data).split(delimiter)
    if not parts or not parts[-1].startswith(b"--"):
        raise BadRequest("the form cannot be read: it has no end (--boundary--, with lines that end with CR LF)")
    found = []
    for part in parts[:-1]:
        head, blank, content = part.partition(b"\r\n\r\n")
        if not blank or head.split(b"\r\n", 1)[0].strip(b" \t"):
            raise BadRequest("the form cannot be read: a part without a head, or a boundary with something behind it")
        name = _file_name(head)
        if name is not None:
            found.append(Upload(name, content))
    if not found:
        raise BadRequest("no file in the form: send at least one, as `curl -F image=@digit.png` does")
    return found


def _file_name(head: bytes) -> str | None:
    """What a part's file is called; None of a field that is no file."""
    if usual := FILE.search(head):
        return usual[1].decode("utf-8", "replace")
    disposition = DISPOSITION.search(head)
    if disposition is None:
        return None
    return parse_options_header(disposition[1].decode("utf-8", "replace").strip())[1].get("filename")
