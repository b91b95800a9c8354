"""What a network's answers to labelled data say."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from training.datasets import Split
from training.networks.network import Network

BINS = 15
ENOUGH = 100  # rows: a calibration of fewer is noise


@dataclass(frozen=True)
class Calibration:
    """Confidence beside accuracy, in bins of equally many rows (Nixon et al., Measuring Calibration, 2019).

    `error` is the expected calibration error: the mean distance of the two, 0 to 1.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float


@dataclass(frozen=True)
class Mistake:
    """A row that was taken for another class: its number in the data, and how sure the network was (0 to 1)."""

    row: int
    truth: int
    answer: int
    probability: float


@dataclass(frozen=True)
class Judgement:
    """A network's answers [n, classes or values] to the rows of a split."""

    answers: NDArray[np.float32]
    targets: NDArray[np.int64] | NDArray[np.float32]

    @classmethod
    def of(cls, network: Network, data: Split) -> "Judgement":
        """Ask the network about every row."""
        with torch.inference_mode():
            return cls(network.outputs(data.inputs)[0].numpy(), data.targets.numpy())

    @property
    def chosen(self) -> NDArray[np.int64]:
        """The likeliest class of each row."""
        return np.asarray(self.answers.argmax(axis=1))

    def confusion(self) -> NDArray[np.int64]:
        """How many rows of each class (down) were taken for each (across)."""
        classes = range(self.answers.shape[1])
        return np.asarray(confusion_matrix(self.targets, self.chosen, labels=list(classes)))

    def calibration(self) -> Calibration | None:
        """None for so few rows that it would be noise."""
        if len(self.targets) < ENOUGH:
            return None
        confidence = self.answers.max(axis=1).astype(np.float64)
        order = np.argsort(confidence, kind="stable")
        hits = self.chosen == self.targets
        parts = np.array_split(order, BINS)
        sure = np.array([confidence[part].mean() for part in parts])
        right = np.array([hits[part].mean() for part in parts])
        weights = np.array([len(part) for part in parts]) / len(order)
        return Calibration(sure, right, float((weights * np.abs(sure - right)).sum()))

    def mistakes(self, most: int) -> list[Mistake]:
        """The rows that it got wrong, those first of which it was surest."""
        wrong = np.flatnonzero(self.chosen != self.targets)
        sure = self.answers.max(axis=1)
        worst = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
        return [Mistake(int(i), int(self.targets[i]), int(self.chosen[i]), float(sure[i])) for i in worst]

    def errors(self) -> list[tuple[str, list[float]]]:
        """Of a regression: how far off each value is, in its units, at the quartiles of the rows."""
        off = np.abs(self.answers - self.targets)
        shares = (("a quarter of the rows within", 0.25), ("half", 0.5), ("three quarters", 0.75), ("all", 1.0))
        return [(name, np.quantile(off, share, axis=0).tolist()) for name, share in shares]
