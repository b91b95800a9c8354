"""The quantities whose distribution tells that what comes in is not what a network learned from.

A bundle holds how each was distributed over the rows of training; the service counts the rows that it answers in the
same bins, and a rule makes the population stability index of the two (docs/observability.md).
"""

import functools
import itertools
from collections.abc import Iterable
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.bundle.signature import Arrays
from service.images.normaliser.mnist_geometry import areas_and_widths

INK = ("ink fraction", "stroke width")  # of a 28x28 image: 0 to 1, and in pixels
CONFIDENCE = "confidence"  # of the likeliest label: 0 to 1
LABEL = "label"  # the likeliest one
PIXELS = 28 * 28
FULL = 128  # of 255: this much is ink
MOST_IMAGES = 4  # of a request are measured: it takes 2 to 4 microseconds each

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Floats = NDArray[np.float32]


class Distribution(msgspec.Struct, frozen=True, cache_hash=True, forbid_unknown_fields=True):
    """How a quantity was distributed in training: the share of the rows (0 to 1) in each bin.

    A bin ends with one of the `edges`, which belongs to it; the last bin has no end, the first no beginning.
    """

    name: str
    edges: tuple[float, ...]
    shares: tuple[Share, ...]

    @property
    def fits(self) -> bool:
        """Whether the edges rise and the shares are of all rows, but for rounding."""
        rising = all(a < b for a, b in itertools.pairwise(self.edges))
        return rising and len(self.shares) == len(self.edges) + 1 and abs(sum(self.shares) - 1) < 1e-3

    @property
    def bins(self) -> list[str]:
        """Each bin in words, in order: `<= 1.4`, `(1.4, 1.6]`, `> 1.6`."""
        if not self.edges:
            return ["any"]
        ends = [f"{edge:.6g}" for edge in self.edges]
        between = [f"({low}, {high}]" for low, high in itertools.pairwise(ends)]
        return [f"<= {ends[0]}", *between, f"> {ends[-1]}"]


def sampled(inputs: Arrays, outputs: Arrays) -> tuple[Arrays, Arrays]:
    """The same rows, or of many images a copy of some, evenly spaced."""
    if "image" not in inputs or len(inputs["image"]) <= MOST_IMAGES:
        return inputs, outputs
    step = -(-len(inputs["image"]) // MOST_IMAGES)
    return {"image": inputs["image"][::step].copy()}, {name: array[::step] for name, array in outputs.items()}


def quantities(inputs: Arrays, outputs: Arrays) -> Floats:
    """FP32 [rows, quantities]: of each row its features, or its image's `INK`; then its confidence, or its values."""
    said = outputs["values"] if "values" in outputs else likeliest(outputs["probabilities"])[1][:, np.newaxis]
    if "features" in inputs:
        return np.concatenate((inputs["features"], said), axis=1)
    ink = [(area / PIXELS, width) for area, width in areas_and_widths(inputs["image"] >= FULL)]
    return np.concatenate((np.array(ink, np.float32), said), axis=1)


def likeliest(probabilities: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Of each row FP32 [n, labels] the likeliest label's place, and its probability; faster than max(axis=1)."""
    places = probabilities.argmax(axis=1)
    return places, probabilities[np.arange(len(places)), places]


def names(features: Iterable[str], targets: Iterable[str]) -> tuple[str, ...]:
    """What the columns of `quantities` are, of a network with such features (none: images) and targets."""
    return (*(tuple(features) or INK), *(tuple(targets) or (CONFIDENCE,)))


def counted(distributions: tuple[Distribution, ...], rows: Floats) -> list[NDArray[np.int64]]:
    """How many of the rows [n, quantities] lie in each bin of each quantity."""
    return [
        np.bincount(edges.searchsorted(column), minlength=len(edges) + 1)
        for edges, column in zip(edges_of(distributions), rows.T, strict=True)
    ]


@functools.cache
def edges_of(distributions: tuple[Distribution, ...]) -> list[Floats]:
    """The edges of each as FP32, which is what the rows are."""
    return [np.array(distribution.edges, np.float32) for distribution in distributions]
