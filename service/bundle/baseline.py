"""Baseline statistics: how the values that are monitored for drift were distributed over the training data.

The service counts the rows that it predicts in the same bins, and a Prometheus rule computes the population stability
index of both (docs/observability.md).
"""

import itertools
from collections.abc import Iterable
from typing import Annotated

import msgspec

DIGIT_FEATURES = ("ink fraction", "stroke width")  # of the image of a digit: 0 to 1, and in pixels
PICTURE_FEATURES = ("brightness", "contrast")  # of another image: mean and standard deviation of its pixels, 0 to 1
CONFIDENCE = "confidence"  # the probability of the most likely label: 0 to 1
LABEL = "label"  # the most likely label

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class BaselineHistogram(msgspec.Struct, frozen=True, cache_hash=True, forbid_unknown_fields=True):
    """The distribution of one monitored value over the training data: the fraction of rows (0 to 1) in each bin.

    Bin i holds the values in (edges[i - 1], edges[i]]; the first bin has no lower bound, the last one no upper bound.
    """

    name: str
    edges: tuple[float, ...]
    fractions: tuple[Fraction, ...]

    @property
    def is_valid(self) -> bool:
        """Whether the edges increase, the names of all bins differ, and the fractions add up to 1, but for rounding."""
        increasing = all(a < b and f"{a:.6g}" != f"{b:.6g}" for a, b in itertools.pairwise(self.edges))
        return increasing and len(self.fractions) == len(self.edges) + 1 and abs(sum(self.fractions) - 1) < 1e-3

    @property
    def bins(self) -> list[str]:
        """A name for each bin, in order: `<= 1.4`, `(1.4, 1.6]`, `> 1.6`."""
        if not self.edges:
            return ["any"]
        edges = [f"{edge:.6g}" for edge in self.edges]
        between = [f"({low}, {high}]" for low, high in itertools.pairwise(edges)]
        return [f"<= {edges[0]}", *between, f"> {edges[-1]}"]


def image_feature_names(*, digits: bool) -> tuple[str, ...]:
    """What has a range in the manifest of an image model: of `digits` how much ink there is, and not how wide it is."""
    return DIGIT_FEATURES[:1] if digits else PICTURE_FEATURES


def monitored_names(features: Iterable[str], targets: Iterable[str], *, digits: bool = True) -> tuple[str, ...]:
    """The monitored values of a network with these features (none: it takes images) and targets (none: a classifier).

    They are the features, or those of an image, of `digits` or others, and then the predicted values, or the
    confidence.
    """
    of_image = DIGIT_FEATURES if digits else PICTURE_FEATURES
    return (*(tuple(features) or of_image), *(tuple(targets) or (CONFIDENCE,)))
