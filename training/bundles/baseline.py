"""How the rows of training are distributed: what the service compares with the rows that it answers."""

from collections.abc import Sized

import numpy as np
import torch
from numpy.typing import NDArray

from service.observability import drift
from service.observability.drift import Distribution
from training.datasets import Dataset, Split
from training.networks.network import Network

BINS = 10  # at most, of about as many rows each
CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)  # most are near 1: tenths of the rows would be there
BATCH = 4096


@torch.inference_mode()
def distributions(network: Network, dataset: Dataset, train: Split) -> tuple[tuple[Distribution, ...], list[float]]:
    """Of each quantity over the rows, and how many of the rows (0 to 1) the network gives each label."""
    features, targets = ([one.name for one in found] for found in (dataset.features(train), dataset.targets(train)))
    answers = torch.cat([network.outputs(batch)[0] for batch in train.inputs.split(BATCH)]).numpy()
    inputs = {"features" if features else "image": train.inputs.numpy()}
    columns = drift.quantities(inputs, {"values" if targets else "probabilities": answers})
    named = zip(drift.names(features, targets), columns.T, strict=True)
    likeliest = [] if targets else np.bincount(answers.argmax(axis=1), minlength=answers.shape[1]).tolist()
    return tuple(distribution(name, column) for name, column in named), [_share(one, answers) for one in likeliest]


def distribution(name: str, column: NDArray[np.float32]) -> Distribution:
    """In bins of about as many rows each, as the population stability index is usually taken."""
    edges = np.array(CONFIDENCES, np.float32) if name == drift.CONFIDENCE else _tenths(column)
    bins = np.bincount(edges.searchsorted(column), minlength=len(edges) + 1)
    return Distribution(
        name, tuple(float(str(edge)) for edge in edges), tuple(_share(count, column) for count in bins.tolist())
    )


def _share(count: int, rows: Sized) -> float:
    return round(count / len(rows), 6)


def _tenths(column: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values that part the rows in tenths, each once; the highest value of all ends no bin: nothing would be beyond."""
    found: NDArray[np.float32] = np.unique(np.quantile(column, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    return np.asarray(found[found < column.max()])
