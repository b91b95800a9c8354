"""Tables that come with scikit-learn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets as sklearn_datasets
from sklearn.model_selection import train_test_split

from service.bundle.manifest import Feature
from training.datasets import Split, ranges
from training.datasets.toy import Table

UCI = "CC BY 4.0"
WITH_SCIKIT_LEARN = "not stated; distributed with scikit-learn (BSD-3-Clause)"
FISHER = "Iris, R. A. Fisher, The use of multiple measurements in taxonomic problems (1936), by scikit-learn"


@dataclass(frozen=True)
class SplitTable:
    """A table of which 3 rows in 10 are held out: drawn by the seed, classes in equal shares."""

    name: str
    source: str
    licence: str
    columns: tuple[str, ...]
    inputs: NDArray[np.float32]
    answers: NDArray[np.int64] | NDArray[np.float32]
    labels: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    def train(self, seed: int) -> Split:
        """7 rows in 10."""
        return self._split(seed)[0]

    def held_out(self, seed: int) -> Split:
        """3 rows in 10."""
        return self._split(seed)[1]

    def features(self, train: Split) -> tuple[Feature, ...]:
        """The columns with their range among the rows trained on."""
        return ranges(self.columns, train.inputs)

    def targets(self, train: Split) -> tuple[Feature, ...]:
        """The values to be foretold, likewise."""
        return ranges(self.values, train.targets) if self.values else ()

    def _split(self, seed: int) -> tuple[Split, Split]:
        parts = train_test_split(
            self.inputs, self.answers, test_size=0.3, stratify=self.answers if self.labels else None, random_state=seed
        )
        x_train, x_held_out, y_train, y_held_out = (torch.from_numpy(part) for part in parts)
        return Split(x_train, y_train), Split(x_held_out, y_held_out)


def classes(name: str, load: str, source: str) -> SplitTable:
    """One of scikit-learn's tables of classes."""
    data = getattr(sklearn_datasets, load)()
    return SplitTable(
        name, source, UCI, tuple(map(str, data.feature_names)), data.data.astype(np.float32),
        data.target.astype(np.int64), labels=tuple(map(str, data.target_names)),
    )  # fmt: skip


def diabetes() -> SplitTable:
    """442 patients in the units of the clinic, and how far their illness went in a year (25 to 346)."""
    data = sklearn_datasets.load_diabetes(scaled=False)
    source = "Diabetes, Efron, Hastie, Johnstone and Tibshirani, Least angle regression (2004), by scikit-learn"
    return SplitTable(
        "diabetes", source, WITH_SCIKIT_LEARN, tuple(data.feature_names), data.data.astype(np.float32),
        data.target.astype(np.float32)[:, None], values=("progression",),
    )  # fmt: skip


def linnerud() -> Table:
    """Twenty men: chin-ups, sit-ups and jumps, and weight (pounds), waist (inches), pulse. Too few to hold any out."""
    data = sklearn_datasets.load_linnerud()
    return Table(
        "linnerud", "Linnerud, M. Tenenhaus, La regression PLS (1998), by scikit-learn", tuple(data.feature_names),
        torch.from_numpy(data.data.astype(np.float32)), torch.from_numpy(data.target.astype(np.float32)),
        values=tuple(data.target_names), licence=WITH_SCIKIT_LEARN,
    )  # fmt: skip


def versicolor(name: str, first: int) -> Table:
    """All 150 irises by two of their measures, versicolor against the rest: the lecture holds none out."""
    data = sklearn_datasets.load_iris()
    columns = slice(first, first + 2)
    return Table(
        name, FISHER, tuple(data.feature_names[columns]), torch.from_numpy(data.data[:, columns].astype(np.float32)),
        torch.from_numpy((data.target == 1).astype(np.int64)), labels=("another iris", "versicolor"), licence=UCI,
    )  # fmt: skip


WOLBERG = "Breast Cancer Wisconsin (Diagnostic), Wolberg, Street and Mangasarian (1995), by scikit-learn"
FORINA = "Wine, Aeberhard and Forina (1992), by scikit-learn"

DATASETS: dict[str, Callable[[], SplitTable | Table]] = {
    "iris": partial(classes, "iris", "load_iris", FISHER),
    "breast-cancer": partial(classes, "breast-cancer", "load_breast_cancer", WOLBERG),
    "wine": partial(classes, "wine", "load_wine", FORINA),
    "diabetes": diabetes,
    "linnerud": linnerud,
    "versicolor-sepal": partial(versicolor, "versicolor-sepal", 0),
    "versicolor-petal": partial(versicolor, "versicolor-petal", 2),
}
