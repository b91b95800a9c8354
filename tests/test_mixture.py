"""Mixture density networks: the summary of a mixture, and the model `arc` over both protocols."""

import json
from typing import Any

import numpy as np
import pytest
from in_process import open_app, post
from scipy.optimize import brentq
from scipy.stats import norm

from service.http.routing import DigitalisApp
from service.inference.mixture import QUANTILES, summarise

HEIGHT = 0.51  # of the arc, at the places -0.7 and 0.7


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return open_app("arc")


def predict(app: DigitalisApp, height: float) -> dict[str, Any]:
    response = post(app, "/v1/models/arc:predict", json.dumps({"instances": [[height]]}).encode(), {})
    (prediction,) = response.json()["predictions"]
    return dict(prediction)


def test_mean_deviation_and_quantiles_are_those_of_the_mixture() -> None:
    """Against SciPy, on mixtures of very different widths."""
    random = np.random.default_rng(0)
    weights = random.dirichlet((1, 1, 1), 20)
    means, deviations = random.normal(0, 100, (20, 3)), 10 ** random.uniform(-3, 3, (20, 3))
    outputs = {"weights": weights, "means": means, "deviations": deviations}
    found = summarise({name: array.astype(np.float32) for name, array in outputs.items()})
    for row in range(20):
        mixture = norm(means[row], deviations[row])
        second = (weights[row] * (deviations[row] ** 2 + means[row] ** 2)).sum()
        mean = weights[row] @ means[row]
        assert found.mean[row] == pytest.approx(mean, rel=1e-4, abs=1e-3)
        assert found.deviation[row] == pytest.approx((second - mean**2) ** 0.5, rel=1e-3)
        for fraction, quantile in zip(QUANTILES, found.quantiles[row], strict=True):
            exact = brentq(lambda x, p=fraction, m=mixture, w=weights[row]: w @ m.cdf(x) - p, -1e5, 1e5, xtol=1e-9)
            assert weights[row] @ mixture.cdf(quantile) == pytest.approx(fraction, abs=1e-3), exact


def test_two_answers_to_one_input_are_two_gaussians_and_their_mean_is_neither(app: DigitalisApp) -> None:
    prediction = predict(app, HEIGHT)
    likely = [mean for mean, weight in zip(prediction["means"], prediction["weights"], strict=True) if weight > 0.1]
    assert sorted(likely) == pytest.approx([-0.7, 0.7], abs=0.1)
    assert abs(prediction["mean"]) < 0.2
    assert prediction["deviation"] == pytest.approx(0.7, abs=0.1)
    assert sum(prediction["weights"]) == pytest.approx(1, abs=1e-6)
    assert list(prediction["quantiles"]) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
    assert prediction["quantiles"]["0.05"] == pytest.approx(-0.77, abs=0.1)
    assert prediction["quantiles"]["0.95"] == pytest.approx(0.77, abs=0.1)


def test_a_height_that_the_arc_does_not_have_gets_a_warning(app: DigitalisApp) -> None:
    assert predict(app, 3)["warnings"][0].startswith("height = 3 is outside ")


def test_v2_returns_the_three_outputs(app: DigitalisApp) -> None:
    tensor = {"name": "features", "shape": [1, 1], "datatype": "FP32", "data": [HEIGHT]}
    outputs = post(app, "/v2/models/arc/infer", json.dumps({"inputs": [tensor]}).encode(), {}).json()["outputs"]
    prediction = predict(app, HEIGHT)
    assert {one["name"]: one["data"] for one in outputs} == {
        name: pytest.approx(prediction[name]) for name in ("weights", "means", "deviations")
    }
