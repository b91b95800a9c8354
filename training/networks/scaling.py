"""Scaling inside the network: clients send raw pixels and features, and get values in their own units."""

import torch
from torch import Tensor, nn


class PixelScaling(nn.Module):
    """UINT8 [n, 28, 28] -> FP32 [n, 784]: 0 to 1, or centred: -1 to 1."""

    def __init__(self, *, centred: bool) -> None:
        super().__init__()
        self.centred = centred

    def forward(self, image: Tensor) -> Tensor:
        """Scale."""
        unit = image.flatten(1).to(torch.float32) / 255.0
        return (unit - 0.5) / 0.5 if self.centred else unit


class _ColumnStatistics(nn.Module):
    """Mean and standard deviation of each column of the training data, as buffers of the network."""

    mean: Tensor
    std: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("std", torch.ones(columns))

    def fit(self, rows: Tensor) -> None:
        """Set mean and standard deviation to those of the training data, FP32 [n, columns]."""
        self.mean.copy_(rows.mean(dim=0))
        std = rows.std(dim=0, correction=0)
        varies = std > 1e-6 * self.mean.abs()  # a smaller one is rounding error: the column is constant
        self.std.copy_(torch.where(varies, std, 1.0))


class Standardise(_ColumnStatistics):
    """FP32 [n, columns] -> FP32 [n, columns] with mean 0 and standard deviation 1 over the training data."""

    def forward(self, rows: Tensor) -> Tensor:
        """Scale."""
        return (rows - self.mean) / self.std


class InverseStandardise(_ColumnStatistics):
    """From mean 0 and standard deviation 1 back to the units of the training data, FP32 [n, columns]."""

    def forward(self, rows: Tensor) -> Tensor:
        """Scale back."""
        return rows * self.std + self.mean

    def inverse(self, rows: Tensor) -> Tensor:
        """From the units of the training data to mean 0 and standard deviation 1: encodes the targets."""
        return (rows - self.mean) / self.std
