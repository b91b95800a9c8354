"""Baseline statistics: how the training data is distributed, which the service compares with its requests."""

from collections.abc import Sized

import numpy as np
import torch
from numpy.typing import NDArray

from service.bundle.baseline import CONFIDENCE, BaselineHistogram, image_feature_names, monitored_names
from service.bundle.manifest import MIXTURE_OUTPUTS, Column
from service.inference.image_features import image_features
from service.observability import drift
from training.datasets.dataset import Dataset, Split
from training.networks.network import Network

MAX_BINS = 10  # of about as many rows each
CONFIDENCE_BIN_EDGES = (
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.95,
    0.98,
    0.99,
    0.999,
)  # fixed: nearly all deciles would be close to 1
BATCH_ROWS = 4096


@torch.inference_mode()
def baseline_statistics(
    network: Network, dataset: Dataset, train: Split, *, digits: bool = True
) -> tuple[tuple[BaselineHistogram, ...], tuple[float, ...]]:
    """A histogram of each monitored value over the training data, and the fraction of rows (0 to 1) of each label.

    The labels are those that the network predicts; there are none for a regression. Images are of `digits` or others.
    """
    features, targets = (
        [column.name for column in columns]
        for columns in (dataset.feature_columns(train), dataset.target_columns(train))
    )
    batches = [network.all_outputs(batch) for batch in train.inputs.split(BATCH_ROWS)]
    outputs = [torch.cat(parts).numpy() for parts in zip(*batches, strict=True)]
    names = ("values",) if len(outputs) == 1 else MIXTURE_OUTPUTS
    predictions = outputs[0]
    inputs = {"features" if features else "image": train.inputs.numpy()}
    predicted = dict(zip(names, outputs, strict=True)) if targets else {"probabilities": predictions}
    values = drift.monitored_values(inputs, predicted, digits=digits)
    named = zip(monitored_names(features, targets, digits=digits), values.T, strict=True)
    histograms = tuple(baseline_histogram(name, column) for name, column in named)
    if targets:
        return histograms, ()
    return histograms, fractions_of(predictions)


def image_feature_ranges(images: NDArray[np.uint8], *, digits: bool) -> tuple[Column, ...]:
    """What the service measures of an array, with its range in the training images UINT8 [n, height, width, ...]."""
    measured = image_features(images, digits=digits)
    named = zip(image_feature_names(digits=digits), measured.min(axis=0), measured.max(axis=0), strict=True)
    return tuple(Column(name, float(str(low)), float(str(high))) for name, low, high in named)


def fractions_of(probabilities: NDArray[np.float32]) -> tuple[float, ...]:
    """For each label the fraction of the rows of FP32 [n, labels] (0 to 1) for which it is the most likely one."""
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1]).tolist()
    return tuple(_fraction(count, probabilities) for count in counts)


def baseline_histogram(name: str, column: NDArray[np.float32]) -> BaselineHistogram:
    """The histogram of FP32 [n], in bins of about as many rows each, as is usual for the population stability index.

    Missing values are counted in the last bin, as they are of requests.
    """
    edges = np.array(CONFIDENCE_BIN_EDGES, np.float32) if name == CONFIDENCE else _deciles(column[~np.isnan(column)])
    bins = np.bincount(edges.searchsorted(column), minlength=len(edges) + 1)
    return BaselineHistogram(
        name, tuple(float(str(edge)) for edge in edges), tuple(_fraction(count, column) for count in bins.tolist())
    )


def _fraction(count: int, rows: Sized) -> float:
    return round(count / len(rows), 6)


def _deciles(column: NDArray[np.float32]) -> NDArray[np.float32]:
    """The distinct deciles of the column, without its maximum: the bin above it would be empty."""
    deciles: NDArray[np.float32] = np.unique(
        np.quantile(column, np.arange(1, MAX_BINS) / MAX_BINS, method="inverted_cdf")
    )
    return np.asarray(deciles[deciles < column.max()])
