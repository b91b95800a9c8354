"""Which numbers are counted of each model, and where each of them stands in the model's part of a worker's block."""

from service.bundle.manifest import Counted

PROTOCOLS = ("v1", "v2")
STATUSES = (200, 400, 404, 405, 413, 415, 422, 429, 500, 501, 503, 504)
STAGES = ("decode", "infer", "encode", "total")
REASONS = ("BadRequest", "PayloadTooLarge", "UnsupportedMediaType", "UnusableInput", "NotSupported", "InferenceFailed")

MICROSECONDS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
                1_000_000, 2_500_000, 5_000_000)  # fmt: skip
DURATIONS = tuple(1000 * bound for bound in MICROSECONDS)  # nanoseconds
ROWS = tuple(2**power for power in range(15))  # 1 to 16,384
CONFIDENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)
MILLIONTHS = 1_000_000  # a confidence is summed in them


class Layout:
    """Where each number of one model begins, by name; a histogram's buckets end in the one beyond all, and its sum."""

    def __init__(self, counted: Counted, start: int = 0) -> None:
        histogram = len(DURATIONS) + 2
        self.requests, end = start, start + len(PROTOCOLS) * len(STATUSES)
        self.stages = tuple(range(end, end + len(STAGES) * histogram, histogram))
        end += len(STAGES) * histogram
        self.rows, end = end, end + len(ROWS) + 2
        self.confidences, end = end, end + len(CONFIDENCES) + 2
        self.labels = end
        self.label_end = end = end + len(counted.labels)
        self.bins = []
        for distribution in counted.distributions:
            self.bins.append(end)
            end += len(distribution.shares)
        self.distributions = counted.distributions
        self.refused, end = end, end + len(REASONS)
        self.failure_ns, end = end, end + 1
        self.last_ms, end = end, end + 1
        self.size = end - start
