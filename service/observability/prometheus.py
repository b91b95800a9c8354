"""All counters as Prometheus reads them: names and units by its conventions, seconds and bytes."""

import os
from collections.abc import Iterable, Iterator
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

from service.inference.repository import ModelRepository
from service.observability.counter_layout import STAGES, STATUSES
from service.observability.drift import LABEL
from service.observability.shared_counters import Telemetry
from service.observability.snapshot import Answers, Histogram

MODEL = ("model", "version")


def exposition(telemetry: Telemetry, models: ModelRepository, accepted: str) -> tuple[bytes, str]:
    """The page and its media type: Prometheus' text, or OpenMetrics' where the client accepts that."""
    registry = CollectorRegistry()
    registry.register(_Collector(telemetry, models))
    encode, media_type = choose_encoder(accepted)
    return encode(registry), media_type


class _Collector:
    def __init__(self, telemetry: Telemetry, models: ModelRepository) -> None:
        self._telemetry = telemetry
        self._models = models

    def describe(self) -> Iterable[Metric]:
        """Nothing needs to be known beforehand."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family, each model that has been asked in it."""
        answers = {title: Answers.of(self._telemetry, title) for title in self._telemetry.counted}
        asked = {title: found for title, found in answers.items() if any(found.requests.values())}
        yield from self._requests(answers)
        yield from self._refusals(asked)
        stages = (((*t, s), one) for t, found in asked.items() for s, one in zip(STAGES, found.stages, strict=True))
        yield _histograms("digitalis_stage_duration_seconds", "Time of a success, by stage", (*MODEL, "stage"), stages)
        rows = ((title, found.rows) for title, found in asked.items())
        yield _histograms("digitalis_batch_rows", "Rows of a request that succeeded", MODEL, rows)
        sure = ((title, found.confidences) for title, found in asked.items() if found.labels)
        yield _histograms("digitalis_prediction_confidence_ratio", "Probability of the likeliest label", MODEL, sure)
        yield from self._predictions(asked)
        yield from self._drift(asked)
        yield from self._info()
        yield from self._processes()

    def _requests(self, answers: dict[tuple[str, str], Answers]) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "digitalis_requests", "Requests that were answered", labels=(*MODEL, "protocol", "status")
        )
        for title, found in answers.items():
            for (protocol, status), count in found.requests.items():
                if count or status == STATUSES[0]:
                    family.add_metric((*title, protocol, str(status)), count)
        for status, count in zip(STATUSES, self._telemetry.others(), strict=True):
            if count:
                family.add_metric(("", "", "", str(status)), count)
        yield family

    def _refusals(self, asked: dict[tuple[str, str], Answers]) -> Iterator[Metric]:
        family = CounterMetricFamily("digitalis_refusals", "Requests that were refused", labels=(*MODEL, "reason"))
        for title, found in asked.items():
            for reason, count in found.refused.items():
                if count:
                    family.add_metric((*title, reason), count)
        yield family

    def _predictions(self, asked: dict[tuple[str, str], Answers]) -> Iterator[Metric]:
        family = CounterMetricFamily("digitalis_predictions", "Rows by their likeliest label", labels=(*MODEL, "label"))
        for title, found in asked.items():
            for label, count in zip(self._telemetry.counted[title].labels, found.labels, strict=True):
                family.add_metric((*title, label), count)
        yield family

    def _drift(self, asked: dict[tuple[str, str], Answers]) -> Iterator[Metric]:
        labels = (*MODEL, "feature", "bin")
        rows = CounterMetricFamily("digitalis_feature_rows", "Rows, by where a feature lies", labels=labels)
        shares = GaugeMetricFamily("digitalis_feature_training_ratio", "Share of the training rows", labels=labels)
        for title, found in asked.items():
            known = self._telemetry.counted[title]
            for one, counts in zip(known.distributions, found.bins, strict=True):
                for name, count, share in zip(one.bins, counts, one.shares, strict=True):
                    rows.add_metric((*title, one.name, name), count)
                    shares.add_metric((*title, one.name, name), share)
            for name, count, share in zip(known.labels, found.labels, known.label_shares, strict=True):
                rows.add_metric((*title, LABEL, name), count)
                shares.add_metric((*title, LABEL, name), share)
        yield rows
        yield shares

    def _info(self) -> Iterator[Metric]:
        family = InfoMetricFamily("digitalis_model", "The models that are open", labels=MODEL)
        for title in self._models.titles():
            model = self._models.find(*title)
            what = {"runtime": model.runtime.name, "device": model.runtime.device, "digest": model.digest}
            family.add_metric(title, what | {"task": model.bundle.task})
        yield family
        loaded = GaugeMetricFamily("digitalis_model_load_seconds", "Time to open and check the model", labels=MODEL)
        for title in self._models.titles():
            loaded.add_metric(title, self._models.find(*title).load_seconds)
        yield loaded

    def _processes(self) -> Iterator[Metric]:
        flying = GaugeMetricFamily("digitalis_requests_in_flight", "Requests being answered", labels=("worker",))
        memory = GaugeMetricFamily(
            "digitalis_worker_resident_memory_bytes", "Resident memory of a worker process", labels=("worker",)
        )
        for worker, process, count in self._telemetry.processes():
            resident = _resident(process)
            if resident is not None:
                flying.add_metric((str(worker),), count)
                memory.add_metric((str(worker),), resident)
        yield flying
        yield memory


def _histograms(
    name: str, meaning: str, labels: tuple[str, ...], found: Iterable[tuple[tuple[str, ...], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for values, histogram in found:
        bounds = [floatToGoString(bound) for bound in (*histogram.bounds, inf)]
        counts = zip(bounds, accumulate(histogram.buckets), strict=True)
        family.add_metric(values, list(counts), histogram.total / histogram.parts)
    return family


def _resident(process: int) -> int | None:
    """Bytes; None for a process that has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
