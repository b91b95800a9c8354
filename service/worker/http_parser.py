"""From the bytes of a connection to complete requests: HTTP/1.1 (RFC 9110, 9112), WSGI environments (PEP 3333).

httptools parses; it wraps llhttp, the parser of Node.js. What llhttp leaves to its caller is done here: limits, bodies,
and offers to upgrade, which are declined by handling the request as if there were none.
"""

from collections import deque
from collections.abc import Callable
from wsgiref.types import WSGIEnvironment

import httptools

from service.worker.memory import MemoryBudget
from service.worker.options import WorkerOptions
from service.worker.request_body import BrokenBody, RequestBody
from service.worker.request_head import (
    BAD_REQUEST,
    MAX_HEAD_BYTES,
    HeadParser,
    Overloaded,
    Rejected,
    head_too_large,
    not_http,
    too_slow,
)
from service.worker.wsgi import ParsedRequest

BLANK_LINE = b"\r\n\r\n"  # the end of every head
MAX_AHEAD = 16  # requests of one connection that are parsed ahead of responses, about
NOTHING = memoryview(b"")
PIECE = 512  # bytes that are parsed before these are counted again: some twenty of the shortest requests


class RequestParser(HeadParser):
    """The receiving half of a connection. Of a body over `max_body_bytes` the application gets one byte more."""

    def __init__(
        self, template: WSGIEnvironment, options: WorkerOptions, memory: MemoryBudget, clock: Callable[[], float]
    ) -> None:
        super().__init__(template)
        self.requests: deque[ParsedRequest] = deque()  # complete, and not yet run
        self.closing = False  # close as soon as everything is written
        self.discarding = False  # whatever still arrives is thrown away
        self.waiting_since = clock()  # for a request, or since the first byte of one that is incomplete
        self.unparsed = b""  # what follows `MAX_AHEAD` requests
        self.expects_continue = False  # the client waits for 100 Continue before it sends the body
        self.is_spare = False  # accepted over the limit: for one request, a health check
        self._options = options
        self._memory = memory
        self._clock = clock
        self._parser = httptools.HttpRequestParser(self)
        self._started = False  # the first byte of a request is there, and its last one is not
        self._in_body = False  # its head is complete
        self._body = RequestBody(memory)
        self._length: int | None = None  # of the body, if it is announced
        self._data = NOTHING  # what is being parsed
        self._wire_bytes = 0  # of a request that is incomplete, so far
        self._period_progress = 0  # what had been received or written when the present period began

    def feed(self, data: memoryview) -> None:
        """Parse what was received; complete requests are appended to `requests`."""
        if len(data) > PIECE:
            self._parse_pieces(bytes(data))
        else:
            self._parse(data)
        if self._started and not (self.discarding or self.unparsed):
            self._wire_bytes += len(data)
            try:
                self._check_incomplete()
            except Rejected as error:
                self._reject(error)

    def parse_unparsed(self) -> None:
        """Go on with what was left when there were too many requests; these have been responded to."""
        data, self.unparsed = self.unparsed, b""
        self.feed(memoryview(data))

    def fill(self, count: int) -> None:
        """Bytes of a body have been received into its buffer."""
        if self._body.fill(count):
            self._parser = httptools.HttpRequestParser(self)  # the one before still expects the body
            self._complete(keep_alive=self._keep_alive)

    def eof(self, error: Exception) -> None:
        """Nothing more will be read. A request whose body has begun still reaches the application, which sees `error`.

        With a Content-Length it sees a body that is too short instead.
        """
        self.closing = True
        if self._in_body and not self.discarding:
            if self._length is None:
                self._environ["wsgi.input"] = BrokenBody(error)
            self._complete(keep_alive=False)
        self._started = False

    def drop_requests(self) -> None:
        """Forget what has arrived: nobody would read the responses."""
        for request in self.requests:
            request.release_memory()
        self.requests.clear()
        self.unparsed = b""
        self._body.release()
        self._body, self._started, self._in_body = RequestBody(self._memory), False, False

    def reject_slow_body(self) -> None:
        """Respond 408: the body arrives slowly, and others get no memory for theirs."""
        name = self._options.name("memory_budget_bytes")
        self._reject(too_slow(f"the body arrives too slowly while others wait for its memory ({name}): try again"))

    def reject_slow(self) -> None:
        """Respond 408: the request has not arrived in time."""
        seconds, name = self._options.request_timeout, self._options.name("request_timeout")
        message = f"the head of the request has not arrived within {seconds:g} s ({name})"
        if self._in_body:
            rate = f"{self._options.min_rate} bytes a second over {seconds:g} s ({name})"
            message = f"the body has stopped or is too slow after {self._body.received} bytes: at least {rate}"
        self._reject(too_slow(message))

    # Called by httptools.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._replaying_head:
            return
        super().on_message_begin()
        self._started, self._in_body, self.expects_continue = True, False, False
        self._wire_bytes = self._period_progress = 0
        self.waiting_since = self._clock()

    def on_headers_complete(self) -> None:
        """The end of the head."""
        if self._replaying_head:
            return
        length = self.complete_head(self._parser.get_method(), self._parser.get_http_version(), self._data)
        environ = self._environ
        self._length = None if "HTTP_TRANSFER_ENCODING" in environ else length
        self._in_body, self._keep_alive = True, self._parser.should_keep_alive()
        if "HTTP_EXPECT" in environ:
            is_continue = environ["HTTP_EXPECT"].lower() == "100-continue"
            self.expects_continue = is_continue and environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        if length > self._options.max_body_bytes:
            self._discard_rest()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if self.discarding:
            return
        self._body.append(data)
        if self._body.received > self._options.max_body_bytes:
            self._discard_rest()

    def on_message_complete(self) -> None:
        """The end of a request, unless llhttp stopped at an offer to upgrade, before the request's body."""
        body_is_missing = self._parser.should_upgrade() and self._length != 0
        if not (self.discarding or body_is_missing):
            self._complete(keep_alive=self._keep_alive)

    # What llhttp leaves to its caller.

    def _parse_pieces(self, data: bytes) -> None:
        """Parse piece by piece, and keep the rest for later once there are enough requests.

        A client that sends thousands of short requests and reads no response must not fill the memory with them.
        """
        start, view = 0, memoryview(data)
        while start < len(data) and not self.discarding:
            if len(self.requests) >= MAX_AHEAD:
                self.unparsed = data[start:]
                return
            found = data.find(BLANK_LINE, start + PIECE)
            end = found + len(BLANK_LINE) if found >= 0 else len(data)
            self._parse(view[start:end])
            start = end

    def _parse(self, data: memoryview) -> None:
        while not self.discarding:
            self._data = data
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._decline_upgrade()
                data = data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                self._reject(error)
                return
            else:
                return
            finally:
                self._data = NOTHING

    def _check_incomplete(self) -> None:
        """Check the size of what has arrived of a request, and reserve memory for the rest of its body."""
        if not self._in_body:
            if self._wire_bytes > MAX_HEAD_BYTES:
                raise head_too_large()
            return
        if self._length is None and self._wire_bytes > 2 * self._body.received + MAX_HEAD_BYTES:
            raise Rejected(BAD_REQUEST, "the chunks have more framing than content: send larger ones")
        if self._body.reserved:
            return
        size = self._options.max_body_bytes if self._length is None else self._length
        if not self._body.reserve(size):
            raise self._out_of_memory(size)
        if self._length is not None:
            self._body.expect(self._length)

    def _out_of_memory(self, size: int) -> Overloaded:
        memory = self._memory
        held = f"the requests of this worker hold {memory.bodies + memory.handling} of {memory.total} bytes"
        message = f"{held}, and a body of up to {size} bytes does not fit beside them"
        return Overloaded(self._options.name("memory_budget_bytes"), message)

    def _discard_rest(self) -> None:
        """Run the request now; the rest of its body is thrown away, since most clients read only after sending."""
        self.discarding = True
        self._complete(keep_alive=False)

    def _complete(self, *, keep_alive: bool) -> None:
        """Hand a request over. Nothing of it is kept: the connection may be idle for long."""
        body, environ = self._body, self._environ
        self._body, self._environ = RequestBody(self._memory), self._template
        self._started = self._in_body = False
        environ.setdefault("wsgi.input", body.stream(self._options.max_body_bytes + 1))
        self.requests.append(ParsedRequest(environ, keep_alive and not self.is_spare, body))

    def _decline_upgrade(self) -> None:
        """Replace the parser, which has stopped at an offer to upgrade.

        If the request has a body, the new parser is first given a head that announces this body.
        """
        self._parser = httptools.HttpRequestParser(self)
        if self._in_body:
            framing = "Transfer-Encoding: chunked" if self._length is None else f"Content-Length: {self._length}"
            self._replaying_head = True
            self._parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode())
            self._replaying_head = False

    def _reject(self, error: Exception) -> None:
        """Respond with an error; if only a body is malformed, let the application respond. Nothing more is parsed."""
        reason = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if not isinstance(reason, Rejected) and self._in_body:
            self.eof(ValueError(str(reason)))
            self.closing = False
        else:
            rejection = reason if isinstance(reason, Rejected) else not_http(reason)
            self._body.release()
            environ = self._environ if self._started else self._template.copy()
            self._body, self._environ = RequestBody(self._memory), self._template
            self.requests.append(ParsedRequest(environ, keep_alive=False, rejection=rejection))
        self._started, self._in_body, self.discarding = False, False, True
