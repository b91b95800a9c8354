"""Mixture density networks: the outputs are the parameters of a mixture of Gaussians for one value.

After Bishop, "Mixture density networks", 1994. Where one input has several answers, their mean may be none of them.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softplus

from training.networks.scaling import ColumnStatistics

UNITS = 3  # of the last layer for one Gaussian: weight, mean, deviation
MIN_DEVIATION = 0.01  # of the target's standard deviation: a narrower Gaussian on one row would have any density


class MixtureOutput(ColumnStatistics):
    """The last layer's units FP32 [n, 3 * K] -> weights, means and deviations FP32 [n, K], in the target's units."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, units: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights add up to 1."""
        log_weights, means, deviations = split_units(units)
        return log_weights.exp(), means * self.std + self.mean, deviations * self.std


def split_units(units: Tensor, min_deviation: float = MIN_DEVIATION) -> tuple[Tensor, Tensor, Tensor]:
    """Logarithms of the weights, means and deviations of a standardised target, each FP32 [n, K]."""
    weights, means, deviations = units.chunk(3, dim=1)  # TorchScript sees no constant of a module
    return log_softmax(weights, dim=1), means, softplus(deviations) + min_deviation


def log_density(log_weights: Tensor, means: Tensor, deviations: Tensor, targets: Tensor) -> Tensor:
    """The logarithm of the density at targets FP32 [n, 1]: FP32 [n], in nats."""
    distance = (targets - means) / deviations
    each = log_weights - 0.5 * distance * distance - deviations.log() - 0.5 * math.log(2 * math.pi)
    return torch.logsumexp(each, dim=1)
