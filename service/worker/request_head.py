"""The head of a request: which heads are rejected, and how the others become a WSGI environment."""

import re
import urllib.parse
from wsgiref.types import WSGIEnvironment

MAX_HEAD_BYTES = 2**16  # of a request line and its header fields
MAX_FIELDS = 100
MAX_LENGTH_DIGITS = 19  # of a Content-Length
MAX_QUOTED = 100  # characters of a client's own text in an error message
MAX_CACHED_NAMES = 512  # header names whose environment keys are remembered
VERSIONS = ("1.1", "1.0")
# llhttp also parses these, which are methods of other protocols: RTSP and ICE.
FOREIGN_METHODS = {"ANNOUNCE", "DESCRIBE", "FLUSH", "GET_PARAMETER", "PAUSE", "PLAY", "RECORD", "REDIRECT",
                   "SET_PARAMETER", "SETUP", "SOURCE", "TEARDOWN"}  # fmt: skip
FOREIGN_REQUEST_LINE = re.compile(rb"(?m)^[A-Z]+ [^ ]+ (RTSP|ICE)/")
UNPREFIXED = {"CONTENT_TYPE", "CONTENT_LENGTH"}  # the only header fields whose keys do not start with HTTP_
BAD_REQUEST = "400 Bad Request"

ENVIRON_KEYS: dict[bytes, str] = {}  # the remembered keys, by header name


class Rejected(Exception):
    """The request gets an error response, with this status line, instead of reaching the application."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class Overloaded(Rejected):
    """The worker has reached a limit, which is named; the same request may succeed after `retry_after` seconds."""

    def __init__(self, limit: str, message: str, retry_after: int = 1) -> None:
        super().__init__("503 Service Unavailable", f"{message} ({limit}): try again later")
        self.limit = limit
        self.retry_after = retry_after


class HeadParser:
    """Makes the environment of each request from what httptools finds in its head.

    `template` is the part of the environment that all requests of a connection share.
    """

    def __init__(self, template: WSGIEnvironment) -> None:
        self._template = template
        self._environ = template
        self._url = b""
        self._in_body = False  # the head is complete
        self._fields = 0
        self._head_bytes = 0
        self._replaying_head = False  # the parser is given a head that we have made

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._environ = self._template.copy()
        self._url = b""
        self._fields = self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        if not self._replaying_head:
            self._url += url
            self._head_bytes += len(url)
            if self._head_bytes > MAX_HEAD_BYTES:
                raise head_too_large()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field. A name with an underscore is dropped: its key would be that of a name with a hyphen."""
        if self._in_body:
            return  # a trailer field
        self._fields += 1
        self._head_bytes += len(name) + len(value)
        if self._fields > MAX_FIELDS or self._head_bytes > MAX_HEAD_BYTES:
            raise head_too_large()
        key = ENVIRON_KEYS.get(name) or environ_key(name)
        text = value.decode("latin1")
        if key in self._environ:
            if key == "HTTP_HOST":
                raise Rejected(BAD_REQUEST, "the request has more than one Host header")
            text = f"{self._environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        if key:
            self._environ[key] = text

    def complete_head(self, method: bytes, version: str, data: memoryview) -> int:
        """The head is complete, and its end is in `data`. Returns the announced length of the body.

        Raises `Rejected` for a head that is not allowed.
        """
        environ, target = self._environ, self._url
        environ["REQUEST_METHOD"] = name = method.decode("latin1")
        check_request_line(name, version, data)
        length = check_head(environ, version)
        if not target.startswith(b"/") and b"://" in target:
            target = b"/" + target.split(b"://", 1)[1].partition(b"/")[2]
        path, _, query = target.partition(b"?")
        if "HTTP_UPGRADE" in environ:
            del environ["HTTP_UPGRADE"]  # offers are declined, and Werkzeug would take one to WebSocket for meant
        environ["SERVER_PROTOCOL"] = f"HTTP/{version}"
        environ["RAW_URI"] = target.decode("latin1")
        environ["PATH_INFO"] = (urllib.parse.unquote_to_bytes(path) if b"%" in path else path).decode("latin1")
        environ["QUERY_STRING"] = query.decode("latin1")
        return length


def check_request_line(method: str, version: str, head: memoryview) -> None:
    """Raise `Rejected` for what llhttp parses and is not HTTP/1.1 or 1.0, and for CONNECT, which asks for a tunnel.

    `head` is a part of the request: llhttp does not tell OPTIONS of RTSP/1.0 from that of HTTP/1.0.
    """
    if version not in VERSIONS or method in FOREIGN_METHODS:
        raise not_http()
    if version == "1.0" and FOREIGN_REQUEST_LINE.search(head):
        raise not_http()
    if method == "CONNECT":
        raise Rejected("501 Not Implemented", "CONNECT is not supported: this is a server, not a proxy")


def not_http(reason: object = "") -> Rejected:
    """What to raise for bytes that are no request."""
    return Rejected(BAD_REQUEST, f"this is not HTTP/1.1{f': {reason}' if reason else ''}")


def too_slow(message: str) -> Rejected:
    """What to raise for a request that does not arrive in time."""
    return Rejected("408 Request Timeout", message)


def head_too_large() -> Rejected:
    """What to raise for a head over one of the limits."""
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
    codings = [one.strip() for one in coding.lower().split(",")]
    if codings != ["chunked"]:
        # RFC 9112, 6.1 and 6.3: without chunked at the end, nobody knows where the body ends.
        status = "501 Not Implemented" if codings[-1] == "chunked" else BAD_REQUEST
        message = f"Transfer-Encoding {coding[:MAX_QUOTED]} is not supported: send chunked, or a Content-Length"
        raise Rejected(status, message)


def environ_key(name: bytes) -> str:
    """The key of a header field in the environment; empty for a field that is dropped."""
    text = "" if b"_" in name else name.decode("latin1").upper().replace("-", "_")
    key = text if text in UNPREFIXED or not text else f"HTTP_{text}"
    if len(ENVIRON_KEYS) < MAX_CACHED_NAMES:
        ENVIRON_KEYS[name] = key
    return key
