"""The body of the request at hand, read once, within the limits, whatever its framing."""

import contextlib
import zlib
from typing import IO

from service.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from service.http.messages import Asked
from service.http.multipart import files_of
from service.protocols.parsing import FORM, Body

ANY_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32  # zlib finds out by the header which of the two it is
MOST_MEMBERS = 100  # of a gzip body: each costs a copy of all that follow


def read_body(asked: Asked) -> Body:
    """A form's files, or bytes; raises 400 for a form that is broken, and as `read_bytes` does."""
    data = read_bytes(asked)
    if asked.media_type == FORM:
        return Body(FORM, files=files_of(data, asked.environ["CONTENT_TYPE"]))
    return Body(asked.media_type, data)


def read_bytes(asked: Asked) -> bytes:
    """The body, inflated; raises 400 for one that is broken or cut short, 413 for one over the limit, 415."""
    most = asked.settings.max_body_bytes
    data = _read(asked, most)
    encoding = (asked.header("Content-Encoding") or "").strip().lower()
    return data if encoding in ("", "identity") else _inflated(data, encoding, most)


def _read(asked: Asked, most: int) -> bytes:
    length = asked.length
    if length is not None and length > most:
        _drain(asked.environ["wsgi.input"], min(length, 4 * most))
        raise PayloadTooLarge(f"the body is over {most} bytes")
    stream = asked.environ["wsgi.input"]
    try:
        ends = asked.environ.get("wsgi.input_terminated", False)
        data: bytes = stream.read(most + 1 if ends else length or 0)
    except EOFError:
        raise BadRequest("the body ended too soon") from None
    except Exception as error:  # noqa: BLE001 - whatever the server raises of a connection: the bytes did not come
        raise BadRequest(f"the body cannot be read: {error}") from None
    if len(data) > most:  # one in chunks, which has no length
        raise PayloadTooLarge(f"the body is over {most} bytes")
    if length is not None and len(data) < length:
        raise BadRequest(f"the body ended after {len(data)} of {length} bytes")
    return data


def _drain(stream: IO[bytes], length: int) -> None:
    """Read what nobody will look at: most clients look for an answer only when they have sent everything."""
    with contextlib.suppress(Exception):
        while length > 0 and (part := stream.read(min(length, 2**16))):
            length -= len(part)


def _inflated(data: bytes, encoding: str, most: int) -> bytes:
    """The plain bytes of all members of a gzip or zlib body."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedMediaType(f"Content-Encoding {encoding}: send identity, gzip or deflate")
    plain = b""
    for _ in range(MOST_MEMBERS):
        inflater = zlib.decompressobj(ANY_ZLIB_OR_GZIP)
        try:
            plain += inflater.decompress(data, most + 1 - len(plain))
        except zlib.error as error:
            raise BadRequest(f"the body is not {encoding}: {error}") from None
        if len(plain) > most:
            raise PayloadTooLarge(f"the body inflates to more than {most} bytes")
        if not inflater.eof:
            raise BadRequest(f"the {encoding} body ends too soon")
        data = inflater.unused_data
        if not data:
            return plain
    raise BadRequest(f"the {encoding} body has over {MOST_MEMBERS} members: compress it as one")
