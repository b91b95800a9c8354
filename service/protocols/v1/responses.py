"""Outputs to what a V1 client reads: labels and probabilities, or values."""

import base64
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from service.bundle.manifest import MIXTURE_OUTPUTS, Bundle
from service.bundle.signature import Arrays
from service.images.decoding import Geometry, encode_png
from service.images.network_input import NetworkInput
from service.images.normaliser.segmentation import Box, Grey
from service.inference.abstention import abstention_reason, out_of_range_warnings
from service.inference.mixture import QUANTILES, summarise
from service.protocols.v1.requests import DecodedRequest


class NormalisationDebug(msgspec.Struct):
    """The image that the network got, `png` as a data URI, and what the normaliser did to make it, if it is of digits.

    `width` and `height` are the file's, upright, in pixels; `box` is the digit's left, top, width and height in them;
    `mask` is a data URI of the ink that the segmenter found in `mask_box`, the part of the picture that it saw, at its
    own resolution: 32 to 128 pixels a side; both are null if the client sent an array, or if no digit is expected.
    `exif_orientation` is the file's (1: upright). A picture is `untouched` if it had MNIST's geometry already.
    """

    png: str
    untouched: bool
    width: int
    height: int
    box: Box
    mask: str | None = None
    mask_box: Box | None = None
    inverted: bool = False
    exif_orientation: int = 1


class Classification(msgspec.Struct, gc=False):
    """One classified instance: the most likely label, its probability, and every label's probability (0 to 1).

    A prediction that is `unsure` by the bundle's thresholds has a `reason`, and no label if the request said `abstain`;
    `warnings` are of values outside the training range.
    """

    label: str | None
    probability: float
    probabilities: dict[str, float]  # or a struct that is encoded as one, and is made in a third of the time
    unsure: bool | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET
    ink: NormalisationDebug | UnsetType = UNSET


class Regression(msgspec.Struct):
    """The predicted values of one instance, in real units, in the model's order.

    `warnings` are of features, and of predicted values, outside the training range.
    """

    values: list[float]
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


class Classifications(msgspec.Struct):
    """The response of a classifier; `predictions` are in the order of the instances."""

    model_name: str
    model_version: str
    predictions: list[Classification]


class Regressions(msgspec.Struct):
    """The response of a regression, likewise."""

    model_name: str
    model_version: str
    predictions: list[Regression]


class Mixtures(msgspec.Struct):
    """The response of a mixture density network, likewise."""

    model_name: str
    model_version: str
    predictions: list[MixturePrediction]


class Tensors(msgspec.Struct):
    """The response of a model of which only the signature is known, likewise.

    A prediction is a row of its output, nested as the shape is; or an object of those by the outputs' names.
    """

    model_name: str
    model_version: str
    predictions: list[Any]


Predictions = Classifications | Regressions | Mixtures | Tensors


def response_type(bundle: Bundle) -> type[Predictions]:
    """The type that `encode` returns for this bundle."""
    types: dict[str, type[Predictions]] = {
        "regression": Regressions,
        "mixture": Mixtures,
        "tensors": Tensors,
    }
    return types.get(bundle.task, Classifications)


def encode(bundle: Bundle, request: DecodedRequest, outputs: Arrays, *, abstain: bool = False) -> Predictions:
    """Name what the numbers mean, and add reasons, warnings and images where there are any.

    With `abstain`, unsure predictions have no label.
    """
    predictions: Any
    if bundle.task == "regression":
        predictions = [Regression(values) for values in outputs["values"].tolist()]
    elif bundle.task == "mixture":
        predictions = _mixtures(outputs)
    elif bundle.task == "tensors":
        predictions = _rows(outputs)
    else:
        predictions = _classifications(bundle, outputs, abstain=abstain)
    if bundle.features:
        for row, warning in _range_warnings(bundle, request.inputs["features"], outputs):
            predictions[row].warnings = [*(predictions[row].warnings or ()), warning]
    if request.images:
        for prediction, image in zip(predictions, request.images, strict=True):
            prediction.ink = debug_of(image)
    return response_type(bundle)(bundle.name, bundle.version, predictions)


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


def _classifications(bundle: Bundle, outputs: Arrays, *, abstain: bool) -> list[Classification]:
    rows = outputs["probabilities"].tolist()
    ood_scores = outputs["background"].ravel().tolist() if "background" in outputs else itertools.repeat(0.0)
    named = _probabilities_type(bundle.labels)
    return [
        _classification(bundle, row, named(*row), ood_score, abstain=abstain)
        for row, ood_score in zip(rows, ood_scores, strict=False)
    ]


def _classification(
    bundle: Bundle, row: list[float], probabilities: Any, ood_score: float, *, abstain: bool
) -> Classification:
    confidence = max(row)
    label = bundle.labels[row.index(confidence)]
    reason = abstention_reason(bundle, confidence, ood_score)
    if reason is None:
        return Classification(label, confidence, probabilities)
    return Classification(None if abstain else label, confidence, probabilities, unsure=True, reason=reason)


@functools.cache
def _probabilities_type(labels: tuple[str, ...]) -> Callable[..., Any]:
    """A struct whose fields have the labels' names, made from the probabilities of all labels in order."""
    fields = [(f"label_{i}", float) for i in range(len(labels))]
    renamed = {field: label for (field, _), label in zip(fields, labels, strict=True)}
    return msgspec.defstruct("Probabilities", fields, rename=renamed, gc=False)


def debug_of(source: NetworkInput) -> NormalisationDebug:
    """What `?debug=ink` shows of one image."""
    png = _data_uri(source.image)
    geometry, normalised = source.geometry, source.normalised
    if geometry is None or normalised is None:  # an array, which is the network's own input; or no digit
        height, width = source.image.shape[:2]
        if geometry:
            width, height = geometry.width, geometry.height
        return NormalisationDebug(png, geometry is None, width, height, box=(0, 0, width, height))
    return NormalisationDebug(
        png,
        normalised.already_normalised,
        geometry.width,
        geometry.height,
        box=_in_file(normalised.box, geometry),
        mask=_data_uri(normalised.mask),
        mask_box=_in_file(normalised.mask_box, geometry),
        inverted=normalised.inverted,
        exif_orientation=geometry.orientation,
    )


def _data_uri(pixels: Grey) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode()


def _in_file(box: Box, geometry: Geometry) -> Box:
    """A box in pixels of the file, as a large file is decoded at a reduced size."""
    down, across = geometry.height / geometry.decoded_height, geometry.width / geometry.decoded_width
    left, top, width, height = (round(at * by) for at, by in zip(box, (across, down) * 2, strict=True))
    return left, top, width, height
