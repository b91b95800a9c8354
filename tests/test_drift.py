"""What a bundle knows of its training data, what the service counts beside it, and the index that is made of both."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import MODELS
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from real_prometheus import RULES, Prometheus, program
from running_service import RunningService
from sklearn.datasets import load_iris

from service.bundle.manifest import load_bundle
from service.images.normaliser.mnist_geometry import areas_and_widths
from service.observability.drift import INK, MOST_IMAGES, Distribution, counted, quantities, sampled

FOLDERS = sorted(MODELS.glob("*/*"))
PSI = "digitalis:feature_population_stability_index:psi1h"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[RunningService]:
    """One that has answered nothing yet."""
    with RunningService(tmp_path / "log") as running:
        yield running


def bins(service: RunningService, model: str, feature: str, name: str = "rows_total") -> dict[str, float]:
    families = text_string_to_metric_families(httpx.get(f"{service.url}/metrics").text)
    wanted = {"model": model, "feature": feature}
    samples = [one for family in families for one in family.samples if one.name == f"digitalis_feature_{name}"]
    return {one.labels["bin"]: one.value for one in samples if wanted.items() <= one.labels.items()}


def width(mask: NDArray[np.bool_]) -> float:
    """Twice the area over the outline, as one would write it down."""
    padded = np.pad(mask, 1)
    outline = sum(np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1))
    return float(2 * mask.sum() / max(1.0, outline * np.pi / 4))


@pytest.mark.parametrize("shape", [(28, 28), (5, 9), (9, 5), (1, 1), (1, 8), (8, 1)])
def test_strokes_are_measured_to_the_pixel(shape: tuple[int, int]) -> None:
    masks = np.random.default_rng(0).random((20, *shape)) < np.linspace(0, 1, 20)[:, None, None]
    areas, widths = zip(*areas_and_widths(masks), strict=True)
    assert list(areas) == [mask.sum() for mask in masks]
    assert widths == pytest.approx([width(mask) for mask in masks])


def test_a_value_lies_in_the_bin_that_it_ends() -> None:
    distribution = Distribution("x", (0.1, 2.0), (0.2, 0.3, 0.5))
    assert distribution.bins == ["<= 0.1", "(0.1, 2]", "> 2"]
    rows = np.array([[0.1], [0.10001], [2.0], [2.5], [-7.0]], np.float32)
    assert [counts.tolist() for counts in counted((distribution,), rows)] == [[2, 2, 1]]


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.parent.name for folder in FOLDERS])
def test_each_bundle_knows_how_its_training_data_was_distributed(folder: Path) -> None:
    bundle, _ = load_bundle(folder)
    names = [one.name for one in bundle.distributions]
    said = [target.name for target in bundle.targets] or ["confidence"]
    assert names == ([feature.name for feature in bundle.features] or list(INK)) + said
    for one in bundle.distributions:
        assert sum(one.shares) == pytest.approx(1, abs=1e-4)
        if one.name != "confidence":
            assert all(share > 0 for share in one.shares)


def test_irises_are_distributed_as_scikit_learn_has_them() -> None:
    (folder,) = (MODELS / "iris").iterdir()
    petal = next(one for one in load_bundle(folder)[0].distributions if one.name == "petal length (cm)")
    everything = load_iris().data[:, 2].astype(np.float32)  # 150 rows, of which 105 were learned from
    (found,) = counted((petal,), everything[:, None])
    assert np.abs(found / 150 - petal.shares).max() < 0.05


def test_rows_are_counted_one_by_one_and_in_batches_alike(served: RunningService) -> None:
    rows = load_iris().data[::5].tolist()
    served.client.post("/v1/models/iris:predict", json={"instances": rows})
    at_once = {feature: bins(served, "iris", feature) for feature in ("petal width (cm)", "confidence", "label")}
    for row in rows:
        served.client.post("/v1/models/iris:predict", json={"instances": [row]})
    for feature, counts in at_once.items():
        assert sum(counts.values()) == 30
        assert bins(served, "iris", feature) == {name: 2 * count for name, count in counts.items()}
        shares = bins(served, "iris", feature, "training_ratio")
        assert list(shares) == list(counts)
        assert sum(shares.values()) == pytest.approx(1, abs=1e-4)


def test_values_of_a_regression_are_counted_too(served: RunningService) -> None:
    row = {"Chins": 5, "Situps": 162, "Jumps": 60}
    served.client.post("/v1/models/linnerud:predict", json={"instances": [row] * 3})
    assert [sum(bins(served, "linnerud", name).values()) for name in ("Chins", "Weight", "label")] == [3, 3, 0]


def test_of_many_images_some_are_measured(service: RunningService) -> None:
    images = np.random.default_rng(0).integers(0, 256, (100, 28, 28), np.uint8)
    some, said = sampled({"image": images}, {"probabilities": np.full((100, 10), 0.1, np.float32)})
    assert len(some["image"]) == len(said["probabilities"]) == 4 <= MOST_IMAGES
    assert quantities(some, said)[:, 0] == pytest.approx((images[::25] >= 128).mean(axis=(1, 2)), abs=1e-6)
    assert service.client.post("/v1/models/mnist:predict", json={"instances": images.tolist()}).status_code == 200


@pytest.mark.slow
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    command = [program("promtool"), "check", "rules", str(RULES)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, "SUCCESS: 5 rules found" in checked.stdout) == (0, True), checked


def index(prometheus: Prometheus, model: str, more_than: str = "") -> dict[str, float]:
    """The population stability index of each feature, once there is one (of this feature, over 0.25)."""
    if more_than:
        prometheus.answer(f'{PSI}{{model="{model}", feature="{more_than}"}} > 0.25')
    return {one["metric"]["feature"]: float(one["value"][1]) for one in prometheus.answer(f'{PSI}{{model="{model}"}}')}


def fed(service: RunningService, prometheus: Prometheus, model: str, rows: NDArray[Any]) -> None:
    """Send rows once they have begun to be counted: an increase needs a count before it."""

    def send(some: NDArray[Any]) -> None:
        service.client.post(f"/v1/models/{model}:predict", json={"instances": some.tolist()}).raise_for_status()

    send(rows[:1])
    prometheus.answer(f'digitalis_feature_rows_total{{model="{model}"}}')
    for part in np.array_split(rows, -(-len(rows) // 8)):
        send(part)


@pytest.mark.slow
def test_the_index_tells_which_feature_has_moved(served: RunningService, tmp_path: Path) -> None:
    flowers = np.tile(load_iris().data, (4, 1))
    with Prometheus(served.address, tmp_path) as prometheus:
        fed(served, prometheus, "iris", flowers)
        before = index(prometheus, "iris")
        assert set(before) == {*load_iris().feature_names, "confidence", "label"}
        assert max(before.values()) < 0.1
        fed(served, prometheus, "iris", np.tile(flowers + np.array([0, 0, 1.5, 0]), (2, 1)))
        after = index(prometheus, "iris", more_than="petal length (cm)")
        assert after["sepal width (cm)"] < 0.1


@pytest.mark.slow
def test_the_index_tells_thin_pens_from_thick_ones(
    served: RunningService, tmp_path: Path, mnist_test: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    images = mnist_test[0][::10]
    with Prometheus(served.address, tmp_path) as prometheus:
        fed(served, prometheus, "mnist", images)
        assert max(index(prometheus, "mnist").values()) < 0.1
        thin = np.minimum.reduce([images, np.roll(images, 1, axis=2)])
        fed(served, prometheus, "mnist", np.tile(thin, (2, 1, 1)))
        after = index(prometheus, "mnist", more_than="stroke width")
        assert after["ink fraction"] > 0.1 > after["label"]
