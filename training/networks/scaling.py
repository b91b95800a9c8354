"""Scaling inside the network: clients send raw pixels and features, and get values in their own units."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.recipes.table import TableColumn

SMALLEST_STD = 1e-6  # of the mean


class PixelScaling(nn.Module):
    """UINT8 [n, 28, 28] -> FP32 [n, 784]: 0 to 1, or centred: -1 to 1."""

    def __init__(self, *, centred: bool) -> None:
        super().__init__()
        self.centred = centred

    def forward(self, image: Tensor) -> Tensor:
        """Scale."""
        unit = image.flatten(1).to(torch.float32) / 255.0
        return (unit - 0.5) / 0.5 if self.centred else unit


class ColumnStatistics(nn.Module):
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
        varies = std > SMALLEST_STD * self.mean.abs()  # a smaller one is rounding error: the column is constant
        self.std.copy_(torch.where(varies, std, 1.0))

    def standardise(self, rows: Tensor) -> Tensor:
        """From the units of the training data to mean 0 and standard deviation 1."""
        return (rows - self.mean) / self.std


class Standardise(ColumnStatistics):
    """FP32 [n, columns] -> FP32 [n, columns] with mean 0 and standard deviation 1 over the training data."""

    def forward(self, rows: Tensor) -> Tensor:
        """Scale."""
        return self.standardise(rows)


class ColumnEncoding(nn.Module):
    """The features of a table -> inputs of the first layer, FP32 [n, features] -> [n, encoded].

    Numbers are standardised, with the mean in place of a missing one. A category becomes one input for each word: 1 for
    the one that it is, all 0 if it is missing. Then one input for each feature that may be missing: 1 where it is.
    """

    mean: Tensor
    std: Tensor
    numbers: Tensor
    words: Tensor
    codes: Tensor
    optional: Tensor

    def __init__(self, features: Sequence[TableColumn]) -> None:
        super().__init__()
        of_kind = {kind: [i for i, one in enumerate(features) if one.kind == kind] for kind in ("number", "category")}
        coded = [(i, code) for i in of_kind["category"] for code in range(len(features[i].categories))]
        self.register_buffer("mean", torch.zeros(len(of_kind["number"])))
        self.register_buffer("std", torch.ones(len(of_kind["number"])))
        self.register_buffer("numbers", torch.tensor(of_kind["number"], dtype=torch.int64))
        self.register_buffer("words", torch.tensor([i for i, _ in coded], dtype=torch.int64))
        self.register_buffer("codes", torch.tensor([code for _, code in coded], dtype=torch.int64))
        optional = [i for i, one in enumerate(features) if one.may_be_missing]
        self.register_buffer("optional", torch.tensor(optional, dtype=torch.int64))

    def fit(self, rows: Tensor) -> None:
        """Set mean and standard deviation to those of the training data's numbers, FP32 [n, features]."""
        for i, column in enumerate(rows[:, self.numbers].T):
            present = column[~column.isnan()]
            mean, std = present.mean(), present.std(correction=0)
            self.mean[i] = mean
            self.std[i] = torch.where(std > SMALLEST_STD * mean.abs(), std, 1.0)

    def forward(self, features: Tensor) -> Tensor:
        """Encode."""
        missing = torch.isnan(features)
        present = torch.where(missing, torch.zeros_like(features), features)
        absent = missing.to(torch.float32)
        numbers = (present.index_select(1, self.numbers) - self.mean) / self.std
        numbers = numbers * (1.0 - absent.index_select(1, self.numbers))
        words = (present.index_select(1, self.words) == self.codes.to(torch.float32)).to(torch.float32)
        words = words * (1.0 - absent.index_select(1, self.words))
        return torch.cat([numbers, words, absent.index_select(1, self.optional)], dim=1)


class InverseStandardise(ColumnStatistics):
    """From mean 0 and standard deviation 1 back to the units of the training data, FP32 [n, columns]."""

    def forward(self, rows: Tensor) -> Tensor:
        """Scale back."""
        return rows * self.std + self.mean
