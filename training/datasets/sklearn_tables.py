"""Tables that scikit-learn includes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets as sklearn_datasets
from sklearn.model_selection import train_test_split

from service.bundle.manifest import Column
from training.datasets.dataset import Split, columns_with_ranges
from training.datasets.toy import UnsplitTable

UCI_LICENCE = "CC BY 4.0"
UNSTATED_LICENCE = "not stated; distributed with scikit-learn (BSD-3-Clause)"
FISHER = "Iris, R. A. Fisher, The use of multiple measurements in taxonomic problems (1936), by scikit-learn"
WOLBERG = "Breast Cancer Wisconsin (Diagnostic), Wolberg, Street and Mangasarian (1995), by scikit-learn"
FORINA = "Wine, Aeberhard and Forina (1992), by scikit-learn"


@dataclass(frozen=True)
class HoldoutTable:
    """A table of which 30 % of the rows are held out.

    The split is random, by the seed, and stratified if the targets are classes. `inputs` FP32 [n, features]; `targets`
    classes INT64 [n] or values FP32 [n, values].
    """

    name: str
    source: str
    licence: str
    feature_names: tuple[str, ...]
    inputs: NDArray[np.float32]
    targets: NDArray[np.int64] | NDArray[np.float32]
    labels: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()

    def train(self, seed: int) -> Split:
        """70 % of the rows."""
        return self._split(seed)[0]

    def held_out(self, seed: int) -> Split:
        """30 % of the rows."""
        return self._split(seed)[1]

    def feature_columns(self, train: Split) -> tuple[Column, ...]:
        """The features with their ranges in the training data."""
        return columns_with_ranges(self.feature_names, train.inputs)

    def target_columns(self, train: Split) -> tuple[Column, ...]:
        """The predicted values with their ranges in the training data; empty for classes."""
        return columns_with_ranges(self.target_names, train.targets) if self.target_names else ()

    def _split(self, seed: int) -> tuple[Split, Split]:
        parts = train_test_split(
            self.inputs, self.targets, test_size=0.3, stratify=self.targets if self.labels else None, random_state=seed
        )
        x_train, x_held_out, y_train, y_held_out = (torch.from_numpy(part) for part in parts)
        return Split(x_train, y_train), Split(x_held_out, y_held_out)


def classification_table(name: str, loader: str, source: str) -> HoldoutTable:
    """A table with classes as targets, from this function of `sklearn.datasets`."""
    data = getattr(sklearn_datasets, loader)()
    return HoldoutTable(
        name, source, UCI_LICENCE, tuple(map(str, data.feature_names)), data.data.astype(np.float32),
        data.target.astype(np.int64), labels=tuple(map(str, data.target_names)),
    )  # fmt: skip


def diabetes_table() -> HoldoutTable:
    """442 patients, measured in clinical units, and the progression of their illness after a year (25 to 346)."""
    data = sklearn_datasets.load_diabetes(scaled=False)
    source = "Diabetes, Efron, Hastie, Johnstone and Tibshirani, Least angle regression (2004), by scikit-learn"
    return HoldoutTable(
        "diabetes", source, UNSTATED_LICENCE, tuple(data.feature_names), data.data.astype(np.float32),
        data.target.astype(np.float32)[:, None], target_names=("progression",),
    )  # fmt: skip


def linnerud_table() -> UnsplitTable:
    """Twenty men: chin-ups, sit-ups and jumps; weight (pounds), waist (inches), pulse. Too few rows to hold any out."""
    data = sklearn_datasets.load_linnerud()
    return UnsplitTable(
        "linnerud", "Linnerud, M. Tenenhaus, La regression PLS (1998), by scikit-learn", tuple(data.feature_names),
        torch.from_numpy(data.data.astype(np.float32)), torch.from_numpy(data.target.astype(np.float32)),
        target_names=tuple(data.target_names), licence=UNSTATED_LICENCE,
    )  # fmt: skip


def versicolor_table(name: str, first_column: int) -> UnsplitTable:
    """All 150 irises with two of their features, versicolor against the rest; the lecture holds no rows out either."""
    data = sklearn_datasets.load_iris()
    columns = slice(first_column, first_column + 2)
    return UnsplitTable(
        name, FISHER, tuple(data.feature_names[columns]), torch.from_numpy(data.data[:, columns].astype(np.float32)),
        torch.from_numpy((data.target == 1).astype(np.int64)), labels=("another iris", "versicolor"),
        licence=UCI_LICENCE,
    )  # fmt: skip


DATASETS: dict[str, Callable[[], HoldoutTable | UnsplitTable]] = {
    "iris": partial(classification_table, "iris", "load_iris", FISHER),
    "breast-cancer": partial(classification_table, "breast-cancer", "load_breast_cancer", WOLBERG),
    "wine": partial(classification_table, "wine", "load_wine", FORINA),
    "diabetes": diabetes_table,
    "linnerud": linnerud_table,
    "versicolor-sepal": partial(versicolor_table, "versicolor-sepal", 0),
    "versicolor-petal": partial(versicolor_table, "versicolor-petal", 2),
}
