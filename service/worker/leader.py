"""The lead: who has it reads from all connections, and answers what comes whole.

While the leader answers, the lead lies on the table. Whoever finds it there for too long gives it to another thread;
then the one who answers goes on as one of the slow.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.worker.connection import Connection
from service.worker.wsgi import Request

NOBODY: Any = object()


@dataclass(eq=False)
class Lead:
    """What lies on the table: a request that is being answered."""

    connection: Connection
    request: Request
    since: float
    thread: int


class Table:
    """Where the lead lies. So many threads may be slow at `most`; their connections are forgotten meanwhile."""

    def __init__(self, most: int, forget: Callable[[Connection], None]) -> None:
        self.slow: dict[Connection, Lead] = {}
        self.lost = 0  # threads that have been given up
        self._most = most
        self._forget = forget
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.lies: Lead | None = None

    @property
    def is_full(self) -> bool:
        """Whether all threads but the leader are slow: it must take nothing that may be slow too."""
        return len(self.slow) + self.lost >= self._most

    def lay(self, connection: Connection, request: Request) -> Lead:
        """The leader begins to answer."""
        lead = self.lies = Lead(connection, request, time.monotonic(), threading.get_ident())
        return lead

    def take_back(self, lead: Lead) -> bool:
        """The leader has answered: whether it still leads."""
        with self._lock:
            kept = self.lies is lead
            if kept:
                self.lies = None
        return kept

    def give_away(self, lead: Lead) -> None:
        """Another thread leads from here on, if this lead still lies here."""
        with self._lock:
            if self.lies is not lead or len(self.slow) + self.lost > self._most:
                return
            self.lies = None
            self.slow[lead.connection] = lead
            self._forget(lead.connection)
        self.free()

    def step_aside(self) -> None:
        """Called by an application that is about to wait (`environ["digitalis.step_aside"]()`): others go on."""
        lead = self.lies
        if lead is not None and lead.thread == threading.get_ident():
            self.give_away(lead)

    def claim(self, connection: Connection) -> bool:
        """Whether a slow request is the caller's to answer: nobody else has answered it."""
        return self.slow.pop(connection, NOBODY) is not NOBODY

    def free(self) -> None:
        """A thread that waits for the lead has it."""
        self._free.put(None)

    def wait(self) -> None:
        """Until this thread has the lead."""
        self._free.get()
