"""The files of a `multipart/form-data` body, as browsers and curl send it (RFC 7578, RFC 2046 section 5.1)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from werkzeug.http import parse_options_header

from service.errors import BadRequest, PayloadTooLarge
from service.images.base64_text import is_picture

MAX_PARTS = 1000
MAX_NAME = 200  # characters
MAX_HEAD_BYTES = 2**13  # of a part; Werkzeug's parser of header options takes time in proportion to their square
MAX_HEADS_BYTES = 2**18  # of all parts together
# The usual spelling, which needs no parser of header options.
SIMPLE_FILE_NAME = re.compile(rb'(?im)^content-disposition:[^\r\n]*; *filename="([^"\\\r\n%]*)" *\r?$')
# Without quotes it should have none of "/=:?,", and often has.
BOUNDARY = re.compile(r'(?i);\s*boundary\s*=\s*(?:"([^"]+)"|([^;\s"]+))')
DISPOSITION = re.compile(rb"(?im)^content-disposition:([^\r\n]*)")


@dataclass(frozen=True)
class Upload:
    """One file of a form, or a text field; `data` is a view of the form's body."""

    name: str
    data: memoryview
    kind: str = "file"


def parse_files(data: bytes, content_type: str) -> list[Upload]:
    """Every file and text field, in order; beside files only those text fields that are pictures.

    Raises `BadRequest` for a malformed form.
    """
    found = BOUNDARY.search(content_type)
    if not found:
        raise BadRequest("the form cannot be read: its Content-Type has no boundary")
    boundary = (found[1] or found[2]).encode("latin1", "replace")
    uploads = [_upload(head, content) for head, content in _contents(data, b"\r\n--" + boundary)]
    if not uploads:
        raise BadRequest("the form is empty")
    if all(upload.kind == "field" for upload in uploads):
        return uploads
    return [upload for upload in uploads if upload.kind == "file" or is_picture(upload.data)]


def _contents(data: bytes, delimiter: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The header and the content of each part."""
    heads_bytes = 0
    for start, end in _parts(data, delimiter):
        blank = data.find(b"\r\n\r\n", start, min(end, start + MAX_HEAD_BYTES + 4))
        if blank == -1 and end - start > MAX_HEAD_BYTES:
            raise BadRequest(f"the form cannot be read: the header of a part is over {MAX_HEAD_BYTES} bytes")
        head = data[start:blank]
        heads_bytes += len(head)
        if heads_bytes > MAX_HEADS_BYTES:
            raise BadRequest(f"the form cannot be read: the headers of its parts are over {MAX_HEADS_BYTES} bytes")
        if blank == -1 or head.split(b"\r\n", 1)[0].strip(b" \t"):
            raise BadRequest("the form cannot be read: a part has no header, or text follows a boundary")
        yield head, memoryview(data)[blank + 4 : end]


def _parts(data: bytes, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where the header of each part begins, and where its content ends."""
    if data.count(delimiter) > MAX_PARTS:
        raise PayloadTooLarge(f"the form has over {MAX_PARTS} parts: send several requests")
    # The first delimiter may be the first line, without a line break before it, or follow a preamble.
    at = -2 if data.startswith(delimiter[2:]) else data.find(delimiter)
    start = len(data)
    while at != -1:
        start = at + len(delimiter)
        at = data.find(delimiter, start)
        if at != -1:
            yield start, at
    if data[start : start + 2] != b"--":
        raise BadRequest("the form cannot be read: it has no end (--boundary--, with lines that end with CR LF)")


def _upload(head: bytes, content: memoryview) -> Upload:
    """A part as a file, if its header says the name of one, else as a text field."""
    if simple := SIMPLE_FILE_NAME.search(head):
        return Upload(simple[1].decode("utf-8", "replace"), content)
    disposition = DISPOSITION.search(head)
    text = disposition[1].decode("utf-8", "replace").strip() if disposition else ""
    parameters = parse_options_header(text)[1]
    if (name := parameters.get("filename")) is not None:
        return Upload(name, content)
    return Upload(parameters.get("name", "")[:MAX_NAME], content, "field")
