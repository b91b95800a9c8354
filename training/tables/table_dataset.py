"""The rows of a table as a data set: words as codes, missing values as NaN, split by the seed."""

from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from service.bundle.manifest import Column
from training.datasets.dataset import Split, columns_with_ranges
from training.datasets.stratified import StratifiedSplit
from training.errors import DataUnavailable
from training.recipes.recipe import Recipe
from training.recipes.table import Table, TableColumn
from training.tables.columns import check_numbers
from training.tables.reading import Format, RawTable, read_table


class TableDataset:
    """`inputs` FP32 [n, features], NaN where a value is missing; `targets` INT64 [n] or FP32 [n, values].

    Rows without a target are left out. Held-out and validation rows are drawn by the seed, in each of which a class has
    the share that it has among all rows. Raises `DataUnavailable` if the file is not there, or does not fit the recipe.
    """

    def __init__(self, recipe: Recipe, table: Table) -> None:
        self.name = recipe.dataset
        self.source = table.source or f"{Path(table.path).name}, a table of the user's"
        self.licence = table.licence
        self.labels = table.labels
        self._table = table
        if not Path(table.path).is_file():
            message = f"{table.path}: no such file (path of recipe {recipe.name}, relative to the recipe's file)"
            raise DataUnavailable(message)
        raw = read_table(Path(table.path), Format(table.delimiter, table.decimal, table.encoding))
        raw = raw.with_all(table.targets, table.missing)
        self._inputs = np.column_stack([_encoded(raw, one, table) for one in table.features])
        self._lines = raw.lines.to_numpy()
        self._targets = _classes(raw, table) if table.labels else _values(raw, table)
        classes = self._targets.astype(np.int64) if table.labels else None
        self._split = StratifiedSplit(len(self), classes, table.held_out, recipe.validation_rows, table.path)

    def __len__(self) -> int:
        return len(self._targets)

    def train(self, seed: int) -> Split:
        """The training data, with the validation rows at its end."""
        return self._rows(self._split.train(seed))

    def held_out(self, seed: int) -> Split:
        """The held-out rows."""
        return self._rows(self._split.held_out(seed))

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        """The features with their ranges in the training data, and their categories."""
        low = np.nanmin(train.inputs.numpy(), axis=0).tolist()
        high = np.nanmax(train.inputs.numpy(), axis=0).tolist()
        ranges = zip(self._table.features, low, high, strict=True)
        return tuple(_column(feature, minimum, maximum) for feature, minimum, maximum in ranges)

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        """The predicted values with their ranges in the training data; empty for classes."""
        return () if self.labels else columns_with_ranges(self._table.targets, train.targets)

    def _rows(self, rows: NDArray[np.int64]) -> Split:
        inputs, targets = torch.from_numpy(self._inputs[rows]), torch.from_numpy(self._targets[rows])
        return Split(inputs, targets, lines=tuple(self._lines[rows].tolist()))


def _column(feature: TableColumn, minimum: float, maximum: float) -> Column:
    if feature.kind == "category":
        minimum, maximum = 0, len(feature.categories) - 1
    low, high = float(f"{minimum:.7g}"), float(f"{maximum:.7g}")
    return Column(feature.name, low, high, feature.categories, feature.may_be_missing)


def _encoded(raw: RawTable, feature: TableColumn, table: Table) -> NDArray[np.float32]:
    """A feature as FP32 [n]."""
    text = raw.column(feature.name, table.missing)
    if not feature.may_be_missing and (empty := text.is_null()).any():
        where = f"{raw.path}: line {raw.line(int(empty.arg_true()[0]))}: {feature.name}"
        raise DataUnavailable(f"{where} is empty, and the recipe does not say may_be_missing = true")
    if feature.kind == "number":
        return check_numbers(raw, text).to_numpy().astype(np.float32)
    return _codes(raw, text, feature.categories).to_numpy().astype(np.float32)


def _codes(raw: RawTable, text: pl.Series, words: tuple[str, ...]) -> pl.Series:
    """The index of each word, as FP64; None where it is missing. Raises `DataUnavailable` for another word."""
    unknown = text.is_not_null() & ~text.is_in(words)
    if unknown.any():
        row = int(unknown.arg_true()[0])
        where = f"{raw.path}: line {raw.line(row)}: {text.name} is {text[row]!r}"
        raise DataUnavailable(f"{where}, expected one of {', '.join(words)}")
    return text.replace_strict(dict(zip(words, map(float, range(len(words))), strict=True)), return_dtype=pl.Float64)


def _classes(raw: RawTable, table: Table) -> NDArray[np.int64]:
    (name,) = table.targets
    codes = _codes(raw, raw.column(name, table.missing), table.labels)
    return codes.fill_null(-1).to_numpy().astype(np.int64)


def _values(raw: RawTable, table: Table) -> NDArray[np.float32]:
    columns = [check_numbers(raw, raw.column(name, table.missing)).to_numpy() for name in table.targets]
    return np.column_stack(columns).astype(np.float32)
