"""Feature vectors -> `features` FP32 [n, features]: JSON rows, JSON objects of named features, or CSV."""

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

from service.bundle.manifest import Feature
from service.bundle.signature import finite
from service.errors import BadRequest, PayloadTooLarge
from service.protocols.parsing import CSV, JSON, Body, decode_json
from service.settings import Settings

LONGEST_LINE = 2**16  # characters
LARGE = 1e70  # the square of what FP32 holds, about

Rows = list[tuple[float, ...]]


def decode(body: Body, features: tuple[Feature, ...], settings: Settings) -> NDArray[np.float32]:
    """All rows of a body, in order: FP32 [n, features]. Raises `RequestError` naming the row that cannot be."""
    rows, where = (_csv if body.media_type == CSV else _json)(body.data, features, settings.max_rows)
    if not rows:
        raise BadRequest("no rows: send at least one")
    if len(rows) > settings.max_rows:
        raise PayloadTooLarge(f"{len(rows)} rows in one request: at most {settings.max_rows}")
    array = as_fp32(rows)
    if not finite(array):
        at, column = np.argwhere(~np.isfinite(array))[0]
        raise BadRequest(f"{where(at)}: {features[column].name} = {rows[at][column]:g} is not a finite FP32 number")
    return array


def media_types(features: tuple[Feature, ...]) -> dict[str, Any]:
    """What is taken, and the type of what each holds."""
    return {JSON: _decoder(features)[0].type, CSV: str}


def as_fp32(numbers: Any) -> NDArray[np.float32]:
    """JSON's or CSV's numbers, nested as an array is, to the nearest FP32; what is too large becomes an infinity."""
    array = np.array(numbers, np.float64)
    if np.vdot(array, array) < LARGE:
        return array.astype(np.float32)
    with np.errstate(over="ignore"):  # it takes longer than all the rest
        return array.astype(np.float32)


def _listed(features: tuple[Feature, ...]) -> str:
    return ", ".join(feature.name for feature in features)


@functools.cache
def _decoder(features: tuple[Feature, ...]) -> tuple[msgspec.json.Decoder[Any], int]:
    """The V1 request of a vector model, as a type: so a wrong name, value or length is found while parsing.

    And how many brackets an instance has, at most.
    """
    names = {f"feature_{i}": feature.name for i, feature in enumerate(features)}
    named: Any = msgspec.defstruct(
        "NamedFeatures", [(f, float) for f in names], rename=names, forbid_unknown_fields=True
    )
    row: Any = tuple[(float,) * len(features)]  # type: ignore[misc]  # as many numbers as features
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("instances", list[row | named]),
        ("signature_name", str | None, None),
    ]
    brackets = 1 + sum(feature.name.count("[") + feature.name.count("{") for feature in features)
    return msgspec.json.Decoder(msgspec.defstruct("VectorInstances", fields)), brackets


def _json(data: bytes, features: tuple[Feature, ...], most: int) -> tuple[Rows, Callable[[int], str]]:
    decoder, brackets = _decoder(features)
    try:
        instances = decode_json(data, decoder, brackets * (most + 100)).instances
    except BadRequest as error:
        asked = " field " in str(error) or " array of length " in str(error)
        hint = f": the features are {_listed(features)}" if asked and str(error).startswith("instances[") else ""
        raise BadRequest(f"{error}{hint}") from None
    rows = [row if isinstance(row, tuple) else msgspec.structs.astuple(row) for row in instances]
    return rows, "instances[{}]".format


def _csv(data: bytes, features: tuple[Feature, ...], most: int) -> tuple[Rows, Callable[[int], str]]:
    """Rows of numbers, in the features' order, or in any order under a header that names each of them once."""
    rows: Rows = []
    lines: list[int] = []
    order: list[int] | None = None
    try:
        reader = csv.reader(_lines(data, 2 * most + 100), strict=True)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if order is None:
                header = all(_number(cell) is None for cell in cells)
                order = _order(cells, features) if header else list(range(len(features)))
                if header:
                    continue
            values = _row(cells, features, reader.line_num)
            rows.append(tuple(values[i] for i in order))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise BadRequest(f"the body is not CSV: {error}") from None
    return rows, lambda row: f"line {lines[row]}"


def _lines(data: bytes, most: int) -> Iterator[str]:
    """The lines of the text, so many and so long at most: what is over is never built."""
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline=None)  # any of the three ways to end a line
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8 text") from None
    for number, line in enumerate(text, 1):
        if number > most:
            raise PayloadTooLarge(f"over {most} lines in one request")
        if len(line) > LONGEST_LINE:
            raise BadRequest(f"line {number}: {len(line)} characters: at most {LONGEST_LINE}")
        yield line


def _row(cells: list[str], features: tuple[Feature, ...], line: int) -> list[float]:
    if len(cells) != len(features):
        hint = "; cells are separated by commas" if len(cells) == 1 and len(features) > 1 else ""
        raise BadRequest(f"line {line}: {len(cells)} cells, expected {len(features)}: {_listed(features)}{hint}")
    values = [_number(cell) for cell in cells]
    for feature, cell, value in zip(features, cells, values, strict=True):
        if value is None:
            raise BadRequest(f"line {line}: {cell[:40]!r} is not a number ({feature.name})")
    return [value for value in values if value is not None]


def _number(cell: str) -> float | None:
    """The number that a cell spells, or None. What Python reads beyond that (nan, inf, 1_000) is not a number here."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and cell.isascii() and "_" not in cell else None


def _order(header: list[str], features: tuple[Feature, ...]) -> list[int]:
    """For each feature, the column that holds it."""
    names = [name.strip() for name in header]
    known = [feature.name for feature in features]
    for name in names:
        if name not in known or names.count(name) > 1:
            close = difflib.get_close_matches(name.lower().replace("_", " "), known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close and name not in known else ""
            wrong = "twice" if name in known else f"unknown{hint}"
            raise BadRequest(
                f"line 1: column {name[:40]!r}: {wrong}; a header names each feature once: {_listed(features)}"
            )
    if missing := [name for name in known if name not in names]:
        raise BadRequest(f"line 1: no column {missing[0]!r}: a header names each feature once: {_listed(features)}")
    return [names.index(name) for name in known]
