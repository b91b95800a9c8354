"""Outputs to what a V1 client reads: labels and probabilities, or values."""

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from service.bundle.manifest import MIXTURE_OUTPUTS, Bundle
from service.bundle.signature import Arrays
from service.inference.abstention import abstention_reason
from service.inference.mixture import QUANTILES, summarise
from service.inference.training_range import out_of_range_warnings
from service.protocols.v1.decoded import DecodedRequest
from service.protocols.v1.image_debug import NormalisationDebug, debug_of
from service.protocols.v1.options import Options


class Classification(msgspec.Struct, gc=False):
    """One classified instance: the most likely label, its probability, and every label's probability (0 to 1).

    With `?format=lists` the probabilities are a list, in the order of the labels.

    A prediction that is `unsure` by the bundle's thresholds has a `reason`, and no label if the request said `abstain`;
    `warnings` are of values outside the training range.
    """

    label: str | None
    probability: float
    probabilities: dict[str, float] | list[float]  # or a struct that is encoded as a dict, made in a third of the time
    unsure: bool | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET
    ink: NormalisationDebug | UnsetType = UNSET


class Regression(msgspec.Struct):
    """The predicted values of one instance by their names, in real units; a list of them with `?format=lists`.

    `warnings` are of features, and of predicted values, outside the training range.
    """

    values: dict[str, float] | list[float]
    warnings: list[str] | UnsetType = UNSET


class MixturePrediction(msgspec.Struct):
    """The predicted density of one value, a mixture of Gaussians, in real units; `warnings` as in a classification.

    `quantiles` are by their fraction, `0.05` to `0.95`; `weights`, `means` and `deviations` are those of the Gaussians.
    """

    mean: float
    deviation: float
    quantiles: dict[str, float]
    weights: list[float]
    means: list[float]
    deviations: list[float]
    warnings: list[str] | UnsetType = UNSET


class ItemError(msgspec.Struct):
    """In place of a prediction, with `?errors=item`: why this instance could not be read."""

    error: str


class Classifications(msgspec.Struct):
    """The response of a classifier; `predictions` are in the order of the instances.

    With `?format=scores` a prediction is the list of its probabilities alone, and with `?errors=item` an instance that
    could not be read has an object with its `error` in place of a prediction. `warnings` are those beside scores.
    """

    model_name: str
    model_version: str
    predictions: list[Classification | list[float]]
    warnings: list[str] | UnsetType = UNSET


class Regressions(msgspec.Struct):
    """The response of a regression, likewise."""

    model_name: str
    model_version: str
    predictions: list[Regression | list[float]]
    warnings: list[str] | UnsetType = UNSET


class Mixtures(msgspec.Struct):
    """The response of a mixture density network, likewise."""

    model_name: str
    model_version: str
    predictions: list[MixturePrediction]
    warnings: list[str] | UnsetType = UNSET


class Tensors(msgspec.Struct):
    """The response of a model of which only the signature is known, likewise.

    A prediction is a row of its output, nested as the shape is; or an object of those by the outputs' names.
    """

    model_name: str
    model_version: str
    predictions: list[Any]
    warnings: list[str] | UnsetType = UNSET


Predictions = Classifications | Regressions | Mixtures | Tensors


def response_type(bundle: Bundle) -> type[Predictions]:
    """The type that `encode` returns for this bundle."""
    types: dict[str, type[Predictions]] = {
        "regression": Regressions,
        "mixture": Mixtures,
        "tensors": Tensors,
    }
    return types.get(bundle.task, Classifications)


def encode(bundle: Bundle, request: DecodedRequest, outputs: Arrays, options: Options) -> Predictions:
    """Name what the numbers mean, and add reasons, warnings and images where there are any; then the errors.

    `outputs` are empty if no instance could be read.
    """
    if request.parameters:
        options = options.with_body(request.parameters)
    predictions = _predictions(bundle, request, outputs, options) if outputs else []
    if request.errors:
        predicted = iter(predictions)
        count = len(predictions) + len(request.errors)
        predictions = [ItemError(request.errors[i]) if i in request.errors else next(predicted) for i in range(count)]
    response = response_type(bundle)(bundle.name, bundle.version, predictions)
    if options.format == "scores" and outputs:
        response.warnings = _warnings_beside_scores(bundle, request, outputs, options) or UNSET
    return response


def _warnings_beside_scores(bundle: Bundle, request: DecodedRequest, outputs: Arrays, options: Options) -> list[str]:
    """What scores alone do not say: the warnings of each prediction, and why it is unsure."""
    found = []
    named = _predictions(bundle, request, outputs, replace(options, format="lists"))
    indices = (i for i in range(len(named) + len(request.errors)) if i not in request.errors)
    for i, prediction in zip(indices, named, strict=True):
        reasons = [*(prediction.warnings or ()), *([prediction.reason] if getattr(prediction, "reason", UNSET) else ())]
        found += [f"predictions[{i}]: {reason}" for reason in reasons]
    return found


def _predictions(bundle: Bundle, request: DecodedRequest, outputs: Arrays, options: Options) -> Any:
    if options.format == "scores":
        return outputs[bundle.signature.outputs[0].name].tolist()
    predictions = _without_warnings(bundle, outputs, options)
    for row, warnings in request.warnings.items():
        predictions[row].warnings = [*warnings]
    if bundle.features:
        for row, warning in _range_warnings(bundle, request.inputs["features"], outputs):
            predictions[row].warnings = [*(predictions[row].warnings or ()), warning]
    if request.images:
        for prediction, image in zip(predictions, request.images, strict=True):
            prediction.ink = debug_of(image)
    return predictions


def _without_warnings(bundle: Bundle, outputs: Arrays, options: Options) -> Any:
    if bundle.task == "regression":
        return _regressions(bundle, outputs, options)
    if bundle.task == "mixture":
        return _mixtures(outputs)
    if bundle.task == "tensors":
        return _rows(outputs)
    return _classifications(bundle, outputs, options)


def _range_warnings(bundle: Bundle, features: Any, outputs: Arrays) -> Iterator[tuple[int, str]]:
    """The index of a row, and what in it is outside the training range: a feature, or a predicted value."""
    yield from out_of_range_warnings(bundle.features, features)
    if bundle.task == "regression":
        yield from out_of_range_warnings(bundle.targets, outputs["values"])


def _rows(outputs: Arrays) -> list[Any]:
    """The rows of the only output, or of each by its name."""
    rows = {name: array.tolist() for name, array in outputs.items()}
    if len(rows) == 1:
        return next(iter(rows.values()))
    return [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]


def _mixtures(outputs: Arrays) -> list[MixturePrediction]:
    summary = summarise(outputs)
    names = [f"{fraction:g}" for fraction in QUANTILES]
    parts = (summary.mean, summary.deviation, summary.quantiles, *(outputs[name] for name in MIXTURE_OUTPUTS))
    return [
        MixturePrediction(mean, deviation, dict(zip(names, quantiles, strict=True)), *components)
        for mean, deviation, quantiles, *components in zip(*(part.tolist() for part in parts), strict=True)
    ]


def _regressions(bundle: Bundle, outputs: Arrays, options: Options) -> list[Regression]:
    rows = outputs["values"].tolist()
    if options.format == "lists":
        return [Regression(row) for row in rows]
    named = _by_name(tuple(target.name for target in bundle.targets))
    return [Regression(named(*row)) for row in rows]


def _classifications(bundle: Bundle, outputs: Arrays, options: Options) -> list[Classification]:
    rows = outputs["probabilities"].tolist()
    ood_scores = outputs["background"].ravel().tolist() if "background" in outputs else itertools.repeat(0.0)
    shown = _by_name(bundle.labels) if options.format == "named" else _listed
    return [
        _classification(bundle, row, shown(*row), ood_score, abstain=options.abstain)
        for row, ood_score in zip(rows, ood_scores, strict=False)
    ]


def _listed(*row: float) -> list[float]:
    return [*row]


def _classification(
    bundle: Bundle, row: list[float], probabilities: Any, ood_score: float, *, abstain: bool
) -> Classification:
    confidence = max(row)
    label = bundle.labels[row.index(confidence)]
    reason = abstention_reason(bundle, confidence, ood_score)
    if reason is None:
        return Classification(label, confidence, probabilities)
    return Classification(None if abstain else label, confidence, probabilities, unsure=True, reason=reason)


@functools.lru_cache(256)
def _by_name(names: tuple[str, ...]) -> Callable[..., Any]:
    """A struct whose fields are called so, made from the numbers of all of them in order."""
    fields = [(f"field_{i}", float) for i in range(len(names))]
    renamed = {field: name for (field, _), name in zip(fields, names, strict=True)}
    return msgspec.defstruct("NumbersByName", fields, rename=renamed, gc=False)
