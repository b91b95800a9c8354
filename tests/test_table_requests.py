"""A model of one's own table, trained by the command and served: words, missing values, and errors."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import Response, post
from test_tables import customers, table_of

from service.app import create_app
from service.bundle.loading import load_bundle
from service.http.routing import DigitalisApp
from service.inference.version_folders import find_bundles
from service.settings import Settings
from training.__main__ import main

ROW = [30, "pro", 35, "CH"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the bundle of a table, and nothing else."""
    folder = tmp_path_factory.mktemp("tables")
    table = table_of(folder, customers(600), "customers.csv")
    assert main(["train", str(table), "--target", "tier", "--models", str(folder / "models")]) == 0
    return folder / "models"


@pytest.fixture(scope="module", params=["onnx", "torchscript"])
def app(request: pytest.FixtureRequest, models: Path) -> DigitalisApp:
    settings = Settings(device="cpu", workers=1, intra_op_threads=1, log_requests="none", runtime=request.param)
    return create_app(settings, find_bundles(models))


def predict(app: DigitalisApp, body: Any, media_type: str = "application/json") -> Response:
    content = body if isinstance(body, str) else json.dumps(body)
    return post(app, "/v1/models/customers:predict", content.encode(), {"Content-Type": media_type})


def probabilities(response: Response) -> list[dict[str, float]]:
    assert response.status == 200, response.body
    return [one["probabilities"] for one in response.json()["predictions"]]


def test_the_target_is_predicted_from_words_and_numbers(app: DigitalisApp) -> None:
    response = predict(app, {"instances": [ROW, [50, "basic", 3, "DE"]]})
    assert [one["label"] for one in response.json()["predictions"]] == ["gold", "silver"]


def test_rows_named_values_csv_and_v2_codes_are_the_same_row(app: DigitalisApp) -> None:
    named = dict(zip(("age", "plan", "visits", "country"), ROW, strict=True))
    expected = probabilities(predict(app, {"instances": [ROW]}))
    assert probabilities(predict(app, {"instances": [named]})) == expected
    assert probabilities(predict(app, "30,pro,35,CH\n", "text/csv")) == expected
    assert probabilities(predict(app, "country,plan,visits,age\nCH,pro,35,30\n", "text/csv")) == expected
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [30, 2, 35, 0]}
    (output,) = post(app, "/v2/models/customers/infer", json.dumps({"inputs": [tensor]}).encode(), {}).json()["outputs"]
    assert output["data"] == pytest.approx(list(expected[0].values()), abs=1e-6)


def test_missing_values_are_null_left_out_or_empty_cells_and_nan_in_binary_tensors(app: DigitalisApp) -> None:
    expected = probabilities(predict(app, {"instances": [[None, "pro", 35, None]]}))
    assert probabilities(predict(app, {"instances": [{"plan": "pro", "visits": 35}]})) == expected
    assert probabilities(predict(app, ",pro,35,\n", "text/csv")) == expected
    tensor: dict[str, Any] = {"name": "features", "shape": [1, 4], "datatype": "FP32"}
    row = np.array([np.nan, 2, 35, np.nan], np.float32).tobytes()
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(row)}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    for body, fields in (
        (head + row, headers),
        (json.dumps({"inputs": [tensor | {"data": [None, 2, 35, None]}]}).encode(), {}),
    ):
        (output,) = post(app, "/v2/models/customers/infer", body, fields).json()["outputs"]
        assert output["data"] == pytest.approx(list(expected[0].values()), abs=1e-6)


@pytest.mark.parametrize(
    ("body", "media_type", "error"),
    [
        ({"instances": [[30, "premium", 35, "CH"]]}, "application/json",
         "instances[0][1]: invalid enum value 'premium': expected one of 'basic', 'plus', 'pro'"),
        ({"instances": [ROW, {"age": 1, "plan": "prp", "visits": 2}]}, "application/json",
         "instances[1].plan: invalid enum value 'prp': expected one of 'basic', 'plus', 'pro'"),
        ({"instances": [[30, 2, 35, "CH"]]}, "application/json",
         "instances[0][1]: expected str, got int: expected one of 'basic', 'plus', 'pro'"),
        ({"instances": [[30, None, 35, "CH"]]}, "application/json", "instances[0][1]: expected str, got null"),
        ({"instances": [[30, "pro", None, "CH"]]}, "application/json", "instances[0][2]: expected float, got null"),
        ("30,prp,35,CH\n", "text/csv", "line 1: plan = 'prp': did you mean 'pro'? expected one of 'basic'"),
        ("30,,35,CH\n", "text/csv", "line 1: the cell is empty (plan)"),
        ("30,pro,,CH\n", "text/csv", "line 1: the cell is empty (visits)"),
        ("country,plan,visits,age\nCH,pro,many,30\n", "text/csv", "line 2: 'many' is not a number (visits)"),
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_named_with_what_is_expected(
    app: DigitalisApp, body: Any, media_type: str, error: str
) -> None:
    response = predict(app, body, media_type)
    assert response.status == 400
    assert error in response.json()["error"]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([30, 3, 35, 0], "row 0: plan = 3, expected one of 0 (basic), 1 (plus), 2 (pro)"),
        ([30, 0.5, 35, 0], "row 0: plan = 0.5, expected one of 0 (basic), 1 (plus), 2 (pro)"),
        ([30, None, 35, 0], "row 0: plan is missing, and may not be"),
        ([30, 0, 1e39, 0], "data[2] is not a finite FP32 number"),
    ],
)
def test_v2_takes_codes_and_null_only_where_they_mean_something(app: DigitalisApp, data: list[Any], error: str) -> None:
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": data}
    response = post(app, "/v2/models/customers/infer", json.dumps({"inputs": [tensor]}).encode(), {})
    assert response.status == 400
    assert error in response.json()["error"]


def test_the_manifest_lists_words_and_which_columns_may_be_missing(models: Path) -> None:
    bundle, _ = load_bundle(models / "customers/1")
    assert {one.name: (one.categories, one.may_be_missing) for one in bundle.features} == {
        "age": ((), True),
        "plan": (("basic", "plus", "pro"), False),
        "visits": ((), False),
        "country": (("CH", "DE", "TR"), True),
    }
    assert bundle.recipe["table"]["targets"] == ["tier"]


def test_the_report_in_the_bundle_shows_no_row_of_the_table(models: Path, tmp_path: Path) -> None:
    """The page that the command writes does: who runs it has the table."""
    assert b"Misclassified rows" in (page := (models / "customers/1/report.html").read_bytes())
    assert b"<th>plan</th>" not in page
    assert main(["report", "customers", "--models", str(models), "--out", str(tmp_path)]) == 0
    assert b"<th>plan</th>" in (tmp_path / "customers/report.html").read_bytes()


def test_a_recipe_file_trains_the_next_version(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = models.parent / "customers.csv"
    assert main(["init", str(table), "--target", "tier"]) == 0
    recipe = table_of(models.parent, capsys.readouterr().out.replace("epochs = 200", "epochs = 3"), "customers.toml")
    assert main(["train", str(recipe), "--models", str(models)]) == 0
    assert f"wrote {models}/customers/2" in capsys.readouterr().out
    assert load_bundle(models / "customers/2")[0].recipe["training"]["epochs"] == 3


def test_show_prints_the_recipe_in_a_file(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = models.parent / "customers.csv"
    main(["init", str(table), "--target", "tier"])
    recipe = table_of(models.parent, capsys.readouterr().out, "shown.toml")
    assert main(["show", str(recipe)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["table"]["features"] == load_bundle(models / "customers/1")[0].recipe["table"]["features"]


def test_a_regression_of_two_values_is_served_in_their_units(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{i % 50},{i % 7},{100 * (i % 50) + i % 7},{-(i % 7)}.5" for i in range(400)]
    table = table_of(tmp_path, "\n".join(["a,b,sum,negative", *rows]), "sums.csv")
    targets = ["--target", "sum", "--target", "negative"]
    assert main(["train", str(table), *targets, "--models", str(tmp_path / "models")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"held-out sum: R² (0\.9|1\.)\d+, root mean squared error \d", printed)
    assert re.search(r"held-out negative: R² (0\.9|1\.)\d+, root mean squared error 0\.\d", printed)
    app = create_app(Settings(device="cpu", workers=1), find_bundles(tmp_path / "models"))
    response = post(app, "/v1/models/sums:predict", b'{"instances": [[20, 3], [500, 3]]}', {})
    inside, outside = response.json()["predictions"]
    assert [*inside["values"].values()] == pytest.approx([2003, -3.5], rel=0.1)
    assert "warnings" not in inside
    assert outside["warnings"][0] == "a = 500 is outside 0.0 to 49.0 seen in training"
    assert re.fullmatch(r"sum = \d+(\.\d+)? is outside 0.0 to 490\d.0 seen in training", outside["warnings"][1])
