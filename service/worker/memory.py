"""How many bytes the requests of one worker may hold at once, so that the process lives within its container.

Two kinds of memory come from one budget. Bodies are reserved as they are announced, and a body that does not fit is
rejected, never waited for. What handling a complete request needs beyond its body (a decoded picture, say) is waited
for, in order of arrival. Bodies never take the last `largest` bytes, so whatever handles a request always comes to its
turn: half-received bodies cannot block complete ones.
"""

import threading
import time
from collections import deque

LARGEST_SHARE = 5 / 8  # of the budget: what the handling of one request may take


class MemoryBudget:
    """`total` bytes, of which bodies leave `largest` to the handling of requests. Safe to use from several threads."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.largest = int(total * LARGEST_SHARE)
        self.for_bodies = total - self.largest
        self.bodies = 0  # bytes that are reserved for bodies
        self.responses = 0  # bytes of responses that are still to be sent
        self.handling = 0  # bytes that are reserved for the handling of requests
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    def reserve_body(self, size: int) -> bool:
        """Reserve at once, or return False if the bodies would leave less than `largest`."""
        with self._changed:
            if self.bodies + self.responses + size > self.for_bodies or self.bodies + self.handling + size > self.total:
                return False
            self.bodies += size
            return True

    def add_response(self, size: int) -> None:
        """Count a response that is still to be sent. It is there already, so it is neither rejected nor waits."""
        with self._changed:
            self.responses += size

    def release_response(self, size: int) -> None:
        """A response has been sent, or will never be."""
        with self._changed:
            self.responses -= size

    @property
    def is_exceeded(self) -> bool:
        """Whether responses take more than half of what bodies may."""
        return self.responses > self.for_bodies // 2

    def release_body(self, size: int) -> None:
        """Give back what was reserved for a body."""
        with self._changed:
            self.bodies -= size
            self._changed.notify_all()

    def acquire(self, size: int, timeout: float) -> bool:
        """Reserve for the handling of a request, after those who asked before; False if that takes over `timeout`.

        Raises `ValueError` for more than `largest`, which it would wait for in vain.
        """
        if size > self.largest:
            raise ValueError(f"{size} bytes for one request: at most {self.largest}")
        deadline = time.monotonic() + timeout
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                while self._waiting[0] is not turn or self.bodies + self.handling + size > self.total:
                    if not self._changed.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                        return False
                self.handling += size
                return True
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()

    def release(self, size: int) -> None:
        """Give back what was acquired."""
        with self._changed:
            self.handling -= size
            self._changed.notify_all()
