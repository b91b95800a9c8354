"""Gunicorn's worker, made for answers that take microseconds and must not wait for those that take seconds.

One thread leads: it reads from all connections and answers whole requests itself, at once, with nothing handed over.
While it answers, the lead lies on the table. If an answer takes longer than a tick, the main thread, which watches
and does nothing else, gives the lead to another thread, which goes on reading; the slow one sends its answer when
it has it. So there is no guess at what will be slow, and what is quick costs no switch of threads.
"""

import contextlib
import itertools
import os
import select
import threading
import time
from collections import deque
from typing import Any

from gunicorn.workers import base

from service.errors import SettingsError
from service.observability.middleware import RequestMiddleware
from service.settings import Settings
from service.worker.balancing import Share
from service.worker.connection import Connection
from service.worker.event_loop import Sockets
from service.worker.leader import Table
from service.worker.wsgi import Request, plain_answer, respond

TICK = 0.02  # seconds that an answer may take before another thread leads
TURN = 1.0  # seconds: the leader looks at all connections so often
LINGER = 2.0  # seconds that idle connections stay open after SIGTERM, for a request that is on its way
LARGE = 2**18  # bytes of a body: its answer will take more than a tick, so the lead is given away at once
NO_LEADER = 5.0  # seconds without a turn: all threads are lost
MOST_TURNS = 16  # answers to requests that came at once, before others are looked at
QUICK = ("GET", "HEAD", "OPTIONS")  # answered even when all threads wait for slow answers


class Worker(base.Worker):  # type: ignore[misc]  # Gunicorn is not typed
    """A process that answers; `threads` of its requests may be slow at once."""

    alive: bool

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        settings = Settings.from_env()
        self._patience = settings.read_timeout
        self._longest = settings.answer_timeout
        self._largest = settings.max_body_bytes
        self._waiting: deque[Connection] = deque()  # for a thread: all are slow
        self._table = Table(self.cfg.threads, lambda connection: self._sockets.wait_for(connection, 0))
        self._hopeless, self._turned_at, self._stopped_at = False, 0.0, 0.0
        self._done = threading.Event()

    @classmethod
    def check_config(cls, cfg: Any, _log: Any) -> None:
        """Called at the start: what this worker does not speak is said."""
        if cfg.is_ssl:
            raise SettingsError("this worker speaks no TLS: let a proxy do it, or use Gunicorn's own: -k gthread")
        if cfg.accesslog:
            raise SettingsError(
                "this worker writes no access log of Gunicorn's (access-logfile): use DIGITALIS_LOG_REQUESTS=all"
            )

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: nothing new is accepted, what has begun is answered."""
        super().handle_exit(sig, frame)
        self._wake()

    def run(self) -> None:
        """In the main thread: start the others, and watch them until all is answered after SIGTERM."""
        shared = {"digitalis.step_aside": self._table.step_aside}
        share = Share(self.age)
        self._sockets = Sockets(self.sockets, self.PIPE[0], share, self.cfg.worker_connections, self._largest, shared)
        for _ in range(self.cfg.threads + 1):
            threading.Thread(target=self._work, daemon=True).start()
        self._table.free()
        while not self._done.is_set():
            lead = self._table.lies
            time.sleep(TICK)
            if lead is not None:
                self._table.give_away(lead)
            self._give_up_the_hopeless()
            if self._hopeless and not self._table.slow and time.monotonic() - self._turned_at > NO_LEADER:
                break
        if self._hopeless:
            os._exit(0)  # a thread that never ends would keep the process

    # The lead.

    def _work(self) -> None:
        while True:
            self._table.wait()
            try:
                self._lead()
            except BaseException:
                self.log.exception("a thread of the worker failed")
                os._exit(1)  # Gunicorn starts another worker

    def _lead(self) -> None:
        """Read and answer, until the lead is lost or everything is done."""
        while not self._done.is_set():
            ready = bool(self._waiting) and not self._table.is_full
            for connection in self._sockets.poll(0 if ready else TICK if self._waiting else TURN):
                if not self._serve(connection):
                    return
            for _ in range(len(self._waiting)):
                if not self._table.is_full and not self._answer(self._waiting.popleft()):
                    return
            if (time.monotonic() - self._turned_at >= TURN or not self.alive) and not self._turn():
                return

    def _serve(self, connection: Connection) -> bool:
        """Go on with a connection on which something happened; whether the lead is still this thread's."""
        try:
            connection.flush() if connection.unsent else connection.receive()
        except Exception:  # of one connection, and none of the others' business
            self.log.exception("a connection from %s is closed", connection.peer)
            self._sockets.close(connection)
            return True
        return self._answer(connection)

    def _answer(self, connection: Connection) -> bool:
        """Answer what has come whole; whether the lead is still this thread's."""
        for turn in itertools.count():
            if not connection.requests or connection.unsent:
                break
            request = connection.requests[0]
            full = self._table.is_full and request.environ["REQUEST_METHOD"] not in QUICK
            if full or turn == MOST_TURNS:
                self._sockets.wait_for(connection, 0)
                self._waiting.append(connection)
                return True
            lead = self._table.lay(connection, request)
            if int(request.environ.get("CONTENT_LENGTH") or 0) > LARGE:
                self._table.give_away(lead)
            answer, is_last = self._respond(request)
            if not self._table.take_back(lead):
                self._answered_slowly(connection, answer, is_last=is_last)
                return False
            self._send(connection, answer, is_last=is_last)
        self._settle(connection)
        return True

    def _respond(self, request: Request) -> tuple[bytes, bool]:
        """The answer, and whether it says that it is the connection's last."""
        self.nr += 1
        if self.nr == self.max_requests:
            self.log.info("%d requests are answered: this worker is replaced", self.nr)
            self.alive = False
        if not self.alive:
            request = request._replace(keep_alive=False)
        try:
            return respond(self.wsgi, request), not request.keep_alive
        except Exception:
            self.log.exception("the application failed at %s", request.environ["PATH_INFO"])
            return plain_answer("500 Internal Server Error", "internal error"), True

    def _send(self, connection: Connection, answer: bytes, *, is_last: bool) -> None:
        connection.requests.popleft()
        connection.since = time.monotonic()
        connection.send(answer)
        if is_last:
            connection.requests.clear()
            connection.refusal, connection.last = b"", True

    def _settle(self, connection: Connection) -> None:
        """Wait for what comes next on a connection, or close it."""
        if connection.refusal and not connection.unsent:
            said = connection.refusal.partition(b"\r\n\r\n")[2].decode()
            self.log.warning("%s sent what is no HTTP: %s", connection.peer, said)
            connection.send(connection.refusal)
            connection.refusal, connection.last = b"", True
        connection.invite()
        if connection.last and not connection.unsent:
            connection.finish()
        if connection.ends and not connection.unsent:
            self._sockets.close(connection)
        else:
            self._sockets.wait_for(connection, select.EPOLLOUT if connection.unsent else select.EPOLLIN)

    # Answers that take their time.

    def _answered_slowly(self, connection: Connection, answer: bytes, *, is_last: bool) -> None:
        if not self._table.claim(connection):
            return  # it was too late
        self._send(connection, answer, is_last=is_last)
        if connection.requests and not connection.unsent:
            self._waiting.append(connection)
        else:
            self._settle(connection)
        if self._waiting:
            self._wake()

    def _give_up_the_hopeless(self) -> None:
        """Answer 504 where no answer comes, and let the worker be replaced: its thread may never come back."""
        for connection, lead in list(self._table.slow.items()):
            if time.monotonic() - lead.since > self._longest and self._table.claim(connection):
                self._hopeless, self.alive = True, False
                message = f"no answer within {self._longest} seconds"
                self.log.error("%s: %s; this worker is replaced", lead.request.environ["PATH_INFO"], message)
                observed = self._observed()
                headers = observed.record_timeout(lead.request.environ, 504) if observed else []
                self._table.lost += 1
                self._send(connection, plain_answer("504 Gateway Timeout", message, headers), is_last=True)
                self._settle(connection)
                self._wake()

    # Once a second.

    def _turn(self) -> bool:
        """A sign of life, and an end to what has taken too long; whether this thread still leads."""
        now = self._turned_at = time.monotonic()
        self.notify()
        if observed := self._observed():
            observed.counters.flush()
        if self.ppid != os.getppid():
            self.alive = False
        if not self.alive and not self._stopped_at:
            self._stopped_at = now
        self._sockets.listen(on=True) if self.alive else self._sockets.leave()
        keepalive = 0 if self._stopped_at and now - self._stopped_at > LINGER else self.cfg.keepalive
        for connection in self._sockets.outlived(now, keepalive, self._patience, LINGER):
            if not self._answer(connection):
                return False
        if self._stopped_at and not (self._sockets.connections or self._table.slow):
            self._done.set()
        return True

    def _observed(self) -> RequestMiddleware | None:
        """Who watches the requests, if the application is ours."""
        return getattr(self.wsgi, "middleware", None)

    def _wake(self) -> None:
        """Let the leader look up."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.PIPE[1], b".")
