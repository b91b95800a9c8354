"""Feature vectors -> `features` FP32 [n, features]: JSON rows, JSON objects of named features, or CSV."""

import csv
import functools
import io
import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.bundle import Feature
from service.decoding.body import CSV, JSON, Body, decode_json
from service.errors import BadRequest, PayloadTooLarge
from service.settings import Settings

MEDIA_TYPES = (JSON, CSV)


def decode(body: Body, features: tuple[Feature, ...], settings: Settings) -> NDArray[np.float32]:
    """All rows of a body, in order: FP32 [n, features]. Raises `RequestError` naming the row that cannot be."""
    rows, where = (_csv if body.media_type == CSV else _json)(body.data, features)
    if len(rows) > settings.max_rows:
        raise PayloadTooLarge(f"{len(rows)} rows in one request: at most {settings.max_rows}")
    if not rows:
        raise BadRequest("no rows: send at least one")
    try:
        exact = np.array(rows, np.float64)
    except ValueError:  # ragged
        exact = np.empty((0, 0))
    if exact.shape != (len(rows), len(features)):
        at = next(i for i, row in enumerate(rows) if len(row) != len(features))
        raise BadRequest(f"{where(at)}: {len(rows[at])} values, expected {len(features)}: {_listed(features)}")
    with np.errstate(over="ignore"):
        array = exact.astype(np.float32)
    if not np.isfinite(array).all():
        at, column = np.argwhere(~np.isfinite(array))[0]
        raise BadRequest(f"{where(at)}: {features[column].name} = {rows[at][column]:g} is not a finite FP32 number")
    return array


def _listed(features: tuple[Feature, ...]) -> str:
    return ", ".join(feature.name for feature in features)


@functools.cache
def _decoder(features: tuple[Feature, ...]) -> msgspec.json.Decoder[Any]:
    """The V1 request of a vector model, as a type: so a wrong name or value is found, and named, while parsing."""
    names = {f"feature_{i}": feature.name for i, feature in enumerate(features)}
    named = msgspec.defstruct("NamedFeatures", [(f, float) for f in names], rename=names, forbid_unknown_fields=True)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("instances", list[list[float] | named]),  # type: ignore[valid-type]
        ("signature_name", str | None, None),
    ]
    return msgspec.json.Decoder(msgspec.defstruct("VectorInstances", fields))


def _json(data: bytes, features: tuple[Feature, ...]) -> tuple[list[Any], Any]:
    try:
        instances = decode_json(data, _decoder(features)).instances
    except BadRequest as error:
        hint = (
            f"; the features are {_listed(features)}"
            if str(error).startswith("instances[") and " field " in str(error)
            else ""
        )
        raise BadRequest(f"{error}{hint}") from None
    rows = [row if isinstance(row, list) else msgspec.structs.astuple(row) for row in instances]
    return rows, "instances[{}]".format


def _csv(data: bytes, features: tuple[Feature, ...]) -> tuple[list[Any], Any]:
    """Rows of numbers, in the features' order, or in any order under a header that names each of them once."""
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True))
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8 text") from None
    except csv.Error as error:
        raise BadRequest(f"the body is not CSV: {error}") from None
    numbered = [(n, cells) for n, cells in enumerate(lines, 1) if any(cell.strip() for cell in cells)]
    order = list(range(len(features)))
    if numbered and any(_number(cell) is None for cell in numbered[0][1]):
        order = _order(numbered.pop(0)[1], features)
    rows = []
    for n, cells in numbered:
        if len(cells) != len(features):
            raise BadRequest(f"line {n}: {len(cells)} cells, expected {len(features)}: {_listed(features)}")
        values = [_number(cell) for cell in cells]
        if None in values:
            raise BadRequest(f"line {n}: {cells[values.index(None)]!r} is not a number")
        rows.append([values[i] for i in order])
    return rows, lambda row: f"line {numbered[row][0]}"


def _number(cell: str) -> float | None:
    """The number that a cell spells, or None. What Python reads beyond that (nan, inf, 1_000) is not a number here."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def _order(header: list[str], features: tuple[Feature, ...]) -> list[int]:
    """For each feature, the column that holds it."""
    names = [name.strip() for name in header]
    if sorted(names) != sorted(feature.name for feature in features):
        strange = sorted(set(names) - {feature.name for feature in features})
        wrong = f"unknown {strange[0]!r}" if strange else f"{len(names)} columns"
        raise BadRequest(f"line 1: {wrong}: a header names each feature once: {_listed(features)}")
    return [names.index(feature.name) for feature in features]
