"""The body of the request at hand, read once, within the limits, whatever its framing."""

import io
import zlib
from typing import IO

from flask import request
from werkzeug.formparser import FormDataParser

from service.decoding.body import FORM, Body, Upload
from service.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from service.routes import settings

ANY_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32  # zlib finds out by the header which of the two it is
MOST_FIELDS = 1000


def read_body() -> Body:
    """Raises 400 for a broken encoding or form, 413 for a body that is, or inflates to, more than the limit, 415."""
    most = settings().max_body_bytes
    data = request.get_data(cache=False, parse_form_data=False)
    if len(data) > most:  # a body of stated length was refused before; one in chunks was cut after most + 1
        raise PayloadTooLarge(f"the body is over {most} bytes")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        data = _inflated(data, encoding, most)
    if request.mimetype == FORM:
        return Body(FORM, files=_files(data))
    return Body(request.mimetype, data)


def _inflated(data: bytes, encoding: str, most: int) -> bytes:
    if encoding not in ("gzip", "deflate"):
        raise UnsupportedMediaType(f"Content-Encoding {encoding}: send identity, gzip or deflate")
    inflater = zlib.decompressobj(ANY_ZLIB_OR_GZIP)
    try:
        plain = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is not {encoding}: {error}") from None
    if len(plain) > most:
        raise PayloadTooLarge(f"the body inflates to more than {most} bytes")
    if not inflater.eof:
        raise BadRequest(f"the {encoding} body ends too soon")
    return plain


def _files(data: bytes) -> list[Upload]:
    parser = FormDataParser(_in_memory, max_form_memory_size=len(data), max_form_parts=MOST_FIELDS, silent=False)
    try:
        _, _, files = parser.parse(io.BytesIO(data), FORM, len(data), request.mimetype_params)
    except ValueError as error:
        raise BadRequest(f"the form cannot be read: {error}") from None
    uploads = [Upload(file.filename or "", file.read()) for _, file in files.items(multi=True)]
    if not uploads:
        raise BadRequest("no file in the form: send at least one, as `curl -F image=@digit.png` does")
    return uploads


def _in_memory(*_args: object, **_kwargs: object) -> IO[bytes]:
    """Uploads stay in memory: they are bounded already, and the file system may be read-only."""
    return io.BytesIO()
