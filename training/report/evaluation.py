"""The predictions of a network on labelled data, compared with the targets."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, r2_score

from training.datasets.dataset import Split
from training.networks.network import Network

CALIBRATION_BINS = 15
MIN_CALIBRATION_ROWS = 100  # with fewer rows the calibration error is mostly noise
QUANTILES = {
    "quarter of the absolute errors below": 0.25,
    "half of them below (median)": 0.5,
    "three quarters of them below": 0.75,
    "largest": 1.0,
}


@dataclass(frozen=True)
class Calibration:
    """Mean confidence and accuracy, FP64 [bins], in bins of equally many rows.

    `error` is the expected calibration error: the mean absolute difference of the two, 0 to 1 (Nixon et al., "Measuring
    calibration in deep learning", 2019).
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float


@dataclass(frozen=True)
class Misclassification:
    """A row whose predicted class is wrong: its index in the data, both classes, and the confidence (0 to 1)."""

    row: int
    true: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """Outputs FP32 [n, classes or values] of a network for n rows, and their targets INT64 [n] or FP32 [n, values]."""

    outputs: NDArray[np.float32]
    targets: NDArray[np.int64] | NDArray[np.float32]

    @classmethod
    def of(cls, network: Network, data: Split) -> "Evaluation":
        """Run the network on all rows."""
        with torch.inference_mode():
            return cls(network.all_outputs(data.inputs)[0].numpy(), data.targets.numpy())

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most likely class of each row, INT64 [n]."""
        return np.asarray(self.outputs.argmax(axis=1))

    def confusion_matrix(self) -> NDArray[np.int64]:
        """Numbers of rows, INT64 [classes, classes]; rows: true class, columns: predicted class."""
        classes = range(self.outputs.shape[1])
        return np.asarray(confusion_matrix(self.targets, self.predicted, labels=list(classes)))

    def calibration(self) -> Calibration | None:
        """The calibration of a classifier; None for fewer than `MIN_CALIBRATION_ROWS` rows."""
        if len(self.targets) < MIN_CALIBRATION_ROWS:
            return None
        confidence = self.outputs.max(axis=1).astype(np.float64)
        correct = self.predicted == self.targets
        bins = np.array_split(np.argsort(confidence, kind="stable"), CALIBRATION_BINS)
        bin_confidence = np.array([confidence[rows].mean() for rows in bins])
        bin_accuracy = np.array([correct[rows].mean() for rows in bins])
        weights = np.array([len(rows) for rows in bins]) / len(confidence)
        error = float((weights * np.abs(bin_confidence - bin_accuracy)).sum())
        return Calibration(bin_confidence, bin_accuracy, error)

    def misclassified(self, limit: int) -> list[Misclassification]:
        """At most `limit` rows with a wrong prediction, those of the highest confidence first."""
        wrong = np.flatnonzero(self.predicted != self.targets)
        confidence = self.outputs.max(axis=1)
        worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]
        return [
            Misclassification(int(row), int(self.targets[row]), int(self.predicted[row]), float(confidence[row]))
            for row in worst
        ]

    def errors_by_value(self) -> list[tuple[str, list[float]]]:
        """Of a regression: R², and in the units of each value the root mean squared error and quantiles of |error|.

        Each with its name, and a number for each value.
        """
        errors = np.abs(self.outputs - self.targets).astype(np.float64)
        return [
            ("R²", np.atleast_1d(r2_score(self.targets, self.outputs, multioutput="raw_values")).tolist()),
            ("root mean squared error", np.sqrt((errors**2).mean(axis=0)).tolist()),
            *((name, np.quantile(errors, fraction, axis=0).tolist()) for name, fraction in QUANTILES.items()),
        ]
