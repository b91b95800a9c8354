"""Requests to vector models -> `features` FP32 [n, features]: JSON rows, JSON objects of named features, or CSV.

Words of categories become codes, and missing values NaN.
"""

import contextlib
import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from service.bundle.features import has_special_features
from service.bundle.manifest import Bundle, Column
from service.bundle.signature import Arrays, all_finite
from service.errors import BadRequest
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
from service.protocols.v1.counts import check_lines, check_rows
from service.protocols.v1.csv_rows import read_csv
from service.protocols.v1.decoded import DecodedRequest, ItemErrors, Rows
from service.protocols.v1.feature_values import UnknownValue, feature_list, names_of, number_of, rule_at, value_type
from service.protocols.v1.json_instances import ANYTHING, other_fields, valid_instances, without_other_fields
from service.protocols.v1.options import PARAMETERS_FIELD, BodyParameters, Options
from service.protocols.v1.table_shapes import ENCODED_TWICE, to_instances
from service.settings import Settings

# The start of the usual request, which is parsed into its types at once.
IS_INSTANCES = re.compile(rb'\s*\{[^\[]*"instances"\s*:')
INSTANCE = "instances[{}]".format
EXTRA_INSTANCES = 100  # parsed beyond the limit, so that the message can say how many there are


def decode(body: Body, bundle: Bundle, request: Request, options: Options) -> DecodedRequest:
    """All rows of a body, in order. Raises a `RequestError` that names the row that failed."""
    settings = request.settings
    if body.media_type == CSV:
        check_lines(body.data.count(b"\n") or body.data.count(b"\r"), settings)
    if len(body.data) <= LARGE_BODY:
        return _decode(body, bundle.features, settings, options)
    # Rows of another shape are parsed as they are, and then made rows of features.
    converted = options.ignored or options.per_item or not IS_INSTANCES.match(body.data)
    copies = 2 if converted and body.media_type != CSV else 1
    text = WIDEST_CHARACTERS * len(body.data) if body.media_type == CSV else 0  # decoded, and by the line
    rows = settings.max_rows + EXTRA_INSTANCES
    memory = parsing_memory(body.data, FLOAT_BYTES, rows)
    with request.reserve(text + copies * memory):
        return _decode(body, bundle.features, settings, options)


def _decode(body: Body, features: tuple[Column, ...], settings: Settings, options: Options) -> DecodedRequest:
    items, parameters = ItemErrors(per_item=options.per_item), None
    if body.media_type == CSV:
        rows = read_csv(body.data, features, settings.max_rows, options.ignored, items)
    else:
        rows, parameters = _json(body.data, features, settings, options, items)
    check_rows(len(rows.numbers) + len(items.found), settings)
    inputs = to_inputs(rows, features, items) if rows.numbers else {}
    return DecodedRequest(inputs, (), rows.warnings, items.found, parameters)


def to_inputs(rows: Rows, features: tuple[Column, ...], items: ItemErrors) -> Arrays:
    """`features` FP32 [n, features], without rows that have an error of their own: numbers too large for FP32."""
    array = as_fp32(rows.numbers)
    # Parsing leaves NaN only where a value may be missing.
    if all_finite(array) or not (infinite := np.isinf(array)).any():
        return {"features": array}
    for row, column in np.argwhere(infinite).tolist():
        index, value = rows.indices[row], f"{features[column].name} = {rows.numbers[row][column]:g}"
        items.add(BadRequest(f"{value} is not a finite FP32 number"), index, rows.locate(index))
    finite = array[~infinite.any(axis=1)]
    return {"features": finite} if len(finite) else {}


def media_types(features: tuple[Column, ...]) -> dict[str, Any]:
    """The media types that are accepted, and the type of what each contains."""
    return {JSON: _decoder(features)[0].type, CSV: str}


@functools.lru_cache(256)
def _instance_type(features: tuple[Column, ...]) -> Any:
    """A row, or named features, as a type, so that parsing finds a wrong name, value or length."""
    names = {f"feature_{i}": feature.name for i, feature in enumerate(features)}
    named: Any = msgspec.defstruct(
        "NamedFeatures",
        [_field(f"feature_{i}", feature) for i, feature in enumerate(features)],
        rename=names,
        forbid_unknown_fields=True,
        kw_only=True,
    )
    row: Any = tuple[tuple(map(value_type, features))]  # type: ignore[misc]  # a value for each feature
    return row | named


@functools.lru_cache(256)
def _decoder(features: tuple[Column, ...]) -> tuple[msgspec.json.Decoder[Any], int]:
    """The V1 request of a vector model as a type, and the number of brackets that an instance has, at most."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("instances", list[_instance_type(features)]),  # type: ignore[misc]  # made from the bundle's features
        ("signature_name", str | None, None),
        PARAMETERS_FIELD,
    ]
    brackets = 1 + sum(feature.name.count("[") + feature.name.count("{") for feature in features)
    return msgspec.json.Decoder(msgspec.defstruct("VectorInstances", fields)), brackets


def _field(name: str, feature: Column) -> tuple[Any, ...]:
    """A field of the named features, which may be left out if its value may be missing."""
    return (name, value_type(feature), None) if feature.may_be_missing else (name, value_type(feature))


def _json(
    data: bytes, features: tuple[Column, ...], settings: Settings, options: Options, items: ItemErrors
) -> tuple[Rows, BodyParameters | None]:
    decoder, brackets = _decoder(features)
    max_arrays = (brackets + 1) * (settings.max_rows + EXTRA_INSTANCES)
    if options.per_item:
        document = decode_json(data, ANYTHING, max_arrays)
        rows = to_instances(without_other_fields(document), options.ignored, names_of(features))
        check_rows(len(rows), settings)
        valid = valid_instances(rows, _instance_type(features), items, lambda error: _with_rule(error, features))
        request = validate({"instances": [], **other_fields(document)}, decoder.type)
        instances: Iterable[Any] = valid.values()
        indices: Sequence[int] = [*valid]
    else:
        request = _all_at_once(data, features, max_arrays, options)
        instances, indices = request.instances, range(len(request.instances))
    numbers = [row if isinstance(row, tuple) else msgspec.structs.astuple(row) for row in instances]
    located = Rows(numbers, indices, INSTANCE)
    return _to_numbers(located, features, items) if has_special_features(features) else located, request.parameters


def _all_at_once(data: bytes, features: tuple[Column, ...], max_arrays: int, options: Options) -> Any:
    """A body as the request's type: parsed into it, or first as it is, and then made rows of features."""
    decoder, _ = _decoder(features)
    try:
        if not options.ignored and IS_INSTANCES.match(data):
            return decode_json(data, decoder, max_arrays)
        return _converted(decode_json(data, ANYTHING, max_arrays), features, options)
    except BadRequest as error:
        if len(data) <= LARGE_BODY and b'"instances"' in data and (row := _only_row(data, features, options)):
            return row
        raise _with_rule(error, features) from None


def _converted(document: Any, features: tuple[Column, ...], options: Options) -> Any:
    instances = to_instances(without_other_fields(document), options.ignored, names_of(features))
    return validate({"instances": instances, **other_fields(document)}, _decoder(features)[0].type)


def _only_row(data: bytes, features: tuple[Column, ...], options: Options) -> Any:
    """The request of a row that is not in a list; None if it is something else."""
    with contextlib.suppress(BadRequest):
        return _converted(decode_json(data, ANYTHING), features, options)
    return None


def _with_rule(error: BadRequest, features: tuple[Column, ...]) -> BadRequest:
    """What is expected, if the error is about features: msgspec has no error codes, and these are its messages."""
    if str(error) == "instances: expected array, got str":
        return BadRequest(f"instances {ENCODED_TWICE}")
    about_features = any(words in str(error) for words in (" field ", " array of length ", " object or array"))
    hint = about_features and str(error).startswith("instances[")
    rule = f": the features are {feature_list(features)}" if hint else rule_at(_path(error), features)
    unknown = str(error).partition("unknown field ")[2]
    return BadRequest(f"{error}{rule}{f'; ?ignore={unknown[:40]} leaves it out' if hint and unknown else ''}")


def _path(error: BadRequest) -> str:
    return str(error).partition(": ")[0]


def _to_numbers(rows: Rows, features: tuple[Column, ...], items: ItemErrors) -> Rows:
    """Words of categories as codes, and null as NaN."""
    numbers: list[tuple[float, ...]] = []
    indices = []
    for i, row in zip(rows.indices, rows.numbers, strict=True):
        try:
            numbers.append(tuple(map(number_of, row, features)))
            indices.append(i)
        except UnknownValue as error:
            items.add(BadRequest(str(error)), i, rows.locate(i))
    return Rows(numbers, indices, rows.locate)
