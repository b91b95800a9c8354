"""Rows as pandas and MLflow write them, in JSON -> `instances`: lists, or objects by the names of columns.

{"dataframe_split": {"columns": [...], "data": [[...], ...]}}     MLflow, and pandas' orient="split"
{"dataframe_records": [{...}, ...]}, [{...}, ...]                 MLflow, and pandas' orient="records"
{"inputs": [[...], ...]}, {"inputs": {"age": [...], ...}}         MLflow, and TensorFlow Serving's columns
{"age": {"0": 31, ...}, ...}, {"age": [31, ...], ...}             pandas' orient="columns", and "list"
"""

from collections.abc import Collection
from typing import Any

from service.errors import BadRequest

EXPECTED = 'expected {"instances": [...]}, or rows as pandas or MLflow write them'


def to_instances(document: Any, ignored: Collection[str] = ()) -> list[Any]:
    """The rows of a document in any of these shapes, without the columns that are `ignored`; raises `BadRequest`."""
    rows = _rows(document)
    if not ignored:
        return rows
    return [_without(row, ignored) if isinstance(row, dict) else row for row in rows]


def _rows(document: Any) -> list[Any]:
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        raise BadRequest(f"the body: {EXPECTED}")
    for key in ("instances", "dataframe_records", "inputs"):
        if isinstance(document.get(key), list):
            return list(document[key])
    if isinstance(split := document.get("dataframe_split"), dict):
        return _from_split(split)
    if "columns" in document and "data" in document:
        return _from_split(document)
    columns = document.get("inputs", document)
    return _from_columns(columns if isinstance(columns, dict) else {})


def _from_split(split: dict[str, Any]) -> list[Any]:
    columns, data = split.get("columns"), split.get("data")
    if not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        raise BadRequest("dataframe_split: data is expected to be a list of rows")
    if columns is None:
        return data
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise BadRequest("dataframe_split: columns is expected to be a list of names")
    for i, row in enumerate(data):
        if len(row) != len(columns):
            raise BadRequest(f"dataframe_split: data[{i}] has {len(row)} values, and there are {len(columns)} columns")
    return [dict(zip(columns, row, strict=True)) for row in data]


def _from_columns(columns: dict[str, Any]) -> list[Any]:
    """Rows out of a list, or an object by the rows' index, for each column."""
    values = [list(column.values()) if isinstance(column, dict) else column for column in columns.values()]
    if not values or not all(isinstance(column, list) for column in values):
        raise BadRequest(f"the body: {EXPECTED}")
    indices = [tuple(column) for column in columns.values() if isinstance(column, dict)]
    if len({len(column) for column in values}) > 1 or len(set(indices)) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in zip(columns, values, strict=True))
        raise BadRequest(f"the body: its columns have different rows: {lengths}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _without(row: dict[str, Any], ignored: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ignored}
