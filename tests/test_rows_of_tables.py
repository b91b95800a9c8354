"""Rows as pandas, MLflow and spreadsheets write them: they are the same rows."""

import json
from typing import Any

import pytest
from conftest import MODELS
from in_process import Response, post

from service.app import create_app
from service.bundle.loading import load_bundle
from service.http.routing import DigitalisApp
from service.inference.version_folders import find_bundles
from service.settings import Settings

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
NAMES = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
COLUMNS = {name: [row[i] for row in ROWS] for i, name in enumerate(NAMES)}
SPLIT = {"columns": NAMES, "index": [0, 1], "data": ROWS}
SHAPES = {
    "instances": {"instances": ROWS},
    "named instances": {"instances": RECORDS, "signature_name": "serving_default"},
    "MLflow's split": {"dataframe_split": SPLIT},
    "MLflow's split without names": {"dataframe_split": {"data": ROWS}},
    "MLflow's records": {"dataframe_records": RECORDS},
    "MLflow's inputs": {"inputs": ROWS},
    "TensorFlow Serving's columns": {"inputs": COLUMNS},
    "pandas' split": SPLIT,
    "pandas' records": RECORDS,
    "pandas' columns": {name: {"0": column[0], "1": column[1]} for name, column in COLUMNS.items()},
    "pandas' list": COLUMNS,
    "rows alone": ROWS,
    "columns in another order": {"dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in ROWS]}},
}
HEADER = ",".join(NAMES)
TABLES = {
    "commas": "5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n",
    "semicolons": "5.1;3.5;1.4;0.2\n6.7;3.0;5.2;2.3\n",
    "tabs": "5.1\t3.5\t1.4\t0.2\n6.7\t3.0\t5.2\t2.3\n",
    "a decimal comma": "5,1;3,5;1,4;0,2\n6,7;3;5,2;2,3\n",
    "a header and semicolons": f"{HEADER.replace(',', ';')}\n5,1;3,5;1,4;0,2\n6,7;3,0;5,2;2,3\n",
    "a byte order mark and CR LF": f"\ufeff{HEADER}\r\n5.1,3.5,1.4,0.2\r\n6.7,3.0,5.2,2.3\r\n",
}


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    folders = [folder for folder in find_bundles(MODELS) if folder.parent.name in ("iris", "linear-regression")]
    return create_app(Settings(device="cpu", workers=1, intra_op_threads=1, log_requests="none"), folders)


def predict(app: DigitalisApp, body: Any, query: str = "", model: str = "iris") -> Response:
    content, media_type = (body, "text/csv") if isinstance(body, str) else (json.dumps(body), "application/json")
    return post(app, f"/v1/models/{model}:predict{query}", content.encode(), {"Content-Type": media_type})


def labels(response: Response) -> list[str]:
    assert response.status == 200, response.body
    return [one["label"] for one in response.json()["predictions"]]


@pytest.mark.parametrize("body", [*SHAPES.values(), *TABLES.values()], ids=[*SHAPES, *TABLES])
def test_the_same_rows_have_the_same_predictions(app: DigitalisApp, body: Any) -> None:
    response = predict(app, body)
    assert labels(response) == ["setosa", "virginica"]
    assert response.json() == predict(app, {"instances": ROWS}).json()


def test_columns_that_are_no_features_are_left_out_if_the_request_says_so(app: DigitalisApp) -> None:
    records = [{"id": i, "species": "?", **record} for i, record in enumerate(RECORDS)]
    table = "\n".join([f"id,{HEADER},species", "0,5.1,3.5,1.4,0.2,?", "1,6.7,3.0,5.2,2.3,?"])
    for body in ({"instances": records}, records, {"dataframe_records": records}, table):
        assert predict(app, body).status == 400
        assert labels(predict(app, body, "?ignore=id,species")) == ["setosa", "virginica"]
        assert labels(predict(app, body, "?ignore=id&ignore=species")) == ["setosa", "virginica"]
    assert "; ?ignore=id leaves it out" in predict(app, table).json()["error"]
    error = predict(app, {"instances": ROWS}, "?ignore=petal%20width%20(cm)").json()["error"]
    assert error == "ignore=petal width (cm): it is a feature, which the model needs"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"dataframe_split": {"columns": NAMES, "data": [[1, 2]]}}, "data[0] has 2 values, and there are 4 columns"),
        ({"dataframe_split": {"columns": "abcd", "data": [[1, 2]]}}, "columns is expected to be a list of names"),
        ({"dataframe_split": {"data": 3}}, "data is expected to be a list of rows"),
        (
            {**COLUMNS, NAMES[0]: [1]},
            "different rows, or other names of rows: sepal length (cm) 1, sepal width (cm) 2",
        ),
        (3, 'the body: expected {"instances": [...]}, or rows as pandas or MLflow write them'),
        ("3.5", "the body"),
        ([{"petal": 3}], "unknown field petal"),
        ([[1, 2, 3, "x"]], "instances[0][3]: expected float, got str"),
        ({}, 'the body: expected {"instances": [...]}'),
        ("5.1,3.5,1.4,0.26.7,3.0,5.2,2.3", "`curl -d @file` removes line breaks, and --data-binary @file keeps them"),
        ("5.1:3.5:1.4:0.2\n", "cells are separated by commas, semicolons, tabs, vertical bars or spaces"),
    ],
)
def test_rows_that_cannot_be_read_are_an_error_that_says_why(app: DigitalisApp, body: Any, error: str) -> None:
    response = predict(app, json.loads(body) if body == "3.5" else body)
    assert response.status == 400
    assert error in response.json()["error"]


def test_one_feature_is_a_column_of_numbers(app: DigitalisApp) -> None:
    (feature,) = load_bundle(next((MODELS / "linear-regression").iterdir()))[0].features
    for body in ("1\n2\n", "1.5\n2\n", {"instances": [[1], [2]]}, {feature.name: [1, 2]}, [[1], [2]]):
        assert len(predict(app, body, model="linear-regression").json()["predictions"]) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1234", "line 1: 1234 has no line break after it, and may be several rows: `curl -d @file` removes"),
        ("1.52.53.5", "line 1: several lines without line breaks between them: `curl -d @file` removes"),
        ("1-23", "line 1: several lines without line breaks between them"),
        ("x1234", "line 1: several lines without line breaks between them"),
    ],
)
def test_rows_of_one_feature_that_curl_has_joined_are_not_read_as_one_number(
    app: DigitalisApp, body: str, words: str
) -> None:
    response = predict(app, body, model="linear-regression")
    assert response.status == 400, response.body
    assert response.json()["error"].startswith(words), response.body
    assert "--data-binary @file keeps them" in response.json()["error"]


def test_a_number_of_two_digits_without_a_line_break_gets_a_warning_and_with_one_is_meant(app: DigitalisApp) -> None:
    """In the range of training, 12 may be 12, or 1 and 2."""
    for body, doubtful in (("02", True), ("02\n", False), ("2", False), ("2.5", False), ("1234\n", False)):
        (prediction,) = predict(app, body, model="linear-regression").json()["predictions"]
        joined = [text for text in prediction.get("warnings", ()) if "may be several rows" in text]
        assert bool(joined) == doubtful, body


def test_names_of_columns_that_are_numbers_get_a_warning(app: DigitalisApp) -> None:
    """Pandas names columns 0, 1, 2, ... and writes that as a header, which may be a row as well."""
    first, *others = predict(app, "0,1,2,3\n5.1,3.5,1.4,0.2\n").json()["predictions"]
    assert "line 1 is 0,1,2,3: if these are the names that pandas gives to columns" in first["warnings"][0]
    assert len(others) == 1
    (alone,) = predict(app, "0,1,2,3\n").json()["predictions"]
    assert not any("pandas" in warning for warning in alone["warnings"])
