"""The values monitored for data drift, from inputs and outputs, counted in the bins of a bundle's baseline."""

import functools

import numpy as np
from numpy.typing import NDArray

from service.bundle.baseline import BaselineHistogram
from service.bundle.signature import Arrays
from service.images.normaliser.mnist_geometry import areas_and_widths
from service.inference.image_features import INK_THRESHOLD, image_features
from service.inference.mixture import mixture_means

PIXELS = 28 * 28
MAX_MEASURED_IMAGES = 4  # of a request: measuring one takes 2 to 4 microseconds

Floats = NDArray[np.float32]


def subsample(inputs: Arrays, outputs: Arrays) -> tuple[Arrays, Arrays]:
    """All rows of feature vectors; of many images a copy of some, evenly spaced."""
    if "image" not in inputs or len(inputs["image"]) <= MAX_MEASURED_IMAGES:
        return inputs, outputs
    step = -(-len(inputs["image"]) // MAX_MEASURED_IMAGES)
    return {"image": inputs["image"][::step].copy()}, {name: array[::step] for name, array in outputs.items()}


def monitored_values(inputs: Arrays, outputs: Arrays, *, digits: bool = True) -> Floats:
    """FP32 [rows, values]; the columns are named by `bundle.baseline.monitored_names`, images being `digits` or not."""
    predicted = _predicted(outputs)
    if "features" in inputs:
        return np.concatenate((inputs["features"], predicted), axis=1)
    if not digits:
        return np.concatenate((image_features(inputs["image"], digits=False), predicted), axis=1)
    measures = [(area / PIXELS, width) for area, width in areas_and_widths(inputs["image"] >= INK_THRESHOLD)]
    return np.concatenate((np.array(measures, np.float32), predicted), axis=1)


def _predicted(outputs: Arrays) -> Floats:
    """The values, the mean of a mixture, or the confidence: FP32 [rows, values]."""
    if "values" in outputs:
        return outputs["values"]
    if "means" in outputs:
        return mixture_means(outputs).astype(np.float32)
    return top1(outputs["probabilities"])[1][:, np.newaxis]


def top1(probabilities: Floats) -> tuple[NDArray[np.int64], Floats]:
    """For each row of FP32 [n, labels] the index of the most likely label, and its probability."""
    labels = probabilities.argmax(axis=1)
    return labels, probabilities[np.arange(len(labels)), labels]  # faster than max(axis=1)


def bin_counts(baseline: tuple[BaselineHistogram, ...], rows: Floats) -> list[NDArray[np.int64]]:
    """For each monitored value, how many of the rows [n, values] are in each bin of its baseline."""
    return [
        np.bincount(edges.searchsorted(column), minlength=len(edges) + 1)
        for edges, column in zip(_edges(baseline), rows.T, strict=True)
    ]


@functools.lru_cache(256)
def _edges(baseline: tuple[BaselineHistogram, ...]) -> list[Floats]:
    """The edges of each histogram, as FP32 like the rows."""
    return [np.array(histogram.edges, np.float32) for histogram in baseline]
