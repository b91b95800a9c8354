"""The files of a `multipart/form-data` body, as browsers and curl send it (RFC 7578, RFC 2046 section 5.1)."""

import re
from dataclasses import dataclass

from werkzeug.http import parse_options_header

from service.errors import BadRequest, PayloadTooLarge

MAX_PARTS = 1000
# The usual spelling, which needs no parser of header options.
SIMPLE_FILE_NAME = re.compile(rb'(?im)^content-disposition:[^\r\n]*; *filename="([^"\\\r\n%]*)" *\r?$')
DISPOSITION = re.compile(rb"(?im)^content-disposition:([^\r\n]*)")


@dataclass(frozen=True)
class Upload:
    """One file of a form."""

    name: str
    data: bytes


def parse_files(data: bytes, content_type: str) -> list[Upload]:
    """Every file, in order; fields that are no files are skipped. Raises `BadRequest` for a malformed form."""
    boundary = parse_options_header(content_type)[1].get("boundary", "").encode("latin1", "replace")
    if not boundary:
        raise BadRequest("the form cannot be read: its Content-Type has no boundary")
    delimiter = b"\r\n--" + boundary
    if data.count(delimiter) > MAX_PARTS:
        raise PayloadTooLarge(f"the form has over {MAX_PARTS} parts")
    _, *parts = (b"\r\n" + data).split(delimiter)
    if not parts or not parts[-1].startswith(b"--"):
        raise BadRequest("the form cannot be read: it has no end (--boundary--, with lines that end with CR LF)")
    uploads = []
    for part in parts[:-1]:
        head, blank, content = part.partition(b"\r\n\r\n")
        if not blank or head.split(b"\r\n", 1)[0].strip(b" \t"):
            raise BadRequest("the form cannot be read: a part has no header, or text follows a boundary")
        name = _file_name(head)
        if name is not None:
            uploads.append(Upload(name, content))
    if not uploads:
        raise BadRequest("no file in the form: send at least one, as `curl -F image=@digit.png` does")
    return uploads


def _file_name(head: bytes) -> str | None:
    """The name of a part's file; None if the part is no file."""
    if simple := SIMPLE_FILE_NAME.search(head):
        return simple[1].decode("utf-8", "replace")
    disposition = DISPOSITION.search(head)
    if disposition is None:
        return None
    return parse_options_header(disposition[1].decode("utf-8", "replace").strip())[1].get("filename")
