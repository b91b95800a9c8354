"""What was seen and said: the labels, confidences and quantities of rows, counted for many requests at once.

One by one they took longer than all other counting; and after a large inference whatever is called is cold.
So they are kept for a second at most, which is what a worker that is killed takes with it.
"""

import numpy as np
from numpy.typing import NDArray

from service.bundle.signature import Arrays
from service.observability.counter_layout import CONFIDENCES, MILLIONTHS, Layout
from service.observability.drift import counted, likeliest, quantities, sampled

MANY, MANY_ROWS = 64, 4096  # requests, and their rows, that are counted at once; meanwhile other requests wait
LONG = 1_000_000_000  # nanoseconds after which none are kept

EDGES = np.array(CONFIDENCES, np.float32)


class Contents:
    """The inputs and outputs of a worker's successes that are still to be counted. Its caller has the lock."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        self._numbers = numbers
        self._kept: dict[Layout, list[tuple[Arrays, Arrays, Arrays]]] = {}  # of each request a sample, and all outputs
        self._requests = self._rows = self._since = 0

    def keep(self, place: Layout, inputs: Arrays, outputs: Arrays, rows: int, now: int) -> None:
        """Those of one success, at this time in nanoseconds."""
        if not self._kept:
            self._since = now
        self._kept.setdefault(place, []).append((*sampled(inputs, outputs), outputs))
        self._requests += 1
        self._rows += rows
        if self._requests >= MANY or self._rows >= MANY_ROWS or now - self._since > LONG:
            self.count()

    def count(self) -> None:
        """All that are kept."""
        kept, self._kept, self._requests, self._rows = self._kept, {}, 0, 0
        for place, requests in kept.items():
            if place.labels < place.label_end:
                self._count_labels(place, np.concatenate([outputs["probabilities"] for _, _, outputs in requests]))
            some = (
                {name: np.concatenate([one[side][name] for one in requests]) for name in requests[0][side]}
                for side in (0, 1)
            )
            for start, counts in zip(place.bins, counted(place.distributions, quantities(*some)), strict=True):
                self._add(start, counts)

    def _count_labels(self, place: Layout, probabilities: NDArray[np.float32]) -> None:
        places, confidences = likeliest(probabilities)
        self._add(place.labels, np.bincount(places))
        self._add(place.confidences, np.bincount(EDGES.searchsorted(confidences)))
        total = round(float(confidences.sum(dtype=np.float64)) * MILLIONTHS)
        self._numbers[place.confidences + len(CONFIDENCES) + 1] += total

    def _add(self, start: int, counts: NDArray[np.int64]) -> None:
        self._numbers[start : start + len(counts)] += counts
