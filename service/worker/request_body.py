"""The body of a request while it is received: one buffer, reserved from the memory budget if it does not come at once.

`io.BytesIO` is that buffer, and then the application's `wsgi.input`: `recv_into` fills it, and reading all of it copies
nothing.
"""

import io

from service.worker.memory import MemoryBudget


class BrokenBody(io.BytesIO):
    """The body of a chunked request that was cut off or could not be parsed: reading it raises `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        """Raise the error; a new one each time, as its traceback would keep the whole connection in memory."""
        raise type(self._error)(*self._error.args)


class RequestBody:
    """Bytes of one body; `reserved` of the memory budget are its own until they are released.

    A body whose length is known is received into `free`, the part of the buffer that is still to be filled. Others are
    appended.
    """

    __slots__ = ("__weakref__", "_length", "_memory", "_stream", "_view", "received", "reserved")

    def __init__(self, memory: MemoryBudget) -> None:
        self.received = 0  # bytes
        self.reserved = 0
        self._memory = memory
        self._length = 0
        self._stream: io.BytesIO | None = None
        self._view: memoryview | None = None

    def append(self, data: bytes) -> None:
        """Add what has arrived."""
        if self._stream is None:
            self._stream = io.BytesIO(data)  # shares the bytes: nearly all bodies come in one piece
        else:
            self._stream.seek(self.received)
            self._stream.write(data)
        self.received += len(data)

    def reserve(self, size: int) -> bool:
        """Reserve memory for a body that has not arrived completely; returns False if there is not enough."""
        if not self._memory.reserve_body(size):
            return False
        self.reserved = size
        return True

    def release(self) -> None:
        """Give all that is reserved back."""
        if self.reserved:
            self._memory.release_body(self.reserved)
            self.reserved = 0

    def expect(self, length: int) -> None:
        """Make room for a body of this length, of which the beginning may be there."""
        start = self._stream.getvalue() if self._stream else b""
        self._length = length
        self._stream = io.BytesIO(bytes(length))  # zeros that the kernel provides: they take no memory until written
        self._view = self._stream.getbuffer()
        self._view[: len(start)] = start

    @property
    def free(self) -> memoryview | None:
        """Where to receive the rest of a body whose length is known; otherwise None."""
        return None if self._view is None else self._view[self.received :]

    def fill(self, count: int) -> bool:
        """Bytes have been received into `free`. Returns whether the body is complete."""
        self.received += count
        return self.received == self._length

    def stream(self, limit: int) -> io.BytesIO:
        """What has arrived, at most `limit` bytes of it, to be read from its start. Nothing may be added afterwards."""
        if self._view is not None:
            self._view.release()
            self._view = None
        stream = self._stream or io.BytesIO()
        if self.reserved:
            stream.truncate(self.received)
            self._release_surplus()
        if self.received > limit:
            stream.truncate(limit)
        stream.seek(0)
        return stream

    def _release_surplus(self) -> None:
        """Give back what was reserved and has not arrived, as the length of a chunked body is not known."""
        surplus = max(self.reserved - self.received, 0)
        self._memory.release_body(surplus)
        self.reserved -= surplus
