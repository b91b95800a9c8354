"""`?errors=item`: an instance that cannot be read has an error of its own, and the others have their predictions."""

import base64
import io
import json
from typing import Any

import httpx
import pytest
from conftest import SAMPLES
from in_process import Response, open_app, post
from PIL import Image
from running_service import ROOT

from service.http.routing import DigitalisApp

THREE, SEVEN = (SAMPLES / "3.png").read_bytes(), (SAMPLES / "7.png").read_bytes()
BLANK = (ROOT / "tests/corpus/files/blank.png").read_bytes()
ROW = [5.1, 3.5, 1.4, 0.2]
NO_IMAGE = "not an image in a supported format"


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return open_app("iris", "digits", "linear-regression", max_image_pixels=200_000)


def predict(app: DigitalisApp, model: str, body: Any, media_type: str = "application/json") -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return post(app, f"/v1/models/{model}:predict?errors=item", content, {"Content-Type": media_type})


def outcomes(response: Response) -> list[str]:
    """The label of each prediction, or its error."""
    assert response.status == 200, response.body
    predictions = response.json()["predictions"]
    assert all("label" in one or list(one) == ["error"] for one in predictions)
    return [one.get("error") or one["label"] for one in predictions]


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def form(*files: bytes) -> tuple[bytes, str]:
    request = httpx.Request("POST", "http://x", files=[("image", ("a.png", file)) for file in files])
    return request.read(), request.headers["Content-Type"]


def test_pictures_of_a_form_that_cannot_be_read_have_their_errors_in_their_places(app: DigitalisApp) -> None:
    found = outcomes(predict(app, "digits", *form(THREE, b"no picture", BLANK, SEVEN)))
    assert found[0] == "3"
    assert found[1].startswith(f"file 2 (a.png): {NO_IMAGE}")
    assert found[2].startswith("file 3 (a.png): no ink of a digit")
    assert found[3] == "7"


def test_pictures_and_arrays_of_json_do_likewise(app: DigitalisApp) -> None:
    array = [[0] * 28 for _ in range(28)]
    too_small, too_bright = array[:5], [[300] * 28 for _ in range(28)]
    instances = [b64(THREE), b64(b"no picture"), {"b64": "%"}, 7, too_small, too_bright, array, b64(SEVEN)]
    found = outcomes(predict(app, "digits", {"instances": instances}))
    assert (found[0], found[7]) == ("3", "7")
    assert found[6] in "0123456789"
    for i, words in {
        1: f"instances[1]: {NO_IMAGE}",
        2: "instances[2].b64: '%' is no character of base64",
        3: "instances[3]: expected ",
        4: "instances[4]: 5 rows of [28] numbers, expected 28 rows of 28",
        5: "instances[5]: values from 300 to 300, expected pixels: 0 to 255",
    }.items():
        assert found[i].startswith(words), found[i]


def test_a_body_of_one_picture_may_have_an_error_too(app: DigitalisApp) -> None:
    assert outcomes(predict(app, "digits", BLANK, "image/png"))[0].startswith("the body: no ink of a digit")


def test_a_picture_over_the_limit_has_an_error_and_the_others_are_read(app: DigitalisApp) -> None:
    large = (ROOT / "tests/corpus/files/20000x20000.png").read_bytes()
    found = outcomes(predict(app, "digits", *form(large, THREE)))
    assert "pixels: at most 200,000" in found[0]
    assert found[1] == "3"


def test_rows_of_json_that_are_wrong_have_their_errors(app: DigitalisApp) -> None:
    named = dict(
        zip(["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"], ROW, strict=True)
    )
    rows = [ROW, ROW[:3], [*ROW[:3], "0.2"], named, named | {"colour": 1}, [*ROW[:3], 1e300], ROW]
    found = outcomes(predict(app, "iris", {"instances": rows}))
    assert [found[i] for i in (0, 3, 6)] == ["setosa"] * 3
    assert found[1].startswith("instances[1]: expected array of length 4, got 3: the features are sepal length (cm)")
    assert found[2].startswith("instances[2][3]: expected float, got str")
    assert "unknown field colour: the features are" in found[4]
    assert found[5] == "instances[5]: petal width (cm) = 1e+300 is not a finite FP32 number"


def test_lines_of_csv_that_are_wrong_have_their_errors(app: DigitalisApp) -> None:
    found = outcomes(predict(app, "iris", b"5.1,3.5,1.4,0.2\n5.1,3.5,,0.2\n5.1,3.5\n6.7,3.0,5.2,2.3\n", "text/csv"))
    assert (found[0], found[3]) == ("setosa", "virginica")
    assert found[1] == "line 2: the cell is empty (petal length (cm))"
    assert found[2].startswith("line 3: 2 cells, expected 4")


def test_a_request_of_nothing_but_wrong_instances_is_answered(app: DigitalisApp) -> None:
    assert len(outcomes(predict(app, "iris", {"instances": [[1], [2]]}))) == 2
    assert len(outcomes(predict(app, "iris", b"1\n2\n3\n", "text/csv"))) == 3
    assert len(outcomes(predict(app, "digits", *form(b"x", b"y")))) == 2


def test_what_is_wrong_with_the_whole_request_is_an_error_of_the_request(app: DigitalisApp) -> None:
    bodies: list[Any] = [{"instances": []}, {"instances": "5.1"}, b"{", {}]
    for body in bodies:
        assert predict(app, "iris", body).status == 400
    assert predict(app, "iris", {"instances": [ROW]}, "application/xml").status == 415


def test_without_the_option_the_first_error_is_that_of_the_request(app: DigitalisApp) -> None:
    body, media_type = form(THREE, b"no picture", BLANK)
    response = post(app, "/v1/models/digits:predict", body, {"Content-Type": media_type})
    assert response.status == 400
    assert response.json()["error"].startswith(f"file 2 (a.png): {NO_IMAGE}")


def test_a_picture_that_takes_too_much_memory_has_an_error_and_the_others_are_read() -> None:
    app = open_app("digits", memory_budget_bytes=64 * 2**20, max_body_bytes=2**20)
    file = io.BytesIO()
    Image.new("RGB", (4000, 4000), "white").save(file, "WEBP")
    found = outcomes(predict(app, "digits", *form(file.getvalue(), THREE)))
    assert "bytes of memory: at most" in found[0]
    assert found[1] == "3"


def test_errors_of_many_instances_are_short(app: DigitalisApp) -> None:
    response = predict(app, "iris", {"instances": [["x" * 1000]] * 100})
    assert max(map(len, outcomes(response))) <= 300
