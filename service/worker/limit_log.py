"""Reaching a limit is logged, but at most once a minute for each limit: an overload must not fill the log."""

import logging
from collections import Counter
from collections.abc import Callable

INTERVAL = 60.0  # seconds

log = logging.getLogger("gunicorn.error")


class LimitLog:
    """Counts how often each limit is reached; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._logged: dict[str, float] = {}

    def reached(self, limit: str, message: object) -> None:
        """A limit is reached once more; the message describes this time."""
        self._counts[limit] += 1
        now = self._clock()
        if now - self._logged.get(limit, -INTERVAL) >= INTERVAL:
            self._logged[limit] = now
            log.warning("limit reached (%d times so far): %s", self._counts[limit], message)
