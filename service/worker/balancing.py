"""How many connections each worker has, in memory that all workers see, so that none takes what another is free for."""

import math
import mmap
import time

WORKERS = 64  # that are told apart; of more, some count as one
NUMBER = 8  # bytes
FRESH = 5.0  # seconds after a sign of life: a worker without one is not counted on
ALLOWED = 2  # connections that a worker may have more than another, and one in EIGHTH of its own
EIGHTH = 8

_memory = memoryview(mmap.mmap(-1, 2 * WORKERS * NUMBER)).cast("d")  # mapped before the parent process forks
_seen, _counts = _memory[:WORKERS], _memory[WORKERS:]
for _worker in range(WORKERS):
    _counts[_worker] = math.inf  # it accepts none


class Share:
    """One worker's, which has a `number` that no other living one has."""

    def __init__(self, number: int) -> None:
        self._own = number % WORKERS

    def look(self) -> None:
        """Give a sign of life, and strike out who gives none. To be called once a second."""
        now = _seen[self._own] = time.monotonic()
        for worker, seen in enumerate(_seen):
            if now - seen > FRESH:
                _counts[worker] = math.inf

    def tell(self, count: float) -> None:
        """Say how many connections it has."""
        _counts[self._own] = count

    def leave(self) -> None:
        """Say that it accepts none: nobody leaves any to it."""
        self.tell(math.inf)

    def is_ahead(self) -> bool:
        """Whether another worker that accepts connections has clearly fewer."""
        own = _counts[self._own]
        return ALLOWED < own < math.inf and min(_counts.tolist()) < own - ALLOWED - own // EIGHTH
