"""Arrays to an answer: what a V1 client reads."""

from typing import Any

import msgspec

from service.bundle import Bundle
from service.signature import Arrays


class Classification(msgspec.Struct):
    """One classified instance: the likeliest label, how likely, and every label's probability (0 to 1)."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Regression(msgspec.Struct):
    """One instance's values, in real units, in the model's order."""

    values: list[float]


class Predictions(msgspec.Struct):
    """The answer to `:predict`; `predictions` are in the order of the instances."""

    model_name: str
    model_version: str
    predictions: list[Classification] | list[Regression]


def encode(bundle: Bundle, outputs: Arrays) -> Predictions:
    """Name what the numbers mean."""
    predictions: Any
    if bundle.task == "regression":
        predictions = [Regression(values) for values in outputs["values"].tolist()]
    else:
        predictions = [_classification(bundle.labels, row) for row in outputs["probabilities"].tolist()]
    return Predictions(bundle.name, bundle.version, predictions)


def _classification(labels: tuple[str, ...], probabilities: list[float]) -> Classification:
    highest = max(probabilities)
    return Classification(labels[probabilities.index(highest)], highest, dict(zip(labels, probabilities, strict=True)))
