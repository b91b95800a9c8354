"""All counters as Prometheus reads them: names and units by its conventions, seconds and bytes."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from math import inf
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from service.bundle.baseline import LABEL
from service.bundle.manifest import ModelId
from service.inference.repository import ModelRepository
from service.observability.counter_layout import STAGES, STATUSES
from service.observability.shared_counters import SharedCounters
from service.observability.snapshot import Histogram, ModelSnapshot

MODEL_LABELS = ("model", "version")

Snapshots = dict[ModelId, ModelSnapshot]


def render(counters: SharedCounters, models: ModelRepository, accept: str) -> tuple[bytes, str]:
    """The metrics and their media type: Prometheus' text format, or OpenMetrics if the `Accept` header has it."""
    registry = CollectorRegistry()
    registry.register(_Collector(counters, models))
    encode, media_type = _choose_encoder(accept)
    return encode(registry), media_type


def _choose_encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """What `prometheus_client` chooses, and the text format for a version that it cannot compare, such as `1.x`."""
    try:
        return choose_encoder(accept)
    except TypeError:
        return choose_encoder("")


class _Collector:
    def __init__(self, counters: SharedCounters, models: ModelRepository) -> None:
        self._counters = counters
        self._counted = {model.id: counters.find(model.key) for model in models}  # once, as counters come and go
        self._models = models

    def describe(self) -> Iterable[Metric]:
        """No family needs to be known in advance."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family; apart from `digitalis_requests` only of models that have had a request."""
        snapshots = {one: ModelSnapshot.read(self._counters, counted) for one, counted in self._counted.items()}
        active = {model_id: found for model_id, found in snapshots.items() if any(found.requests.values())}
        yield from self._requests(snapshots)
        yield from self._rejections(active)
        yield from self._histograms(active)
        yield from self._predictions(active)
        yield from self._drift(active)
        yield from self._info()
        yield from self._processes()

    def _requests(self, snapshots: Snapshots) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "digitalis_requests", "Requests by status of the response", labels=(*MODEL_LABELS, "protocol", "status")
        )
        for model_id, found in snapshots.items():
            for (protocol, status), count in found.requests.items():
                if count or status == STATUSES[0]:
                    family.add_metric((*model_id, protocol, str(status)), count)
        for status, count in zip(STATUSES, self._counters.unattributed(), strict=True):
            if count:
                family.add_metric(("", "", "", str(status)), count)
        yield family

    def _rejections(self, active: Snapshots) -> Iterator[Metric]:
        family = CounterMetricFamily("digitalis_rejections", "Rejected requests", labels=(*MODEL_LABELS, "reason"))
        for model_id, found in active.items():
            for reason, count in found.rejections.items():
                if count:
                    family.add_metric((*model_id, reason), count)
        yield family

    def _histograms(self, active: Snapshots) -> Iterator[Metric]:
        stages = (
            ((*model_id, stage), histogram)
            for model_id, found in active.items()
            for stage, histogram in zip(STAGES, found.stages, strict=True)
        )
        labels = (*MODEL_LABELS, "stage")
        yield _histogram("digitalis_stage_duration_seconds", "Duration of successful requests by stage", labels, stages)
        rows = ((model_id, found.rows) for model_id, found in active.items())
        yield _histogram("digitalis_batch_rows", "Rows of successful requests", MODEL_LABELS, rows)
        confidences = ((model_id, found.confidences) for model_id, found in active.items() if found.label_counts)
        name, meaning = "digitalis_prediction_confidence_ratio", "Probability of the most likely label"
        yield _histogram(name, meaning, MODEL_LABELS, confidences)

    def _predictions(self, active: Snapshots) -> Iterator[Metric]:
        labels = (*MODEL_LABELS, "label")
        family = CounterMetricFamily("digitalis_predictions", "Rows by their most likely label", labels=labels)
        for model_id, found in active.items():
            for label, count in zip(self._counted[model_id].schema.labels, found.label_counts, strict=True):
                family.add_metric((*model_id, label), count)
        yield family

    def _drift(self, active: Snapshots) -> Iterator[Metric]:
        labels = (*MODEL_LABELS, "feature", "bin")
        rows = CounterMetricFamily("digitalis_feature_rows", "Rows by bin of a monitored value", labels=labels)
        name, meaning = "digitalis_feature_training_ratio", "Fraction of the training rows in the bin"
        fractions = GaugeMetricFamily(name, meaning, labels=labels)
        for model_id, found in active.items():
            schema = self._counted[model_id].schema
            values = [(one.name, one.bins, one.fractions) for one in schema.baseline]
            counts = [*found.drift_bins]
            if schema.label_fractions:
                values.append((LABEL, [*schema.labels], schema.label_fractions))
                counts.append(found.label_counts)
            for (value, bins, expected), bin_counts in zip(values, counts, strict=True):
                for bin_name, fraction, count in zip(bins, expected, bin_counts, strict=True):
                    rows.add_metric((*model_id, value, bin_name), count)
                    fractions.add_metric((*model_id, value, bin_name), fraction)
        yield rows
        yield fractions

    def _info(self) -> Iterator[Metric]:
        info = InfoMetricFamily("digitalis_model", "The models that are open", labels=MODEL_LABELS)
        loaded = GaugeMetricFamily(
            "digitalis_model_load_seconds", "Time to open and check the model", labels=MODEL_LABELS
        )
        cuda = GaugeMetricFamily(
            "digitalis_model_cuda_from_rows", "Rows from which a batch runs on the GPU", labels=MODEL_LABELS
        )
        for model in self._models:
            if model.runtime.cuda_from_rows:
                cuda.add_metric(model.id, model.runtime.cuda_from_rows)
            runtime = {"runtime": model.runtime.name, "device": model.runtime.device}
            info.add_metric(model.id, runtime | {"digest": model.digest, "task": model.bundle.task})
            loaded.add_metric(model.id, model.load_seconds)
        name, meaning = "digitalis_model_traffic_ratio", "Share of the requests without a version that the version gets"
        traffic = GaugeMetricFamily(name, meaning, labels=MODEL_LABELS)
        for name, model in self._models.defaults.items():
            canary = self._models.canaries.get(name)
            traffic.add_metric(model.id, 1 - canary.share if canary else 1)
            if canary:
                traffic.add_metric(canary.model.id, canary.share)
        unavailable = GaugeMetricFamily(
            "digitalis_model_unavailable", "Versions that cannot be opened", labels=MODEL_LABELS
        )
        for model_id in self._models.unavailable:
            unavailable.add_metric(model_id, 1)
        yield from (info, loaded, cuda, traffic, unavailable)

    def _processes(self) -> Iterator[Metric]:
        in_flight = GaugeMetricFamily("digitalis_requests_in_flight", "Requests in progress", labels=("worker",))
        memory = GaugeMetricFamily(
            "digitalis_worker_resident_memory_bytes", "Resident memory of a worker process", labels=("worker",)
        )
        for block, process, count in self._counters.processes():
            resident = _resident_bytes(process)
            if resident is not None:
                in_flight.add_metric((str(block),), count)
                memory.add_metric((str(block),), resident)
        yield in_flight
        yield memory


def _histogram(
    name: str, meaning: str, labels: tuple[str, ...], histograms: Iterable[tuple[tuple[str, ...], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for values, histogram in histograms:
        bounds = [floatToGoString(bound) for bound in (*histogram.bounds, inf)]
        counts = zip(bounds, accumulate(histogram.counts), strict=True)
        family.add_metric(values, list(counts), histogram.total / histogram.unit)
    return family


def _resident_bytes(process: int) -> int | None:
    """None for a process that has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
