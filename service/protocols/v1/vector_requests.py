"""Requests to vector models -> `features` FP32 [n, features]: JSON rows, JSON objects of named features, or CSV.

Words of categories become codes, and missing values NaN.
"""

import csv
import difflib
import functools
import io
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.bundle.features import has_special_features, parse_number
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
from service.protocols.v1.feature_values import (
    UnknownValue,
    number_in_cell,
    number_of,
    rule_at,
    value_type,
)
from service.protocols.v1.table_shapes import to_instances
from service.settings import Settings

MAX_LINE = 2**16  # characters
DELIMITERS = (",", ";", "\t")
DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")
IS_INSTANCES = re.compile(
    rb'\s*\{[^\[]*"instances"\s*:'
)  # of the usual request, which is parsed into its types at once
ANYTHING = msgspec.json.Decoder()
EXTRA_INSTANCES, EXTRA_LINES = 100, 100  # parsed beyond the limit, so that the message can say how many there are

Rows = list[tuple[float, ...]]
Locate = Callable[[int], str]  # the index of a row -> where in the body it is


def decode(body: Body, features: tuple[Column, ...], request: Request) -> NDArray[np.float32]:
    """All rows of a body, in order: FP32 [n, features]. Raises a `RequestError` that names the row that failed."""
    ignored = frozenset(name for value in request.query("ignore") for name in value.split(","))
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
    rows, locate = (_csv if body.media_type == CSV else _json)(body.data, features, settings.max_rows, ignored)
    if not rows:
        raise BadRequest("no rows: send at least one")
    if len(rows) > settings.max_rows:
        raise PayloadTooLarge(f"{len(rows)} rows in one request: at most {settings.max_rows}")
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


def _feature_list(features: tuple[Column, ...]) -> str:
    return ", ".join(feature.name for feature in features)


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
            instances = validate({"instances": to_instances(document, ignored)}, decoder.type).instances
        else:
            instances = decode_json(data, decoder, max_arrays).instances
    except BadRequest as error:
        # msgspec has no error codes: these are the messages for wrong names and wrong lengths.
        about_features = any(words in str(error) for words in (" field ", " array of length ", " object or array"))
        hint = about_features and str(error).startswith("instances[")
        rule = f": the features are {_feature_list(features)}" if hint else rule_at(_path(error), features)
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


def _csv(data: bytes, features: tuple[Column, ...], max_rows: int, ignored: Collection[str]) -> tuple[Rows, Locate]:
    """Rows of numbers: in the features' order, or in any order below a header that names each feature once."""
    rows: Rows = []
    line_numbers: list[int] = []
    order: list[int] | None = None
    width = len(features)
    delimiter = _delimiter(data, len(features))
    try:
        reader = csv.reader(_lines(data, 2 * max_rows + EXTRA_LINES), delimiter=delimiter, strict=True)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            plain = cells if delimiter == "," else list(map(_with_point, cells))
            if order is None:
                is_header = _is_header(plain, features)
                order = list(range(len(features)))
                if is_header:
                    width = len(cells)
                    order = _column_order(cells, features, reader.line_num, ignored)
                    continue
            rows.append(_row(plain, order, features, reader.line_num, width))
            line_numbers.append(reader.line_num)
    except csv.Error as error:
        raise BadRequest(f"the body is not CSV: {error}") from None
    return rows, lambda row: f"line {line_numbers[row]}"


def _lines(data: bytes, max_lines: int) -> Iterator[str]:
    """The lines of the text; raises for too many or too long ones before they are parsed."""
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline=None)  # lines end with LF, CR LF or CR
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8 text") from None
    for number, line in enumerate(text, 1):
        if number > max_lines:
            raise PayloadTooLarge(f"over {max_lines} lines in one request")
        if len(line) > MAX_LINE:
            raise BadRequest(f"line {number}: {len(line)} characters: at most {MAX_LINE}")
        yield line


def _is_header(cells: list[str], features: tuple[Column, ...]) -> bool:
    """Whether no cell is a number and, where features have words of their own, one names a feature."""
    names = {feature.name for feature in features}
    has_words = any(feature.categories for feature in features)
    named = not has_words or any(cell.strip() in names for cell in cells)
    if len(cells) == 1 and len(features) > 1:  # separated by something else
        return False
    return named and all(parse_number(cell) is None for cell in cells)


def _row(cells: list[str], order: list[int], features: tuple[Column, ...], line: int, width: int) -> tuple[float, ...]:
    """The numbers of a line of so many cells; `order` has for each feature the index of its cell."""
    if len(cells) != width:
        hint = "; cells are separated by commas, semicolons or tabs" if len(cells) == 1 and width > 1 else ""
        if line == 1 and len(cells) > width:
            hint = "; `curl -d @file` removes line breaks, and --data-binary @file keeps them"
        expected = f"{width}: {_feature_list(features)}" if width == len(features) else f"{width}, as in the header"
        raise BadRequest(f"line {line}: {len(cells)} cells, expected {expected}{hint}")
    try:
        return tuple(number_in_cell(cells[i], feature) for i, feature in zip(order, features, strict=True))
    except UnknownValue as error:
        raise BadRequest(f"line {line}: {error}") from None


def _delimiter(data: bytes, features: int) -> str:
    """What separates the cells of the first line: a comma, unless another gives as many cells as there are features."""
    lines = data[:MAX_LINE].decode("utf-8-sig", "replace").splitlines()
    first = next((line for line in lines if line.strip()), "")
    counts = {one: len(next(csv.reader([first], delimiter=one), [])) for one in DELIMITERS}
    if features == 1 or counts[","] == features:
        return ","
    best = max(counts, key=lambda one: (counts[one] == features, counts[one]))
    return best if counts[best] >= features else ","


def _with_point(cell: str) -> str:
    """A number with a decimal comma as one with a point."""
    return cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell


def _column_order(header: list[str], features: tuple[Column, ...], line: int, ignored: Collection[str]) -> list[int]:
    """For each feature, the index of its column."""
    names = [name.strip() for name in header]
    known = [feature.name for feature in features]
    rule = f"a header names each feature once: {_feature_list(features)}"
    for name in names:
        if name in ignored:
            continue
        if name not in known or names.count(name) > 1:
            close = difflib.get_close_matches(name.lower().replace("_", " "), known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close and name not in known else ""
            wrong = "twice" if name in known else f"unknown{hint}"
            advice = "" if name in known else f"; ?ignore={name[:40]} leaves it out"
            raise BadRequest(f"line {line}: column {name[:40]!r}: {wrong}; {rule}{advice}")
    if missing := [name for name in known if name not in names]:
        raise BadRequest(f"line {line}: no column {missing[0]!r}: {rule}")
    return [names.index(name) for name in known]
