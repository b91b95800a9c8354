"""How many connections each worker has, in memory that all workers see, so that none takes what another is free for."""

import mmap
import time

WORKERS = 64  # that are told apart; of more, some count as one
NUMBER = 8  # bytes
FRESH = 5.0  # seconds after a sign of life: a worker without one is not counted on
ALLOWED = 1  # connections that a worker may have more than another, and one in EIGHTH of its own
EIGHTH = 8

_memory = memoryview(mmap.mmap(-1, 2 * WORKERS * NUMBER)).cast("d")  # mapped before the parent process forks
_seen, _counts = _memory[:WORKERS], _memory[WORKERS:]


class Share:
    """One worker's: the `number` of a worker is how many were started before it."""

    def __init__(self, number: int) -> None:
        self._own = number % WORKERS
        self.leave()

    def alive(self) -> None:
        """Say that it accepts connections: once a second."""
        _seen[self._own] = time.monotonic()

    def leave(self) -> None:
        """Say that it accepts none."""
        _seen[self._own] = 0.0

    def tell(self, count: int) -> None:
        """Say how many it has."""
        _counts[self._own] = count

    def is_ahead(self) -> bool:
        """Whether another worker that accepts connections has clearly fewer."""
        since, own = time.monotonic() - FRESH, _counts[self._own]
        enough = own - ALLOWED - own // EIGHTH
        return enough > 0 and any(seen > since and count < enough for seen, count in zip(_seen, _counts, strict=True))
