"""Mixtures of Gaussians, which a mixture density network predicts: their mean, standard deviation and quantiles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bundle.signature import Arrays

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
REACH = 10  # deviations around a mean, beyond which there is nothing
BISECTIONS = 48
# Of the error function: Abramowitz and Stegun, "Handbook of mathematical functions", 7.1.26; error below 1.5e-7.
ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
ERF_SCALE = 0.3275911

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """Of n mixtures: `mean` and `deviation` FP64 [n]; `quantiles` FP64 [n, 5], as `QUANTILES`."""

    mean: Floats
    deviation: Floats
    quantiles: Floats


def summarise(outputs: Arrays) -> Summary:
    """Summarise `weights`, `means` and `deviations`, FP32 [n, K] each."""
    weights, means, deviations = (outputs[name].astype(np.float64) for name in ("weights", "means", "deviations"))
    mean = mixture_means(outputs).ravel()
    variance = (weights * (deviations**2 + means**2)).sum(axis=1) - mean**2
    return Summary(mean, np.sqrt(np.maximum(variance, 0)), _quantiles(weights, means, deviations))


def mixture_means(outputs: Arrays) -> Floats:
    """The mean of each mixture, FP64 [n, 1]."""
    means: Floats = (outputs["weights"].astype(np.float64) * outputs["means"]).sum(axis=1, keepdims=True)
    return means


def _quantiles(weights: Floats, means: Floats, deviations: Floats) -> Floats:
    """By bisection of the cumulative distribution."""
    shape = (len(weights), len(QUANTILES))
    low = np.broadcast_to((means - REACH * deviations).min(axis=1, keepdims=True), shape).copy()
    high = np.broadcast_to((means + REACH * deviations).max(axis=1, keepdims=True), shape).copy()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = np.zeros(shape)
        for k in range(weights.shape[1]):  # of a few Gaussians: one at a time needs the memory of one
            below += weights[:, k, None] * _normal_cdf((middle - means[:, k, None]) / deviations[:, k, None])
        low = np.where(below < QUANTILES, middle, low)
        high = np.where(below < QUANTILES, high, middle)
    return np.asarray((low + high) / 2)


def _normal_cdf(x: Floats) -> Floats:
    """The standard normal distribution's cumulative distribution function."""
    positive = np.abs(x) / np.sqrt(2)
    t = 1 / (1 + ERF_SCALE * positive)
    polynomial = np.polyval([*reversed(ERF), 0.0], t)
    erf = 1 - polynomial * np.exp(-positive * positive)
    return np.asarray(np.where(x < 0, 1 - erf, 1 + erf) / 2)
