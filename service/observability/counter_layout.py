"""Which counters each model has, and the offset of each among those of one worker."""

import msgspec

from service.bundle.baseline import BaselineHistogram, Fraction
from service.bundle.manifest import Bundle

PROTOCOLS = ("v1", "v2")
STATUSES = (200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 500, 501, 503, 504)
STAGES = ("decode", "infer", "encode", "total")
REASONS = (
    "BadRequest",
    "PayloadTooLarge",
    "UnsupportedMediaType",
    "UnprocessableInput",
    "NotSupported",
    "ServiceOverloaded",
    "InferenceFailed",
)

MICROSECONDS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
                1_000_000, 2_500_000, 5_000_000)  # fmt: skip
DURATION_BOUNDS = tuple(1000 * bound for bound in MICROSECONDS)  # nanoseconds
ROWS_BOUNDS = tuple(2**power for power in range(15))  # 1 to 16,384
CONFIDENCE_BOUNDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)
CONFIDENCE_UNIT = 1_000_000  # counters are integers: confidences are summed in millionths


class MetricsSchema(msgspec.Struct, frozen=True):
    """What is counted of a model's predictions: its labels, and the bins of the values monitored for drift."""

    labels: tuple[str, ...] = ()
    label_fractions: tuple[Fraction, ...] = ()
    baseline: tuple[BaselineHistogram, ...] = ()


def metrics_schema(bundle: Bundle) -> MetricsSchema:
    """What is counted of this bundle's predictions."""
    return MetricsSchema(bundle.labels, bundle.label_fractions, bundle.baseline)


class CounterLayout:
    """The offset of each counter of one model.

    A histogram has a counter for each bound, one for the values beyond the last bound, and one for the sum.
    """

    def __init__(self, schema: MetricsSchema, start: int = 0) -> None:
        durations = len(DURATION_BOUNDS) + 2
        self.requests, end = start, start + len(PROTOCOLS) * len(STATUSES)
        self.stages = tuple(range(end, end + len(STAGES) * durations, durations))
        end += len(STAGES) * durations
        self.rows, end = end, end + len(ROWS_BOUNDS) + 2
        self.confidences, end = end, end + len(CONFIDENCE_BOUNDS) + 2
        self.labels = end
        self.labels_end = end = end + len(schema.labels)
        self.drift_bins = []
        for histogram in schema.baseline:
            self.drift_bins.append(end)
            end += len(histogram.fractions)
        self.baseline = schema.baseline
        self.rejections, end = end, end + len(REASONS)
        self.failure_ns, end = end, end + 1
        self.last_ms, end = end, end + 1
        self.size = end - start
