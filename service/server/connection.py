"""One connection of HTTP/1.1: bytes to whole requests, answers to bytes. Whoever calls it does the waiting.

A request is whole before the application hears of it: a slow sender holds nobody up. httptools parses (llhttp, the
parser of Node.js); RFC 9110 and 9112 say what is right, PEP 3333 what an environment holds.
"""

import contextlib
import io
import socket
import time
import urllib.parse
from collections import deque
from typing import Any

import httptools

from service.server.answer import Environment, Request, plain_answer

LARGEST_HEAD = 2**16  # bytes
MOST_FIELDS = 100
MOST_DISCARDED = 4  # times the largest body
FEW = 512  # names of header fields that are remembered
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PLAIN = {"CONTENT_TYPE", "CONTENT_LENGTH"}  # no HTTP_ before these


class BrokenBody(io.BytesIO):
    """The body of a request in chunks whose end did not come, or could not be read."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        """Say so."""
        raise self._error


class _TooManyFields(Exception):
    pass


class Connection:
    """A socket that does not block, what came from it, and what is still to be sent.

    It reads into a `buffer` that may be others' too, as nothing stays there. `template` is the part of an environment
    that all requests share; `largest` is how long a body may be: of a longer one the application gets one byte over
    it, and the rest is thrown away.
    """

    def __init__(self, sock: socket.socket, peer: Any, template: Environment, largest: int, buffer: memoryview) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self.requests: deque[Request] = deque()
        self.unsent = memoryview(b"")
        self.events = 0  # of epoll that are waited for
        self.ends = False  # nothing more is to come, in or out, but what is unsent
        self.discards = False  # what comes is thrown away
        self.since = time.monotonic()  # of the last answer, or of the first byte of a request
        self.last = False  # there will be no other answer
        self.refusal = b""  # the answer to what is no HTTP
        self._template = template | {"REMOTE_ADDR": self.peer, "REMOTE_PORT": str(peer[1]) if self.peer else ""}
        self._largest = largest
        self._buffer = buffer
        self._discarded = 0
        self._parser = httptools.HttpRequestParser(self)
        self._begun = False
        self._in_body = False
        self._continues = False
        self._head_bytes = 0

    @property
    def is_idle(self) -> bool:
        """Between two requests, with nothing to send."""
        return not (self._begun or self.requests or self.unsent or self.discards)

    def finish(self) -> None:
        """The last answer was sent. A client that still sends would not see it if the connection were closed now."""
        self.requests.clear()
        if not self.discards:
            self.ends = True
            return
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def receive(self) -> None:
        """Read what is there; whole requests are appended to `requests`."""
        try:
            count = self.sock.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:  # it is gone, and so is whoever waited for answers
            self.requests.clear()
            self._begun, self.ends = False, True
            return
        if not count:
            self.cut(EOFError())
        elif self.discards:
            self._discarded += count
            self.ends = self._discarded > MOST_DISCARDED * self._largest
        else:
            self._feed(self._buffer[:count])

    def _feed(self, data: memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.discards = True  # there is no upgrade: what was asked for is answered, and that is all
        except httptools.HttpParserError as error:
            self._refuse(error)
            return
        if self._begun and not self._in_body:
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD:
                self._refuse(_TooManyFields())
        elif self._continues and self._in_body and not self.requests:
            self.send(CONTINUE)
            self._continues = False

    def cut(self, error: Exception) -> None:
        """Nothing more is read: a request whose body has begun is answered by what there is of it."""
        self.ends = True
        if self._in_body:
            if "CONTENT_LENGTH" not in self._environ:
                self._environ["wsgi.input"] = BrokenBody(error)
            self._whole(keep_alive=False)
        self._begun = False

    def send(self, data: bytes) -> None:
        """As much as the socket takes now; the rest stays in `unsent`."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.ends, sent = True, len(data)
            self.requests.clear()
        if sent < len(data):
            self.unsent = memoryview(data)[sent:]
            self.since = time.monotonic()

    def flush(self) -> None:
        """Send of the rest what the socket takes now."""
        rest, self.unsent = self.unsent, memoryview(b"")
        self.send(rest)  # type: ignore[arg-type]  # sockets take any buffer

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._begun, self._in_body, self._continues = True, False, False
        self._environ = self._template.copy()
        self._url = b""
        self._body: list[bytes] = []
        self._size = self._fields = self._head_bytes = 0
        self.since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field. A name with an underscore is dropped: it could pass for one with a hyphen."""
        if self._in_body:
            return  # of a trailer
        self._fields += 1
        if self._fields > MOST_FIELDS:
            raise _TooManyFields
        key = _NAMES.get(name) or _environment_name(name)
        text = value.decode("latin1")
        if key in self._environ:
            text = f"{self._environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        if key:
            self._environ[key] = text

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_body = True
        environ, target = self._environ, self._url
        if not target.startswith(b"/") and b"://" in target:
            target = b"/" + target.split(b"://", 1)[1].partition(b"/")[2]
        path, _, query = target.partition(b"?")
        environ["REQUEST_METHOD"] = self._parser.get_method().decode("latin1")
        environ["SERVER_PROTOCOL"] = "HTTP/" + self._parser.get_http_version()
        environ["RAW_URI"] = target.decode("latin1")
        environ["PATH_INFO"] = (urllib.parse.unquote_to_bytes(path) if b"%" in path else path).decode("latin1")
        environ["QUERY_STRING"] = query.decode("latin1")
        self._continues = environ.get("HTTP_EXPECT", "").lower() == "100-continue"
        if int(environ.get("CONTENT_LENGTH", 0)) > self._largest:
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
        """The request is whole."""
        if not self.discards:
            self._whole(keep_alive=self._parser.should_keep_alive() and not self._parser.should_upgrade())

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
        if isinstance(reason, _TooManyFields):
            self.refusal = plain_answer("431 Request Header Fields Too Large", f"over {LARGEST_HEAD} bytes of header, "
                                        f"or over {MOST_FIELDS} fields")  # fmt: skip
        elif self._in_body:
            self.cut(ValueError(str(reason)))
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
