"""Arrays to labels and probabilities, or values: what a V1 client reads."""

import base64
import functools
import io
import itertools
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from PIL import Image

from service.bundle.manifest import Bundle
from service.bundle.signature import Arrays
from service.images.decoding import Seen
from service.inference.abstention import doubt_of, warnings_of
from service.protocols.v1.requests import Decoded


class Ink(msgspec.Struct):
    """What the network saw of a picture, `png` as a data URI of 28x28 pixels, and what the ink normaliser did.

    `width` and `height` are the file's, upright, in pixels, `box` the digit's left, top, width and height in them;
    `pieces` is how many parts of the digit lay apart, `lines_removed` how many ruled lines were not taken for ink,
    `exif_orientation` the turn that the file asked for (1: none). An `untouched` picture was as MNIST's are.
    """

    png: str
    untouched: bool
    width: int
    height: int
    box: tuple[int, int, int, int]
    pieces: int = 1
    inverted: bool = False
    lines_removed: int = 0
    exif_orientation: int = 1


class Classification(msgspec.Struct, gc=False):
    """One classified instance: the likeliest label, how likely, and every label's probability (0 to 1).

    An answer that is `unsure` by the bundle's thresholds says so with its `reason`, and has no label if that was asked
    for; `warnings` are of values that the network never saw the like of.
    """

    label: str | None
    probability: float
    probabilities: dict[str, float]  # or what is encoded as one, and made in a third of the time
    unsure: bool | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET
    ink: Ink | UnsetType = UNSET


class Regression(msgspec.Struct):
    """One instance's values, in real units, in the model's order; `warnings` as in a classification."""

    values: list[float]
    warnings: list[str] | UnsetType = UNSET


class Classifications(msgspec.Struct):
    """The answer of a classifier; `predictions` are in the order of the instances."""

    model_name: str
    model_version: str
    predictions: list[Classification]


class Regressions(msgspec.Struct):
    """The answer of a regression, likewise."""

    model_name: str
    model_version: str
    predictions: list[Regression]


Predictions = Classifications | Regressions


def answers_of(bundle: Bundle) -> type[Predictions]:
    """What `encode` makes for this bundle."""
    return Regressions if bundle.task == "regression" else Classifications


def encode(bundle: Bundle, decoded: Decoded, outputs: Arrays, *, abstain: bool = False) -> Predictions:
    """Name what the numbers mean; say what is doubtful, and show what was seen where that is given.

    With `abstain`, an unsure answer has no label.
    """
    predictions: Any
    if bundle.task == "regression":
        predictions = [Regression(values) for values in outputs["values"].tolist()]
    else:
        rows = outputs["probabilities"].tolist()
        backgrounds = outputs["background"].ravel().tolist() if "background" in outputs else itertools.repeat(0.0)
        named = _named(bundle.labels)
        predictions = [
            _classification(bundle, row, named(*row), background, abstain=abstain)
            for row, background in zip(rows, backgrounds, strict=False)
        ]
    if bundle.features:
        for row, warning in warnings_of(bundle.features, decoded.inputs["features"]):
            predictions[row].warnings = [*(predictions[row].warnings or ()), warning]
    if decoded.shown:
        for prediction, one in zip(predictions, decoded.shown, strict=True):
            prediction.ink = ink_of(one)
    return answers_of(bundle)(bundle.name, bundle.version, predictions)


def _classification(
    bundle: Bundle, row: list[float], probabilities: Any, background: float, *, abstain: bool
) -> Classification:
    highest = max(row)
    label = bundle.labels[row.index(highest)]
    reason = doubt_of(bundle, highest, background) if bundle.abstention else None
    if reason is None:
        return Classification(label, highest, probabilities)
    return Classification(None if abstain else label, highest, probabilities, unsure=True, reason=reason)


@functools.cache
def _named(labels: tuple[str, ...]) -> Callable[..., Any]:
    """From the probabilities of all labels, in order, to an object whose fields are called as the labels are."""
    fields = [(f"label_{i}", float) for i in range(len(labels))]
    renamed = {field: label for (field, _), label in zip(fields, labels, strict=True)}
    return msgspec.defstruct("Probabilities", fields, rename=renamed, gc=False)


def ink_of(seen: Seen) -> Ink:
    """What is shown of one picture."""
    file = io.BytesIO()
    Image.fromarray(seen.image).save(file, "PNG")
    png = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    picture, ink = seen.picture, seen.ink
    if picture is None or ink is None:  # an array, which is the network's own input
        height, width = seen.image.shape
        return Ink(png, untouched=True, width=width, height=height, box=(0, 0, width, height))
    down, across = picture.height / picture.grey.shape[0], picture.width / picture.grey.shape[1]  # decoded smaller
    left, top, width, height = (round(at * by) for at, by in zip(ink.box, (across, down) * 2, strict=True))
    return Ink(
        png,
        ink.untouched,
        picture.width,
        picture.height,
        box=(left, top, width, height),
        pieces=ink.pieces,
        inverted=ink.inverted,
        lines_removed=ink.lines,
        exif_orientation=picture.orientation,
    )
