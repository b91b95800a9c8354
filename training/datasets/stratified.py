"""Rows of the user's own data in two parts, drawn by a seed, in each of which a class has its share."""

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from training.errors import DataUnavailable

Rows = NDArray[np.int64]


class StratifiedSplit:
    """Held-out rows, and validation rows at the end of the others.

    `classes` INT64 [rows] are those of a classifier, None for a regression; `where` is named if they are too few.
    """

    def __init__(self, count: int, classes: Rows | None, held_out: float, validation_rows: int, where: str) -> None:
        self._count, self._classes = count, classes
        self._held_out, self._validation_rows, self._where = held_out, validation_rows, where

    def train(self, seed: int) -> Rows:
        """The training rows, with the validation rows at their end."""
        rest, _ = self._held_out_rows(seed)
        if self._validation_rows >= len(rest):
            message = f"validation_rows {self._validation_rows}: there are {len(rest)} training rows"
            raise DataUnavailable(f"{self._where}: {message}")
        return np.concatenate(self._split(rest, self._validation_rows, seed)) if self._validation_rows else rest

    def held_out(self, seed: int) -> Rows:
        """The held-out rows."""
        return self._held_out_rows(seed)[1]

    def _held_out_rows(self, seed: int) -> tuple[Rows, Rows]:
        return self._split(np.arange(self._count), max(1, round(self._held_out * self._count)), seed)

    def _split(self, rows: Rows, count: int, seed: int) -> tuple[Rows, Rows]:
        """The rows but `count` of them, and those."""
        stratify = None if self._classes is None else self._classes[rows]
        try:
            parts = train_test_split(rows, test_size=count, stratify=stratify, random_state=seed)
        except ValueError as error:
            raise DataUnavailable(f"{self._where}: its {self._count} rows cannot be split: {error}") from None
        return parts[0], parts[1]
