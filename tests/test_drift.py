"""Data drift: the baseline histograms of bundles, the counts of the service, and the index computed from both."""

import subprocess
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import IRIS, MODELS
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from real_prometheus import RULES, Prometheus, executable
from running_service import RunningService
from sklearn.datasets import load_iris

from service.bundle.baseline import DIGIT_FEATURES, BaselineHistogram
from service.bundle.loading import load_bundle
from service.images.normaliser.mnist_geometry import areas_and_widths
from service.observability.counter_layout import CounterLayout, MetricsSchema
from service.observability.drift import MAX_MEASURED_IMAGES, bin_counts, monitored_values, subsample
from service.observability.prediction_stats import PendingPredictions

FOLDERS = sorted(MODELS.glob("*/*"))
PSI = "digitalis:feature_population_stability_index:psi1h"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[RunningService]:
    """A service that has handled no request yet."""
    with RunningService(tmp_path / "log") as running:
        yield running


def bins(service: RunningService, model: str, feature: str, name: str = "rows_total") -> dict[str, float]:
    """The value of a metric `digitalis_feature_...` in each bin of a model's feature."""
    families = text_string_to_metric_families(httpx.get(f"{service.url}/metrics").text)
    labels = {"model": model, "feature": feature}
    samples = [it for family in families for it in family.samples if it.name == f"digitalis_feature_{name}"]
    return {sample.labels["bin"]: sample.value for sample in samples if labels.items() <= sample.labels.items()}


def stroke_width(mask: NDArray[np.bool_]) -> float:
    """Twice the area divided by the length of the outline; a simple implementation."""
    padded = np.pad(mask, 1)
    outline = sum(np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1))
    return float(2 * mask.sum() / max(1.0, outline * np.pi / 4))


@pytest.mark.parametrize("shape", [(28, 28), (5, 9), (9, 5), (1, 1), (1, 8), (8, 1)])
def test_ink_area_and_stroke_width_equal_a_simple_implementation(shape: tuple[int, int]) -> None:
    masks = np.random.default_rng(0).random((20, *shape)) < np.linspace(0, 1, 20)[:, None, None]
    areas, widths = zip(*areas_and_widths(masks), strict=True)
    assert list(areas) == [mask.sum() for mask in masks]
    assert widths == pytest.approx([stroke_width(mask) for mask in masks])


def test_a_bin_includes_its_upper_edge() -> None:
    histogram = BaselineHistogram("x", (0.1, 2.0), (0.2, 0.3, 0.5))
    assert histogram.bins == ["<= 0.1", "(0.1, 2]", "> 2"]
    rows = np.array([[0.1], [0.10001], [2.0], [2.5], [-7.0]], np.float32)
    assert [counts.tolist() for counts in bin_counts((histogram,), rows)] == [[2, 2, 1]]


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.parent.name for folder in FOLDERS])
def test_every_bundle_has_a_baseline_histogram_of_each_feature_and_output(folder: Path) -> None:
    bundle, _ = load_bundle(folder)
    names = [histogram.name for histogram in bundle.baseline]
    inputs = [feature.name for feature in bundle.features] or list(DIGIT_FEATURES)
    outputs = [target.name for target in bundle.targets] or ["confidence"]
    assert names == inputs + outputs
    for histogram in bundle.baseline:
        assert sum(histogram.fractions) == pytest.approx(1, abs=1e-4)
        if histogram.name != "confidence":
            assert all(fraction > 0 for fraction in histogram.fractions)


def test_the_baseline_of_iris_is_close_to_the_histogram_of_the_whole_data_set() -> None:
    petal = next(it for it in load_bundle(IRIS)[0].baseline if it.name == "petal length (cm)")
    petal_lengths = load_iris().data[:, 2].astype(np.float32)  # 150 rows, of which 105 are training rows
    (counts,) = bin_counts((petal,), petal_lengths[:, None])
    assert np.abs(counts / 150 - petal.fractions).max() < 0.05


def test_single_rows_and_batches_give_the_same_counts(served: RunningService) -> None:
    rows = load_iris().data[::5].tolist()
    served.client.post("/v1/models/iris:predict", json={"instances": rows})
    batch = {feature: bins(served, "iris", feature) for feature in ("petal width (cm)", "confidence", "label")}
    for row in rows:
        served.client.post("/v1/models/iris:predict", json={"instances": [row]})
    for feature, counts in batch.items():
        assert sum(counts.values()) == 30
        assert bins(served, "iris", feature) == {name: 2 * count for name, count in counts.items()}
        training_fractions = bins(served, "iris", feature, "training_ratio")
        assert list(training_fractions) == list(counts)
        assert sum(training_fractions.values()) == pytest.approx(1, abs=1e-4)


def test_inputs_and_predicted_values_of_a_regression_are_counted(served: RunningService) -> None:
    row = {"Chins": 5, "Situps": 162, "Jumps": 60}
    served.client.post("/v1/models/linnerud:predict", json={"instances": [row] * 3})
    assert [sum(bins(served, "linnerud", name).values()) for name in ("Chins", "Weight", "label")] == [3, 3, 0]


def test_a_large_batch_of_images_is_subsampled(served: RunningService) -> None:
    images = np.random.default_rng(0).integers(0, 256, (100, 28, 28), np.uint8)
    inputs, outputs = subsample({"image": images}, {"probabilities": np.full((100, 10), 0.1, np.float32)})
    assert len(inputs["image"]) == len(outputs["probabilities"]) == 4 <= MAX_MEASURED_IMAGES
    ink_fractions = (images[::25] >= 128).mean(axis=(1, 2))
    assert monitored_values(inputs, outputs)[:, 0] == pytest.approx(ink_fractions, abs=1e-6)
    assert served.client.post("/v1/models/mnist:predict", json={"instances": images.tolist()}).status_code == 200
    assert sum(bins(served, "mnist", "ink fraction").values()) == 4


@pytest.mark.slow
def test_promtool_accepts_the_drift_rules() -> None:
    command = [executable("promtool"), "check", "rules", str(RULES)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (completed.returncode, "SUCCESS: 5 rules found" in completed.stdout) == (0, True), completed


def stability_index(prometheus: Prometheus, model: str, drifted: str = "") -> dict[str, float]:
    """The population stability index of each feature, from an evaluation of the rules that begins after this call.

    With `drifted`, as soon as that feature's index is over 0.25.
    """
    prometheus.query(f'timestamp({PSI}{{model="{model}"}}) > {time.time()}')
    if drifted:
        prometheus.query(f'{PSI}{{model="{model}", feature="{drifted}"}} > 0.25')
    result = prometheus.query(f'{PSI}{{model="{model}"}}')
    return {sample["metric"]["feature"]: float(sample["value"][1]) for sample in result}


def send_rows(service: RunningService, prometheus: Prometheus, model: str, rows: NDArray[Any]) -> None:
    """Send one row, wait until Prometheus has scraped its counts, send all rows, and wait for their counts as well.

    The single row is for PromQL's `increase`, which needs a value before the increase.
    """

    def send(batch: NDArray[Any]) -> None:
        service.client.post(f"/v1/models/{model}:predict", json={"instances": batch.tolist()}).raise_for_status()

    send(rows[:1])
    prometheus.query(f'digitalis_feature_rows_total{{model="{model}"}}')
    for batch in np.array_split(rows, -(-len(rows) // 8)):
        send(batch)
    count = sum(bins(service, model, "confidence").values())
    prometheus.query(f'sum(digitalis_feature_rows_total{{model="{model}", feature="confidence"}}) >= {count}')


@pytest.mark.slow
def test_the_stability_index_shows_which_feature_has_drifted(served: RunningService, tmp_path: Path) -> None:
    rows = np.tile(load_iris().data, (4, 1))
    with Prometheus(served.address, tmp_path) as prometheus:
        send_rows(served, prometheus, "iris", rows)
        before = stability_index(prometheus, "iris")
        assert set(before) == {*load_iris().feature_names, "confidence", "label"}
        assert max(before.values()) < 0.1
        send_rows(served, prometheus, "iris", np.tile(rows + np.array([0, 0, 1.5, 0]), (2, 1)))
        after = stability_index(prometheus, "iris", drifted="petal length (cm)")
        assert after["sepal width (cm)"] < 0.1


@pytest.mark.parametrize("labels", [(), ("no", "yes")], ids=["a network of tensors", "a classifier"])
def test_inputs_of_a_model_without_a_baseline_are_not_kept(labels: tuple[str, ...]) -> None:
    layout = CounterLayout(MetricsSchema(labels))
    pending = PendingPredictions(np.zeros(layout.size, np.int64))
    array = np.zeros((1, 1000), np.float32)
    kept = weakref.ref(array)
    pending.add(layout, {"x": array}, {"probabilities": np.full((1, 2), 0.5, np.float32)}, rows=1, now=0)
    del array
    assert kept() is None


@pytest.mark.slow
def test_the_stability_index_shows_a_drift_to_thinner_strokes(
    served: RunningService, tmp_path: Path, mnist_test: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    images = mnist_test[0][::10]
    with Prometheus(served.address, tmp_path) as prometheus:
        send_rows(served, prometheus, "mnist", images)
        assert max(stability_index(prometheus, "mnist").values()) < 0.1
        thinner = np.minimum.reduce([images, np.roll(images, 1, axis=2)])
        send_rows(served, prometheus, "mnist", np.tile(thinner, (2, 1, 1)))
        after = stability_index(prometheus, "mnist", drifted="stroke width")
        assert after["ink fraction"] > 0.1 > after["label"]
