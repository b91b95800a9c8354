"""Rows as pandas and MLflow write them, in JSON -> `instances`: lists, or objects by the names of columns.

{"dataframe_split": {"columns": [...], "data": [[...], ...]}}     MLflow, and pandas' orient="split"
{"dataframe_records": [{...}, ...]}, [{...}, ...]                 MLflow, and pandas' orient="records"
{"inputs": [[...], ...]}, {"inputs": {"age": [...], ...}}         MLflow, and TensorFlow Serving's columns
{"schema": {...}, "data": [{...}, ...]}                           pandas' orient="table"
{"0": {"age": 31, ...}, ...}                                      pandas' orient="index"
{"input_data": {"columns": [...], "data": [[...], ...]}}          Azure Machine Learning
{"data": {"names": [...], "ndarray": [[...], ...]}}               Seldon
{"age": {"0": 31, ...}, ...}, {"age": [31, ...], ...}             pandas' orient="columns", and "list"
{"age": 31, ...}, {"instances": [31, ...]}, [31, ...]             one row
"""

from collections.abc import Collection, Sequence
from typing import Any

from service.errors import BadRequest

EXPECTED = 'expected {"instances": [...]}, or rows as pandas or MLflow write them'
ENCODED_TWICE = "is a text of JSON: it was encoded twice, as by requests.post(url, json=json.dumps(rows))"
LISTS = ("instances", "dataframe_records", "inputs", "data")  # fields that may hold rows, one after the other
Scalar = str | int | float | bool | None


def to_instances(document: Any, ignored: Collection[str], features: Sequence[str]) -> list[Any]:
    """The rows of a document in any of these shapes, without the columns that are `ignored`; raises `BadRequest`.

    `features` are their names: a list of as many numbers is one row, or, if there is one, each number is a row.
    """
    rows = _rows(document, features)
    if rows and all(isinstance(value, Scalar) for value in rows):
        rows = [[value] for value in rows] if len(features) == 1 else [rows] if len(rows) == len(features) else rows
    dropped = {*ignored, *_index_of(document), "Unnamed: 0"} - {*features}
    return [_without(row, dropped) if isinstance(row, dict) else row for row in rows]


def _rows(document: Any, features: Sequence[str]) -> list[Any]:
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        raise BadRequest(f"the body {ENCODED_TWICE}" if isinstance(document, str) else f"the body: {EXPECTED}")
    for key in ("dataframe_split", *LISTS):
        if isinstance(document.get(key), str):
            raise BadRequest(f"{key} {ENCODED_TWICE}")
    if split := _split_of(document):
        return _from_split(split)
    lists = (document[key] for key in LISTS if isinstance(document.get(key), list))
    columns = next((document[key] for key in ("instances", "inputs") if key in document), document)
    found = next(lists, columns)
    return list(found) if isinstance(found, list) else _from_columns(found if isinstance(found, dict) else {}, features)


def _split_of(document: dict[str, Any]) -> dict[str, Any] | None:
    """The columns and the data of a document that has them apart."""
    if "columns" in document and "data" in document:
        return document
    for key in ("dataframe_split", "input_data"):
        if isinstance(split := document.get(key), dict) and "data" in split:
            return split
    data = document.get("data")
    if isinstance(data, dict) and isinstance(data.get("ndarray"), list):
        return {"columns": data.get("names"), "data": data["ndarray"]}
    return None


def _index_of(document: Any) -> Collection[str]:
    """The columns of pandas' orient="table" that are its index."""
    schema = document.get("schema") if isinstance(document, dict) else None
    key = schema.get("primaryKey") if isinstance(schema, dict) else None
    return [name for name in key if isinstance(name, str)] if isinstance(key, list) else []


def _from_split(split: dict[str, Any]) -> list[Any]:
    columns, data = split.get("columns"), split.get("data")
    if not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        raise BadRequest("dataframe_split: data is expected to be a list of rows")
    if columns is None:
        return data
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise BadRequest("dataframe_split: columns is expected to be a list of names")
    if repeated := [name for name in columns if columns.count(name) > 1][:1]:
        raise BadRequest(f"dataframe_split: column {repeated[0][:40]!r}: twice")
    for i, row in enumerate(data):
        if len(row) != len(columns):
            raise BadRequest(f"dataframe_split: data[{i}] has {len(row)} values, and there are {len(columns)} columns")
    return [dict(zip(columns, row, strict=True)) for row in data]


def _from_columns(columns: dict[str, Any], features: Sequence[str]) -> list[Any]:
    """Rows out of a list, or an object by the rows' index, for each column; or the only row, of values.

    Or the rows themselves, if they are objects with features, by their index.
    """
    if columns and all(isinstance(row, dict) and row.keys() & {*features} for row in columns.values()):
        return list(columns.values())
    if columns and all(isinstance(value, Scalar) for value in columns.values()):
        return [columns]
    values = [list(column.values()) if isinstance(column, dict) else column for column in columns.values()]
    if not values or not all(isinstance(column, list) for column in values):
        raise BadRequest(f"the body: {EXPECTED}")
    indices = [tuple(column) for column in columns.values() if isinstance(column, dict)]
    if len({len(column) for column in values}) > 1 or len(set(indices)) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in zip(columns, values, strict=True))
        raise BadRequest(f"the body: its columns have different rows, or other names of rows: {lengths}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _without(row: dict[str, Any], ignored: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ignored}
