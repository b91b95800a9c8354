"""Bytes to whole requests: HTTP/1.1 as RFC 9110 and 9112 have it, environments as PEP 3333 has them.

httptools parses (llhttp, the parser of Node.js).
"""

import io
import time
import urllib.parse
from collections import deque
from wsgiref.types import WSGIEnvironment

import httptools

from service.worker.wsgi import Request, plain_answer

LARGEST_HEAD = 2**16  # bytes
MOST_FIELDS = 100
LONGEST_NUMBER = 19  # digits
FEW = 512  # names of header fields that are remembered
PLAIN = {"CONTENT_TYPE", "CONTENT_LENGTH"}  # no HTTP_ before these


class BrokenBody(io.BytesIO):
    """The body of a request in chunks whose end did not come, or could not be read."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        """Say so."""
        raise self._error


class _HeadTooLarge(Exception):
    pass


class Reader:
    """What came over one connection, up to now.

    `template` is the part of an environment that all requests share; `largest` is how long a body may be: of a longer
    one the application gets one byte over it, and the rest is thrown away.
    """

    def __init__(self, template: WSGIEnvironment, largest: int) -> None:
        self.requests: deque[Request] = deque()
        self.ends = False  # nothing more is to come, in or out, but what is unsent
        self.discards = False  # what comes is thrown away
        self.since = time.monotonic()  # of the last answer, or of the first byte of a request
        self.refusal = b""  # the answer to what is no HTTP
        self._template = template
        self._largest = largest
        self._parser = httptools.HttpRequestParser(self)
        self._begun = self._in_body = self._continues = self._muted = False
        self._head_bytes = self._unfinished = 0

    def feed(self, data: memoryview) -> None:
        """Read what came; whole requests are appended to `requests`."""
        outside, known = not self._in_body, len(self.requests)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse(error)
            return
        if self._begun and not self._in_body and outside and len(self.requests) == known:
            self._unfinished += len(data)
            if self._unfinished > LARGEST_HEAD:
                self._refuse(_HeadTooLarge())

    def _without_upgrade(self, rest: memoryview) -> None:
        """There is no upgrade, and the parser has stopped: another one goes on, in the body if there is one."""
        connection = "keep-alive" if self._parser.should_keep_alive() else "close"
        self._parser = httptools.HttpRequestParser(self)
        if self._in_body:
            length = self._environ.get("CONTENT_LENGTH")
            framing = f"Connection: {connection}\r\n"
            framing += f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
            self._muted = True
            self._parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode())
            self._muted = False
        if rest:
            self.feed(rest)

    def cut(self, error: Exception) -> None:
        """Nothing more is read: a request whose body has begun is answered by what there is of it."""
        self.ends = True
        if self._in_body:
            if "CONTENT_LENGTH" not in self._environ:
                self._environ["wsgi.input"] = BrokenBody(error)
            self._whole(keep_alive=False)
        self._begun = False

    def on_message_begin(self) -> None:
        """A request's first byte."""
        if self._muted:
            return
        self._begun, self._in_body, self._continues = True, False, False
        self._environ = self._template.copy()
        self._url = b""
        self._body: list[bytes] = []
        self._size = self._fields = self._head_bytes = self._unfinished = 0
        self.since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        if not self._muted:
            self._count(len(url))
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field. A name with an underscore is dropped: it could pass for one with a hyphen."""
        if self._in_body:
            return  # of a trailer
        self._fields += 1
        if self._fields > MOST_FIELDS:
            raise _HeadTooLarge
        self._count(len(name) + len(value))
        key = _NAMES.get(name) or _environment_name(name)
        text = value.decode("latin1")
        if key in self._environ:
            text = f"{self._environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        if key:
            self._environ[key] = text

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._muted:
            return
        environ, target = self._environ, self._url
        length = environ.get("CONTENT_LENGTH", "").strip()
        if len(length) > LONGEST_NUMBER:
            raise ValueError("Content-Length has too many digits")
        if length:
            environ["CONTENT_LENGTH"] = str(int(length))
        self._in_body = True
        if not target.startswith(b"/") and b"://" in target:
            target = b"/" + target.split(b"://", 1)[1].partition(b"/")[2]
        path, _, query = target.partition(b"?")
        environ["REQUEST_METHOD"] = self._parser.get_method().decode("latin1")
        environ["SERVER_PROTOCOL"] = "HTTP/" + self._parser.get_http_version()
        environ["RAW_URI"] = target.decode("latin1")
        environ["PATH_INFO"] = (urllib.parse.unquote_to_bytes(path) if b"%" in path else path).decode("latin1")
        environ["QUERY_STRING"] = query.decode("latin1")
        asks = environ.get("HTTP_EXPECT", "").lower() == "100-continue"
        self._continues = asks and environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        if length and int(length) > self._largest:
            self._discard()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if self.discards:
            return
        self._body.append(data)
        self._size += len(data)
        if self._size > self._largest:
            self._discard()

    def on_message_complete(self) -> None:
        """The request is whole, unless the parser left its body out for an upgrade that there will not be."""
        left_out = self._parser.should_upgrade() and (
            self._environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in self._environ
        )
        if not (self.discards or left_out):
            self._whole(keep_alive=self._parser.should_keep_alive())

    def _count(self, length: int) -> None:
        self._head_bytes += length
        if self._head_bytes > LARGEST_HEAD:
            raise _HeadTooLarge

    def _discard(self) -> None:
        """Answer now; what is still to come is thrown away, as most clients look for an answer when all is sent."""
        self.discards = True
        self._whole(keep_alive=False)

    def _whole(self, *, keep_alive: bool) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._environ.setdefault("wsgi.input", io.BytesIO(body[: self._largest + 1]))
        self.requests.append(Request(self._environ, keep_alive))
        self._body = []
        self._begun = self._in_body = False

    def _refuse(self, error: Exception) -> None:
        """What cannot be read: within a body the application says so, else the connection does."""
        reason = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if isinstance(reason, _HeadTooLarge):
            self.refusal = plain_answer("431 Request Header Fields Too Large", f"over {LARGEST_HEAD} bytes of header, "
                                        f"or over {MOST_FIELDS} fields")  # fmt: skip
        elif self._in_body:
            self.cut(ValueError(str(reason)))
            self.ends = False
        else:
            self.refusal = plain_answer("400 Bad Request", f"this is not HTTP/1.1 as it should be: {reason}")
        self._begun, self.discards = False, True


_NAMES: dict[bytes, str] = {}


def _environment_name(name: bytes) -> str:
    """What a field is called in an environment; empty for one that is dropped."""
    text = "" if b"_" in name else name.decode("latin1").upper().replace("-", "_")
    key = text if text in PLAIN or not text else f"HTTP_{text}"
    if len(_NAMES) < FEW:
        _NAMES[name] = key
    return key
