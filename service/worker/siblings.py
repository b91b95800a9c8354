"""What the workers of one parent process know of each other: which are starting or ready, and whether all are to end.

Gunicorn sends SIGTERM to a worker for two reasons. Either the service ends; then the worker keeps serving for the drain
delay, in which load balancers notice that it is not ready. Or other workers replace it (SIGHUP); then it keeps serving
until they are ready, because Gunicorn itself does not wait for them.
"""

import mmap
from collections.abc import Callable

SLOTS = 256  # workers beyond this number share a slot with another one
ITEM_BYTES = 8
STOPS, HAS_SERVED, FIRST_SLOT = 0, 1, 2  # offsets
PHASES = STARTING, READY, FAILED = 1, 2, 3
SIGNAL_DELAY = 0.25  # seconds: the parent may get the same SIGTERM a little later, and say then that the service ends


class Siblings:
    """The memory that they share, to be mapped before the parent forks. A worker is named by its `age`."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, (FIRST_SLOT + SLOTS) * ITEM_BYTES)).cast("q")

    @property
    def stops(self) -> int:
        """How many times the service was told to end."""
        return self._cells[STOPS]

    def stop(self) -> None:
        """Tell all workers that the service ends. The second time they do not wait for the drain delay."""
        self._cells[STOPS] += 1

    @property
    def has_served(self) -> bool:
        """Whether any worker has been ready since the service started."""
        return bool(self._cells[HAS_SERVED])

    def set_starting(self, age: int) -> None:
        """Called by the parent, before it forks."""
        self._set(age, STARTING)

    def set_ready(self, age: int) -> None:
        """Called by a worker that serves from now on."""
        self._cells[HAS_SERVED] = 1
        self._set(age, READY)

    def set_failed(self, age: int) -> None:
        """Called by a worker that cannot start."""
        self._set(age, FAILED)

    def set_ended(self, age: int) -> bool:
        """Called by the parent, when the process has ended. Returns whether it was starting: then it has failed."""
        slot = self._slot(age)
        owner, phase = divmod(self._cells[slot], len(PHASES) + 1)
        was_starting = (owner, phase) == (age, STARTING)
        if was_starting:
            self._set(age, FAILED)
        elif (owner, phase) == (age, READY):
            self._cells[slot] = 0
        return was_starting

    def younger(self, age: int) -> dict[int, int]:
        """The phases of all workers that were started later than this one, by their age."""
        found = (divmod(cell, len(PHASES) + 1) for cell in self._cells[FIRST_SLOT:])
        return {other: phase for other, phase in found if other > age}

    def _set(self, age: int, phase: int) -> None:
        self._cells[self._slot(age)] = (len(PHASES) + 1) * age + phase  # in one cell, so that it changes at once

    def _slot(self, age: int) -> int:
        return FIRST_SLOT + age % SLOTS


class DrainDecision:
    """When one worker begins to drain, once it has been told to end."""

    def __init__(self, siblings: Siblings, age: int, drain_delay: float, clock: Callable[[], float]) -> None:
        self._siblings = siblings
        self._age = age
        self._drain_delay = drain_delay
        self._clock = clock
        self._told_at: float | None = None
        self._contemporaries: set[int] = set()  # younger workers that were ready then: they do not replace this one
        self.is_shutdown = False  # the service ends, and not this worker alone

    def is_due(self, *, told_to_end: bool) -> bool:
        """Whether to drain now, asked again and again; `told_to_end` is about this worker alone."""
        if self._siblings.stops and not self.is_shutdown:
            self.is_shutdown, self._told_at = True, self._clock()
        if not (self.is_shutdown or told_to_end):
            self._told_at = None
            return False
        if self._told_at is None:
            self._told_at = self._clock()
            younger = self._siblings.younger(self._age)
            self._contemporaries = {age for age, phase in younger.items() if phase == READY}
        if self.is_shutdown:
            return self._siblings.stops > 1 or self._clock() - self._told_at >= self._drain_delay
        return self._clock() - self._told_at >= SIGNAL_DELAY and STARTING not in self._replacements()

    @property
    def is_irreplaceable(self) -> bool:
        """Whether all workers that were to replace this one have failed, so that it had better go on."""
        return self._replacements() == {FAILED} and not self.is_shutdown

    def _replacements(self) -> set[int]:
        """The phases of the workers that are to replace this one."""
        younger = self._siblings.younger(self._age)
        return {phase for age, phase in younger.items() if age not in self._contemporaries}
