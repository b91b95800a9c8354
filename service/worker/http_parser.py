"""From the bytes of a connection to complete requests: HTTP/1.1 (RFC 9110, 9112), WSGI environments (PEP 3333).

httptools parses; it wraps llhttp, the parser of Node.js. What llhttp leaves to its caller is done here: limits, and
offers to upgrade, which are declined by handling the request as if there were none.
"""

import io
import urllib.parse
from collections import deque
from collections.abc import Callable
from wsgiref.types import WSGIEnvironment

import httptools

from service.worker.request_head import (
    BAD_REQUEST,
    ENVIRON_KEYS,
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    Rejected,
    check_head,
    environ_key,
    head_too_large,
)
from service.worker.wsgi import ParsedRequest, error_bytes


class BrokenBody(io.BytesIO):
    """The body of a chunked request that was cut off or could not be parsed: reading it raises `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        """Raise the error."""
        raise self._error


class RequestParser:
    """The receiving half of a connection.

    `template` is the part of the environment that all requests of the connection share. A body longer than `max_body`
    bytes is cut to `max_body` + 1, so that the application can respond 413; the rest of it is discarded.
    """

    def __init__(self, template: WSGIEnvironment, max_body: int, clock: Callable[[], float]) -> None:
        self.requests: deque[ParsedRequest] = deque()  # complete, and not yet run
        self.error_response = b""  # to be sent after the responses to `requests`, because what follows is not HTTP
        self.closing = False  # close as soon as everything is written
        self.discarding = False  # whatever still arrives is thrown away
        self.waiting_since = clock()  # for a request, or since the first byte of one that is incomplete
        self._template = template
        self._max_body = max_body
        self._clock = clock
        self._parser = httptools.HttpRequestParser(self)
        self._started = False  # the first byte of a request is there, and its last one is not
        self._in_body = False  # its head is complete
        self._expects_continue = False
        self._replaying_head = False
        self._progressed = False  # the data fed last completed a head or contained a part of a body
        self._pending_bytes = 0  # of a head, a chunk header or trailer fields that are incomplete

    def feed(self, data: memoryview) -> None:
        """Parse what was received; complete requests are appended to `requests`."""
        self._progressed = False
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._decline_upgrade()
                data = data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                self._reject(error)
                return
            else:
                break
        if self._started and not self._progressed:
            self._pending_bytes += len(data)
            if self._pending_bytes > MAX_HEAD_BYTES:
                self._reject(head_too_large())

    def eof(self, error: Exception) -> None:
        """Nothing more will be read. A request whose body has begun still reaches the application, which sees `error`.

        With a Content-Length it sees a body that is too short instead.
        """
        self.closing = True
        if self._in_body and not self.discarding:
            if "CONTENT_LENGTH" not in self._environ:
                self._environ["wsgi.input"] = BrokenBody(error)
            self._complete(keep_alive=False)
        self._started = False

    # Called by httptools.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._replaying_head:
            return
        self._started, self._in_body, self._expects_continue = True, False, False
        self._environ = self._template.copy()
        self._url = b""
        self._body: list[bytes] = []
        self._body_bytes = self._fields = self._head_bytes = self._pending_bytes = 0
        self.waiting_since = self._clock()

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        if not self._replaying_head:
            self._count_head(len(url))
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field. A name with an underscore is dropped: its key would be that of a name with a hyphen."""
        if self._in_body:
            return  # a trailer field
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise head_too_large()
        self._count_head(len(name) + len(value))
        key = ENVIRON_KEYS.get(name) or environ_key(name)
        text = value.decode("latin1")
        if key in self._environ:
            if key == "HTTP_HOST":
                raise Rejected(BAD_REQUEST, "the request has more than one Host header")
            text = f"{self._environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        if key:
            self._environ[key] = text

    def on_headers_complete(self) -> None:
        """The end of the head."""
        if self._replaying_head:
            return
        environ, target = self._environ, self._url
        version = self._parser.get_http_version()
        length = check_head(environ, version)
        self._in_body, self._progressed, self._pending_bytes = True, True, 0
        if not target.startswith(b"/") and b"://" in target:
            target = b"/" + target.split(b"://", 1)[1].partition(b"/")[2]
        path, _, query = target.partition(b"?")
        environ["REQUEST_METHOD"] = self._parser.get_method().decode("latin1")
        environ["SERVER_PROTOCOL"] = f"HTTP/{version}"
        environ["RAW_URI"] = target.decode("latin1")
        environ["PATH_INFO"] = (urllib.parse.unquote_to_bytes(path) if b"%" in path else path).decode("latin1")
        environ["QUERY_STRING"] = query.decode("latin1")
        self._expects_continue = version == "1.1" and environ.get("HTTP_EXPECT", "").lower() == "100-continue"
        if length > self._max_body:
            self._discard_rest()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        self._progressed, self._pending_bytes = True, 0
        if self.discarding:
            return
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > self._max_body:
            self._discard_rest()

    def on_message_complete(self) -> None:
        """The end of a request, unless llhttp stopped at an offer to upgrade, before the request's body."""
        body_is_missing = self._parser.should_upgrade() and (
            self._environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in self._environ
        )
        if not (self.discarding or body_is_missing):
            self._complete(keep_alive=self._parser.should_keep_alive())

    def _count_head(self, length: int) -> None:
        self._head_bytes += length
        if self._head_bytes > MAX_HEAD_BYTES:
            raise head_too_large()

    def _discard_rest(self) -> None:
        """Run the request now; the rest of its body is thrown away, since most clients read only after sending."""
        self.discarding = True
        self._complete(keep_alive=False)

    def _complete(self, *, keep_alive: bool) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._environ.setdefault("wsgi.input", io.BytesIO(body[: self._max_body + 1]))
        self.requests.append(ParsedRequest(self._environ, keep_alive))
        self._body = []
        self._started = self._in_body = False

    def _decline_upgrade(self) -> None:
        """Replace the parser, which has stopped at an offer to upgrade.

        If the request has a body, the new parser is first given a head that announces this body.
        """
        connection = "keep-alive" if self._parser.should_keep_alive() else "close"
        self._parser = httptools.HttpRequestParser(self)
        if self._in_body:
            length = self._environ.get("CONTENT_LENGTH")
            framing = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
            self._replaying_head = True
            self._parser.feed_data(f"POST / HTTP/1.1\r\nConnection: {connection}\r\n{framing}\r\n\r\n".encode())
            self._replaying_head = False

    def _reject(self, error: Exception) -> None:
        """Prepare an error response; if only a body is malformed, let the application respond."""
        reason = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if isinstance(reason, Rejected):
            self.error_response = error_bytes(reason.status, str(reason))
        elif self._in_body:
            self.eof(ValueError(str(reason)))
            self.closing = False
        else:
            self.error_response = error_bytes(BAD_REQUEST, f"this is not HTTP/1.1: {reason}")
        self._started, self._in_body, self.discarding = False, False, True
