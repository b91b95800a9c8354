"""The head of a request: which heads are rejected, and how header fields become keys of a WSGI environment."""

from wsgiref.types import WSGIEnvironment

MAX_HEAD_BYTES = 2**16  # of a request line and its header fields; also of the trailer fields and of one chunk header
MAX_FIELDS = 100
MAX_LENGTH_DIGITS = 19  # of a Content-Length
MAX_QUOTED = 100  # characters of a client's own text in an error message
MAX_CACHED_NAMES = 512  # header names whose environment keys are remembered
UNPREFIXED = {"CONTENT_TYPE", "CONTENT_LENGTH"}  # the only header fields whose keys do not start with HTTP_
BAD_REQUEST = "400 Bad Request"

ENVIRON_KEYS: dict[bytes, str] = {}  # the remembered keys, by header name


class Rejected(Exception):
    """The request gets an error response, with this status line, instead of reaching the application."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


def head_too_large() -> Rejected:
    """What to raise for a head, or for trailer fields, over one of the limits."""
    message = f"the request has over {MAX_HEAD_BYTES} bytes of header, or over {MAX_FIELDS} fields"
    return Rejected("431 Request Header Fields Too Large", message)


def check_head(environ: WSGIEnvironment, version: str) -> int:
    """The announced length of the body, 0 where there is none; raises `Rejected` for a head that is not allowed."""
    if version == "1.1" and "HTTP_HOST" not in environ:
        raise Rejected(BAD_REQUEST, "the request has no Host header, which HTTP/1.1 requires")
    if (coding := environ.get("HTTP_TRANSFER_ENCODING")) is not None:
        _check_transfer_coding(coding, version)
    length: str = environ.get("CONTENT_LENGTH", "").strip()
    if not length:
        return 0
    if len(length) > MAX_LENGTH_DIGITS:
        raise Rejected(BAD_REQUEST, "Content-Length has too many digits")
    environ["CONTENT_LENGTH"] = str(int(length))
    return int(length)


def _check_transfer_coding(coding: str, version: str) -> None:
    if version == "1.0":  # which has none: a server before this one may have found another end of the body
        raise Rejected(BAD_REQUEST, "Transfer-Encoding needs HTTP/1.1")
    if coding.strip().lower() != "chunked":
        message = f"Transfer-Encoding {coding[:MAX_QUOTED]} is not supported: send chunked, or a Content-Length"
        raise Rejected("501 Not Implemented", message)


def environ_key(name: bytes) -> str:
    """The key of a header field in the environment; empty for a field that is dropped."""
    text = "" if b"_" in name else name.decode("latin1").upper().replace("-", "_")
    key = text if text in UNPREFIXED or not text else f"HTTP_{text}"
    if len(ENVIRON_KEYS) < MAX_CACHED_NAMES:
        ENVIRON_KEYS[name] = key
    return key
