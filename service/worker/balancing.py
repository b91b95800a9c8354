"""Even numbers of connections over the workers, by counts in memory that all of them share.

The kernel tends to wake the same process for each new connection. Of 16 connections that are opened at once, one of two
workers gets all in most cases, and the other core idles (docs/decisions.md has the measurements). So a worker that has
clearly more connections than another one stops accepting for a few milliseconds.
"""

import math
import mmap
from collections.abc import Callable

SLOTS = 64  # workers beyond this number share a slot with another one
ITEM_BYTES = 8
STALE_AFTER = 5.0  # seconds without a heartbeat after which a worker is no longer counted on: it hangs or was killed
SLACK = 2  # a worker may have so many connections more than another one,
SLACK_DIVISOR = 8  # and one more for each 8 of its own
NOT_ACCEPTING = math.inf  # the count of a worker to which no connections should be left


def map_counts() -> "memoryview[float]":
    """Memory for the heartbeats and counts of all workers, as doubles; to be mapped before the parent forks."""
    memory = memoryview(mmap.mmap(-1, 2 * SLOTS * ITEM_BYTES)).cast("d")
    for slot in range(SLOTS):
        memory[SLOTS + slot] = NOT_ACCEPTING
    return memory


class ConnectionCounts:
    """The counts, as seen by one worker; `number` is one that no other living worker has."""

    def __init__(self, memory: "memoryview[float]", number: int, clock: Callable[[], float]) -> None:
        self._heartbeats, self._counts = memory[:SLOTS], memory[SLOTS:]
        self._slot = number % SLOTS
        self._clock = clock

    def heartbeat(self) -> None:
        """Say that this worker is alive, and forget those that have not said so for a while. Called once a second."""
        now = self._heartbeats[self._slot] = self._clock()
        for slot, last in enumerate(self._heartbeats):
            if now - last > STALE_AFTER:
                self._counts[slot] = NOT_ACCEPTING

    def publish(self, count: float) -> None:
        """Tell the others how many connections this worker has."""
        self._counts[self._slot] = count

    def withdraw(self) -> None:
        """Tell the others that this worker does not accept connections."""
        self.publish(NOT_ACCEPTING)

    def is_overloaded(self) -> bool:
        """Whether another worker that accepts connections has clearly fewer."""
        own = self._counts[self._slot]
        return SLACK < own < NOT_ACCEPTING and min(self._counts.tolist()) < own - SLACK - own // SLACK_DIVISOR
