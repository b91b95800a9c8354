"""The counters of one model by name, summed over all workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from service.observability.counter_layout import (
    CONFIDENCE_BOUNDS,
    CONFIDENCE_UNIT,
    DURATION_BOUNDS,
    PROTOCOLS,
    REASONS,
    ROWS_BOUNDS,
    STATUSES,
)
from service.observability.shared_counters import CounterPlace, SharedCounters

NANOSECONDS = 1_000_000_000  # in a second
SECONDS = [bound / NANOSECONDS for bound in DURATION_BOUNDS]


@dataclass(frozen=True)
class Histogram:
    """`counts[i]` values in (bounds[i - 1], bounds[i]], the last one above all bounds; their sum is `total / unit`."""

    bounds: Sequence[float]
    counts: list[int]
    total: int
    unit: int = 1

    @classmethod
    def at(cls, cells: list[int], offset: int, bounds: Sequence[float], unit: int = 1) -> Self:
        """Read one that begins at this offset."""
        end = offset + len(bounds) + 1
        return cls(bounds, cells[offset:end], cells[end], unit)


@dataclass(frozen=True)
class ModelSnapshot:
    """What was counted of one model; stages in seconds, confidences from 0 to 1."""

    requests: dict[tuple[str, int], int]  # by protocol and status
    stages: list[Histogram]
    rows: Histogram
    confidences: Histogram
    label_counts: list[int]
    drift_bins: list[list[int]]  # of each monitored value
    rejections: dict[str, int]  # by reason
    failure_ns: int

    @classmethod
    def read(cls, counters: SharedCounters, counted: CounterPlace) -> Self:
        """Read the counters of one model."""
        cells, layout = counters.total(counted), counted.layout
        kinds = [(protocol, status) for protocol in PROTOCOLS for status in STATUSES]
        return cls(
            dict(zip(kinds, cells[layout.requests :], strict=False)),
            [Histogram.at(cells, stage, SECONDS, NANOSECONDS) for stage in layout.stages],
            Histogram.at(cells, layout.rows, ROWS_BOUNDS),
            Histogram.at(cells, layout.confidences, CONFIDENCE_BOUNDS, CONFIDENCE_UNIT),
            cells[layout.labels : layout.labels_end],
            [
                cells[start : start + len(histogram.fractions)]
                for start, histogram in zip(layout.drift_bins, layout.baseline, strict=True)
            ],
            dict(zip(REASONS, cells[layout.rejections :], strict=False)),
            cells[layout.failure_ns],
        )
