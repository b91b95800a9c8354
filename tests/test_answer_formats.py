"""`?format=`, and `parameters` in a body of JSON: probabilities and values by name, as lists, or as bare scores."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from in_process import Response, open_app, post

from service.http.routing import DigitalisApp

IRIS_ROW = [5.1, 3.5, 1.4, 0.2]
LINNERUD_ROW = [5, 162, 60]
TARGETS = ["Weight", "Waist", "Pulse"]


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return open_app("iris", "linnerud", "arc", "digits")


def predict(app: DigitalisApp, model: str, body: Any, query: str = "") -> Response:
    content = json.dumps(body).encode()
    return post(app, f"/v1/models/{model}:predict{query}", content, {"Content-Type": "application/json"})


def predictions(app: DigitalisApp, model: str, row: Sequence[float], query: str = "", **fields: Any) -> list[Any]:
    response = predict(app, model, {"instances": [row], **fields}, query)
    assert response.status == 200, response.body
    found: list[Any] = response.json()["predictions"]
    return found


def test_a_regression_names_its_values_and_lists_them_on_request(app: DigitalisApp) -> None:
    (named,) = predictions(app, "linnerud", LINNERUD_ROW)
    assert list(named["values"]) == TARGETS
    (listed,) = predictions(app, "linnerud", LINNERUD_ROW, "?format=lists")
    assert listed["values"] == list(named["values"].values())
    assert predictions(app, "linnerud", LINNERUD_ROW, "?format=scores") == [listed["values"]]


def test_a_classifier_gives_bare_scores_as_tensorflow_serving_does(app: DigitalisApp) -> None:
    (named,) = predictions(app, "iris", IRIS_ROW)
    (listed,) = predictions(app, "iris", IRIS_ROW, "?format=lists")
    assert (listed["label"], listed["probabilities"]) == ("setosa", list(named["probabilities"].values()))
    assert predictions(app, "iris", IRIS_ROW, "?format=scores") == [listed["probabilities"]]


def test_the_body_may_say_the_format_and_wins_over_the_query(app: DigitalisApp) -> None:
    (scores,) = predictions(app, "iris", IRIS_ROW, "?format=lists", parameters={"format": "scores"})
    assert sum(scores) == pytest.approx(1)
    frame = {"dataframe_split": {"data": [IRIS_ROW]}, "parameters": {"format": "scores"}}
    assert predict(app, "iris", frame).json()["predictions"] == [scores]


def test_the_body_may_ask_for_abstention(app: DigitalisApp) -> None:
    image = [[(i * j) % 256 for i in range(28)] for j in range(28)]
    response = predict(app, "digits", {"instances": [image], "parameters": {"abstain": True}})
    (prediction,) = response.json()["predictions"]
    assert (prediction["unsure"], prediction["label"]) == (True, None)


def test_scores_and_errors_of_instances_stand_beside_each_other(app: DigitalisApp) -> None:
    response = predict(app, "iris", {"instances": [[1], IRIS_ROW]}, "?format=scores&errors=item")
    error, scores = response.json()["predictions"]
    assert list(error) == ["error"]
    assert len(scores) == 3


@pytest.mark.parametrize(
    ("model", "query", "fields", "words"),
    [
        ("iris", "?format=csv", {}, "format=csv: expected named (probabilities and values by name), lists, or scores"),
        ("iris", "?format=lists&format=scores", {}, "format is both lists and scores: send it once"),
        ("arc", "?format=scores", {}, "format=scores: arc has one format: it is a model of task mixture"),
        ("arc", "", {"parameters": {"format": "scores"}}, "format=scores: arc has one format"),
        ("iris", "", {"parameters": {"format": "csv"}}, "parameters.format: invalid enum value 'csv'"),
        ("iris", "", {"parameters": {"debug": "ink"}}, "parameters: object contains unknown field debug"),
        ("iris", "", {"parameters": {"abstain": True}}, "abstain=true: iris has no thresholds"),
        ("iris", "?errors=all", {}, "errors=all: expected errors=item"),
    ],
)
def test_another_format_is_rejected(
    app: DigitalisApp, model: str, query: str, fields: dict[str, Any], words: str
) -> None:
    row = IRIS_ROW if model == "iris" else [0.5]
    response = predict(app, model, {"instances": [row], **fields}, query)
    assert response.status == 400, response.body
    assert response.json()["error"].startswith(words), response.body


def test_bare_scores_have_their_warnings_beside_them(app: DigitalisApp) -> None:
    body = {"instances": [IRIS_ROW, [51, 3.5, 1.4, 0.2], [1]]}
    response = predict(app, "iris", body, "?format=scores&errors=item").json()
    assert response["warnings"] == ["predictions[1]: sepal length (cm) = 51 is outside 4.3 to 7.9 seen in training"]
    image = [[1] * 28 for _ in range(28)]
    response = predict(app, "digits", {"instances": [image]}, "?format=scores").json()
    assert [text.partition(": ")[0] for text in response["warnings"]] == ["predictions[0]"] * 2
    assert "ink fraction = 0 is outside" in response["warnings"][0]
    assert "warnings" not in predict(app, "iris", {"instances": [IRIS_ROW]}, "?format=scores").json()
