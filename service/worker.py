"""Gunicorn's threaded worker, with a deadline for senders and errors in JSON."""

import contextlib
import ctypes
import json
import socket
import time
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import TConn, ThreadWorker

from service.settings import Settings

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of glibc's mallopt(3)


class Worker(ThreadWorker):  # type: ignore[misc]  # Gunicorn is not typed
    """Closes its ear to a sender whose request is not complete in time, so that a thread is never held for ever."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._since: dict[TConn, float] = {}
        self._patience = Settings.from_env().read_timeout

    def init_process(self) -> None:
        """After the fork, before the models are opened."""
        _return_memory()
        util.write_error = _write_json_error  # for what is not even HTTP, and so never reaches the application
        super().init_process()

    def handle(self, conn: TConn) -> Any:
        """One request of a connection, in a thread."""
        self._since[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            self._since.pop(conn, None)

    def murder_pending(self) -> None:
        """Called about once a second. Only reading ends: an answer that is being made is still sent."""
        super().murder_pending()
        late = time.monotonic() - self._patience
        for conn, since in list(self._since.items()):
            if since < late:
                with contextlib.suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)


def _return_memory() -> None:
    """Let what a large picture took go back to the system: glibc would keep it, once for each thread."""
    with contextlib.suppress(OSError, AttributeError):  # another libc
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 2**20)
        libc.mallopt(M_ARENA_MAX, 2)


def _write_json_error(client: socket.socket, status: int, reason: str, message: str) -> None:
    body = json.dumps({"error": message or reason})
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    util.write_nonblock(client, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode("latin1"))
