"""The numbers of one model, by their names: what its part of all blocks adds up to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from service.observability.counter_layout import CONFIDENCES, DURATIONS, MILLIONTHS, PROTOCOLS, REASONS, ROWS, STATUSES
from service.observability.shared_counters import Telemetry, Title

NANOSECONDS = 1_000_000_000  # in a second
SECONDS = [bound / NANOSECONDS for bound in DURATIONS]


@dataclass(frozen=True)
class Histogram:
    """Values in buckets up to each of `bounds` and beyond the last; their sum is `total` of `parts` to one."""

    bounds: Sequence[float]
    buckets: list[int]
    total: int
    parts: int = 1

    @classmethod
    def at(cls, numbers: list[int], place: int, bounds: Sequence[float], parts: int = 1) -> Self:
        """Read from where its first bucket stands."""
        end = place + len(bounds) + 1
        return cls(bounds, numbers[place:end], numbers[end], parts)


@dataclass(frozen=True)
class Answers:
    """Of one model, all workers together; stages in seconds, confidences from 0 to 1."""

    requests: dict[tuple[str, int], int]  # by protocol and status
    stages: list[Histogram]
    rows: Histogram
    confidences: Histogram
    labels: list[int]
    bins: list[list[int]]  # of each quantity that may drift
    refused: dict[str, int]
    failure_ns: int

    @classmethod
    def of(cls, telemetry: Telemetry, title: Title) -> Self:
        """Read the counters."""
        numbers, layout = telemetry.total(title), telemetry.layouts[title]
        kinds = [(protocol, status) for protocol in PROTOCOLS for status in STATUSES]
        return cls(
            dict(zip(kinds, numbers[layout.requests :], strict=False)),
            [Histogram.at(numbers, stage, SECONDS, NANOSECONDS) for stage in layout.stages],
            Histogram.at(numbers, layout.rows, ROWS),
            Histogram.at(numbers, layout.confidences, CONFIDENCES, MILLIONTHS),
            numbers[layout.labels : layout.labels + len(telemetry.counted[title].labels)],
            [numbers[at : at + len(one.shares)] for at, one in zip(layout.bins, layout.distributions, strict=True)],
            dict(zip(REASONS, numbers[layout.refused :], strict=False)),
            numbers[layout.failure_ns],
        )
