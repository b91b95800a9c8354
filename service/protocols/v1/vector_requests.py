"""Requests to vector models -> `features` FP32 [n, features]: JSON rows, JSON objects of named features, or CSV.

Words of categories become codes, and missing values NaN.
"""

import functools
import re
from collections.abc import Collection
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.bundle.features import has_special_features
from service.bundle.manifest import Column
from service.bundle.signature import all_finite
from service.errors import BadRequest, PayloadTooLarge
from service.http.body import CSV, Body
from service.http.messages import JSON, Request
from service.protocols.parsing import (
    FLOAT_BYTES,
    LARGE_BODY,
    WIDEST_CHARACTERS,
    as_fp32,
    decode_json,
    parsing_memory,
    validate,
)
from service.protocols.v1.csv_rows import Locate, Rows, read_csv
from service.protocols.v1.feature_values import (
    UnknownValue,
    feature_list,
    number_of,
    rule_at,
    value_type,
)
from service.protocols.v1.table_shapes import to_instances
from service.settings import Settings

# The start of the usual request, which is parsed into its types at once.
IS_INSTANCES = re.compile(rb'\s*\{[^\[]*"instances"\s*:')
ANYTHING = msgspec.json.Decoder()
EXTRA_INSTANCES = 100  # parsed beyond the limit, so that the message can say how many there are


def decode(body: Body, features: tuple[Column, ...], request: Request) -> NDArray[np.float32]:
    """All rows of a body, in order: FP32 [n, features]. Raises a `RequestError` that names the row that failed."""
    ignored = frozenset(name for value in request.query("ignore") for name in value.split(",") if name)
    if known := [feature.name for feature in features if feature.name in ignored]:
        raise BadRequest(f"ignore={known[0]}: it is a feature, which the model needs")
    if len(body.data) <= LARGE_BODY:
        return _decode(body, features, request.settings, ignored)
    # Rows of another shape are parsed as they are, and then made rows of features.
    copies = 1 if body.media_type == CSV or (IS_INSTANCES.match(body.data) and not ignored) else 2
    text = WIDEST_CHARACTERS * len(body.data) if body.media_type == CSV else 0  # decoded, and by the line
    rows = request.settings.max_rows + EXTRA_INSTANCES
    with request.reserve(text + copies * parsing_memory(body.data, FLOAT_BYTES, rows * len(features), rows)):
        return _decode(body, features, request.settings, ignored)


def _decode(
    body: Body, features: tuple[Column, ...], settings: Settings, ignored: Collection[str]
) -> NDArray[np.float32]:
    rows, locate = (read_csv if body.media_type == CSV else _json)(body.data, features, settings.max_rows, ignored)
    if not rows:
        raise BadRequest("no rows: send at least one")
    if len(rows) > settings.max_rows:
        raise PayloadTooLarge(f"{len(rows)} rows in one request: at most {settings.max_rows} (DIGITALIS_MAX_ROWS)")
    array = as_fp32(rows)
    # Parsing leaves NaN only where a value may be missing.
    if not all_finite(array) and np.isinf(array).any():
        row, column = np.argwhere(np.isinf(array))[0]
        value = f"{features[column].name} = {rows[row][column]:g}"
        raise BadRequest(f"{locate(row)}: {value} is not a finite FP32 number")
    return array


def media_types(features: tuple[Column, ...]) -> dict[str, Any]:
    """The media types that are accepted, and the type of what each contains."""
    return {JSON: _decoder(features)[0].type, CSV: str}


@functools.cache
def _decoder(features: tuple[Column, ...]) -> tuple[msgspec.json.Decoder[Any], int]:
    """The V1 request of a vector model as a type, so that parsing finds a wrong name, value or length.

    And the number of brackets that an instance has, at most.
    """
    names = {f"feature_{i}": feature.name for i, feature in enumerate(features)}
    named: Any = msgspec.defstruct(
        "NamedFeatures",
        [_field(f"feature_{i}", feature) for i, feature in enumerate(features)],
        rename=names,
        forbid_unknown_fields=True,
        kw_only=True,
    )
    row: Any = tuple[tuple(map(value_type, features))]  # type: ignore[misc]  # a value for each feature
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("instances", list[row | named]),
        ("signature_name", str | None, None),
    ]
    brackets = 1 + sum(feature.name.count("[") + feature.name.count("{") for feature in features)
    return msgspec.json.Decoder(msgspec.defstruct("VectorInstances", fields)), brackets


def _field(name: str, feature: Column) -> tuple[Any, ...]:
    """A field of the named features, which may be left out if its value may be missing."""
    return (name, value_type(feature), None) if feature.may_be_missing else (name, value_type(feature))


def _json(data: bytes, features: tuple[Column, ...], max_rows: int, ignored: Collection[str]) -> tuple[Rows, Locate]:
    decoder, brackets = _decoder(features)
    max_arrays = (brackets + 1) * (max_rows + EXTRA_INSTANCES)
    try:
        if ignored or not IS_INSTANCES.match(data):
            document = decode_json(data, ANYTHING, max_arrays)
            has_signature = isinstance(document, dict) and "signature_name" in document
            others = {"signature_name": document["signature_name"]} if has_signature else {}
            instances = validate({"instances": to_instances(document, ignored), **others}, decoder.type).instances
        else:
            instances = decode_json(data, decoder, max_arrays).instances
    except BadRequest as error:
        # msgspec has no error codes: these are the messages for wrong names and wrong lengths.
        about_features = any(words in str(error) for words in (" field ", " array of length ", " object or array"))
        hint = about_features and str(error).startswith("instances[")
        rule = f": the features are {feature_list(features)}" if hint else rule_at(_path(error), features)
        raise BadRequest(f"{error}{rule}") from None
    rows = [row if isinstance(row, tuple) else msgspec.structs.astuple(row) for row in instances]
    locate = "instances[{}]".format
    return (_to_numbers(rows, features, locate) if has_special_features(features) else rows), locate


def _path(error: BadRequest) -> str:
    return str(error).partition(": ")[0]


def _to_numbers(rows: list[tuple[Any, ...]], features: tuple[Column, ...], locate: Locate) -> Rows:
    """Words of categories as codes, and null as NaN."""
    numbers: Rows = []
    try:
        for row in rows:
            numbers.append(tuple(map(number_of, row, features)))
    except UnknownValue as error:
        raise BadRequest(f"{locate(len(numbers))}: {error}") from None
    return numbers
