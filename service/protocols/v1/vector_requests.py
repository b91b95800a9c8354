"""Requests to vector models -> `features` FP32 [n, features]: JSON rows, JSON objects of named features, or CSV."""

import csv
import difflib
import functools
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

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
)
from service.settings import Settings

MAX_LINE = 2**16  # characters
EXTRA_INSTANCES, EXTRA_LINES = 100, 100  # parsed beyond the limit, so that the message can say how many there are

Rows = list[tuple[float, ...]]
Locate = Callable[[int], str]  # the index of a row -> where in the body it is


def decode(body: Body, features: tuple[Column, ...], request: Request) -> NDArray[np.float32]:
    """All rows of a body, in order: FP32 [n, features]. Raises a `RequestError` that names the row that failed."""
    if len(body.data) <= LARGE_BODY:
        return _decode(body, features, request.settings)
    text = WIDEST_CHARACTERS * len(body.data) if body.media_type == CSV else 0  # decoded, and by the line
    rows = request.settings.max_rows + EXTRA_INSTANCES
    with request.reserve(text + parsing_memory(body.data, FLOAT_BYTES, rows * len(features), rows)):
        return _decode(body, features, request.settings)


def _decode(body: Body, features: tuple[Column, ...], settings: Settings) -> NDArray[np.float32]:
    rows, locate = (_csv if body.media_type == CSV else _json)(body.data, features, settings.max_rows)
    if not rows:
        raise BadRequest("no rows: send at least one")
    if len(rows) > settings.max_rows:
        raise PayloadTooLarge(f"{len(rows)} rows in one request: at most {settings.max_rows}")
    array = as_fp32(rows)
    if not all_finite(array):
        row, column = np.argwhere(~np.isfinite(array))[0]
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
        "NamedFeatures", [(f, float) for f in names], rename=names, forbid_unknown_fields=True
    )
    row: Any = tuple[(float,) * len(features)]  # type: ignore[misc]  # a number for each feature
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("instances", list[row | named]),
        ("signature_name", str | None, None),
    ]
    brackets = 1 + sum(feature.name.count("[") + feature.name.count("{") for feature in features)
    return msgspec.json.Decoder(msgspec.defstruct("VectorInstances", fields)), brackets


def _json(data: bytes, features: tuple[Column, ...], max_rows: int) -> tuple[Rows, Locate]:
    decoder, brackets = _decoder(features)
    try:
        instances = decode_json(data, decoder, brackets * (max_rows + EXTRA_INSTANCES)).instances
    except BadRequest as error:
        # msgspec has no error codes: these are the messages for wrong names and wrong lengths.
        about_features = any(words in str(error) for words in (" field ", " array of length ", " object or array"))
        hint = about_features and str(error).startswith("instances[")
        raise BadRequest(f"{error}: the features are {_feature_list(features)}" if hint else str(error)) from None
    rows = [row if isinstance(row, tuple) else msgspec.structs.astuple(row) for row in instances]
    return rows, "instances[{}]".format


def _csv(data: bytes, features: tuple[Column, ...], max_rows: int) -> tuple[Rows, Locate]:
    """Rows of numbers: in the features' order, or in any order below a header that names each feature once."""
    rows: Rows = []
    line_numbers: list[int] = []
    order: list[int] | None = None
    try:
        reader = csv.reader(_lines(data, 2 * max_rows + EXTRA_LINES), strict=True)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if order is None:
                is_header = all(_number(cell) is None for cell in cells)
                order = _column_order(cells, features, reader.line_num) if is_header else list(range(len(features)))
                if is_header:
                    continue
            values = _row(cells, features, reader.line_num)
            rows.append(tuple(values[i] for i in order))
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


def _row(cells: list[str], features: tuple[Column, ...], line: int) -> list[float]:
    if len(cells) != len(features):
        hint = "; cells are separated by commas" if len(cells) == 1 and len(features) > 1 else ""
        expected = f"{len(features)}: {_feature_list(features)}"
        raise BadRequest(f"line {line}: {len(cells)} cells, expected {expected}{hint}")
    values = [_number(cell) for cell in cells]
    for feature, cell, value in zip(features, cells, values, strict=True):
        if value is None:
            found = f"{cell[:40]!r} is not a number" if cell.strip() else "the cell is empty"
            raise BadRequest(f"line {line}: {found} ({feature.name})")
    return [value for value in values if value is not None]


def _number(cell: str) -> float | None:
    """The number in a cell, or None. Python's other spellings (nan, inf, 1_000) are not accepted."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and cell.isascii() and "_" not in cell else None


def _column_order(header: list[str], features: tuple[Column, ...], line: int) -> list[int]:
    """For each feature, the index of its column."""
    names = [name.strip() for name in header]
    known = [feature.name for feature in features]
    rule = f"a header names each feature once: {_feature_list(features)}"
    for name in names:
        if name not in known or names.count(name) > 1:
            close = difflib.get_close_matches(name.lower().replace("_", " "), known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close and name not in known else ""
            raise BadRequest(
                f"line {line}: column {name[:40]!r}: {'twice' if name in known else f'unknown{hint}'}; {rule}"
            )
    if missing := [name for name in known if name not in names]:
        raise BadRequest(f"line {line}: no column {missing[0]!r}: {rule}")
    return [names.index(name) for name in known]
