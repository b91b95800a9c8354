"""Reading the body of a request: once, within the limits, decompressed."""

import contextlib
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

from service.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from service.http.messages import JSON, Request
from service.http.multipart import Upload, parse_files
from service.http.urlencoded import URLENCODED, form_pictures

CSV = "text/csv"
FORM = "multipart/form-data"
IMAGE = "image/*"
JSON_LINES = "application/x-ndjson"
# The types that curl, a browser's fetch, and clients that set none send for any body: then the first bytes decide.
UNTYPED = ("", "application/octet-stream", URLENCODED, "text/plain")
# Other names of these types: those of browsers on Windows, of spreadsheets, of older programs, of SageMaker.
OTHER_NAMES = {
    "application/x-image": IMAGE,
    "text/json": JSON,
    "application/x-json": JSON,
    "application/csv": CSV,
    "application/x-csv": CSV,
    "text/x-csv": CSV,
    "text/comma-separated-values": CSV,
    "text/tab-separated-values": CSV,
    "application/vnd.ms-excel": CSV,
    "application/jsonl": JSON_LINES,
    "application/jsonlines": JSON_LINES,
    "application/x-jsonlines": JSON_LINES,
    "application/x-jsonl": JSON_LINES,
    "application/jsonlines+json": JSON_LINES,
}

ANY_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32  # zlib tells by the header which of the two it is
MAX_GZIP_MEMBERS = 100  # of an ordinary body there is one
DECOMPRESSED_AT_ONCE = 2**18  # bytes; a body that is no larger than this is not reserved
COMPRESSED_AT_ONCE = 2**16  # bytes: zlib copies what it has not used of its input


class Body(NamedTuple):
    """The files of a form, or the bytes of any other body."""

    content_type: str
    data: bytes = b""
    files: Sequence[Upload] = ()

    @property
    def media_type(self) -> str:
        """`application/json`, `text/csv`, `multipart/form-data`, `image/*`, or the client's own Content-Type."""
        if self.content_type in UNTYPED:
            return JSON if self.data[:64].lstrip()[:1] in (b"{", b"[") else IMAGE
        if self.content_type.startswith("image/"):
            return IMAGE
        if self.content_type.endswith("+json") and self.content_type not in OTHER_NAMES:
            return JSON
        return OTHER_NAMES.get(self.content_type, self.content_type)


def read_body(request: Request) -> Body:
    """The files of a form, or the bytes; raises 400 for a malformed form, and what `read_decompressed` raises."""
    data = read_decompressed(request)
    if request.media_type == URLENCODED and (pictures := form_pictures(data)):
        if len(data) > DECOMPRESSED_AT_ONCE:
            request.reserve_body(len(data))
        return Body(FORM, files=pictures)
    if request.media_type == FORM:
        return Body(FORM, files=parse_files(data, request.environ["CONTENT_TYPE"]))
    return Body(request.media_type, data)


def read_decompressed(request: Request) -> bytes:
    """The body; raises 400 if it is incomplete or corrupt, 413 over the limit, 415 for an unknown Content-Encoding."""
    limit = request.settings.max_body_bytes
    data = _read(request, limit)
    encoding = (request.header("Content-Encoding") or "").strip().lower()
    return data if encoding in ("", "identity") else _decompress(request, data, encoding, limit)


def _read(request: Request, limit: int) -> bytes:
    length = request.content_length
    stream = request.environ["wsgi.input"]
    if length is not None and length > limit:
        _drain(stream, min(length, 4 * limit))
        raise PayloadTooLarge(f"the body is over {limit} bytes (DIGITALIS_MAX_BODY_BYTES)")
    try:
        terminated = request.environ.get("wsgi.input_terminated", False)
        data: bytes = stream.read(limit + 1 if terminated else length or 0)
    except EOFError:
        raise BadRequest("the body ended too soon") from None
    except Exception as error:  # noqa: BLE001 - any error of the connection: the body did not arrive
        raise BadRequest(f"the body cannot be read: {error}") from None
    if len(data) > limit:  # a chunked body announces no length
        raise PayloadTooLarge(f"the body is over {limit} bytes (DIGITALIS_MAX_BODY_BYTES)")
    if length is not None and len(data) < length:
        raise BadRequest(f"the body ended after {len(data)} of {length} bytes")
    return data


def _drain(stream: IO[bytes], length: int) -> None:
    """Read and discard: most clients read the response only after they have sent the whole body."""
    with contextlib.suppress(Exception):
        while length > 0 and (part := stream.read(min(length, 2**16))):
            length -= len(part)


def _decompress(request: Request, data: bytes, encoding: str, limit: int) -> bytes:
    """The plain bytes of all members of a gzip or zlib body; their memory is reserved as they grow."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedMediaType(f"Content-Encoding {encoding}: send identity, gzip or deflate")
    plain = bytearray()
    for part in _members(data, encoding):
        plain += part
        if len(plain) > limit:
            raise PayloadTooLarge(f"the body decompresses to more than {limit} bytes (DIGITALIS_MAX_BODY_BYTES)")
        if len(plain) > DECOMPRESSED_AT_ONCE:
            request.reserve_body(2 * len(part))  # the parts, and all of them as bytes
    return bytes(plain)


def _members(data: bytes, encoding: str) -> Iterator[bytes]:
    """The plain bytes of one member after the other, at most `DECOMPRESSED_AT_ONCE` at a time."""
    rest = memoryview(data)
    for _ in range(MAX_GZIP_MEMBERS):
        decompressor = zlib.decompressobj(ANY_ZLIB_OR_GZIP)
        while not decompressor.eof:
            window = rest[:COMPRESSED_AT_ONCE]
            try:
                plain = decompressor.decompress(window, DECOMPRESSED_AT_ONCE)
            except zlib.error as error:
                raise BadRequest(f"the body is not {encoding}: {error}") from None
            unused = len(decompressor.unconsumed_tail) + len(decompressor.unused_data)
            if not (plain or decompressor.eof or window):
                raise BadRequest(f"the {encoding} body ends too soon")
            yield plain
            rest = rest[len(window) - unused :]
        if not rest:
            return
    raise BadRequest(f"the {encoding} body has over {MAX_GZIP_MEMBERS} members: compress it as one")
