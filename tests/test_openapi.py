"""The OpenAPI document and its page. `test_clients.py` validates the document with tools of other projects."""

import json
import shutil
import subprocess
from typing import Any

import pytest
from conftest import IRIS_VERSION, MODELS, newest
from running_service import RunningService

from service.app import create_app
from service.http.routing import DigitalisApp
from service.settings import Settings

HIDDEN_VIEWS = {"v2.not_implemented", "swagger_ui.show"}  # extensions that the service lacks, and the page itself


@pytest.fixture
def chromium() -> str:
    """The path of a browser; without one, the test is skipped."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no browser is installed: install chromium")
    return path


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return create_app(Settings(device="cpu"), [newest(name) for name in ("iris", "mnist", "diabetes")])


@pytest.fixture(scope="module")
def document(app: DigitalisApp) -> Any:
    return json.loads(app.test_client().get("/openapi.json").data)


def test_every_view_is_described_unless_it_is_hidden(app: DigitalisApp) -> None:
    views = app.view_functions
    assert {name for name, view in views.items() if getattr(view, "operation", None) is None} == HIDDEN_VIEWS


def test_each_model_has_a_request_schema_of_its_own_with_named_features(document: Any) -> None:
    content = document["paths"]["/v1/models/iris:predict"]["post"]["requestBody"]["content"]["application/json"]
    names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    instances = document["components"]["schemas"]["iris.VectorInstances"]["properties"]["instances"]
    row, named = instances["items"]["anyOf"]
    assert (row["minItems"], row["maxItems"]) == (4, 4)
    assert list(document["components"]["schemas"][named["$ref"].rpartition("/")[2]]["properties"]) == names
    assert len(content["example"]["instances"][0]) == 4
    assert set(document["paths"]["/v1/models/mnist:predict"]["post"]["requestBody"]["content"]) == {
        "application/json", "multipart/form-data", "image/*",
    }  # fmt: skip


def test_every_get_response_has_the_fields_of_its_schema(app: DigitalisApp, document: Any) -> None:
    """So no two response types share the name of a schema."""
    client = app.test_client()
    paths = [path for path, item in document["paths"].items() if "get" in item]
    compared = 0
    for path in paths:
        content = document["paths"][path]["get"]["responses"]["200"]["content"].get("application/json")
        if content is None or "$ref" not in content.get("schema", {}):
            continue
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        response = client.get(path.replace("{name}", "iris").replace("{version}", IRIS_VERSION))
        assert response.status_code == 200, path
        assert set(json.loads(response.data)) == set(schema["properties"]), path
        compared += 1
    assert compared >= 10


def test_every_error_response_is_described_with_its_status(document: Any) -> None:
    responses = document["paths"]["/v1/models/{name}"]["get"]["responses"]
    assert set(responses) == {"200", "404", "500"}
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert response["content"]["application/json"]["schema"] == {
                        "$ref": "#/components/schemas/ErrorBody"
                    }


def test_a_parameter_is_described_only_for_paths_that_accept_it(document: Any) -> None:
    def parameters(path: str) -> list[str]:
        return [parameter["name"] for parameter in document["paths"][path]["post"]["parameters"]]

    assert parameters("/v1/models/mnist:predict") == ["debug", "abstain"]
    assert parameters("/v1/models/iris/versions/{version}:predict") == ["version"]
    assert parameters("/v2/models/iris/infer") == ["Inference-Header-Content-Length"]


@pytest.mark.parametrize(("name", "status"), [("If-Modified-Since", 206), ("If-Range", 200)])
@pytest.mark.parametrize(
    "date", ["1 Jan 99999999999999999999 00:00:00 GMT", "1 Jan 2026 00:00:00 +99999999999999999999"]
)
def test_a_date_that_is_too_large_is_as_any_invalid_one(
    service: RunningService, name: str, status: int, date: str
) -> None:
    """Without `If-Modified-Since` the requested range is sent; an `If-Range` that does not match asks for the whole."""
    response = service.client.get("/docs/swagger-ui.css", headers={name: date, "Range": "bytes=0-9"})
    assert response.status_code == status
    assert response.text.startswith(".swagger")


def test_every_example_request_of_the_document_succeeds_without_warnings(service: RunningService) -> None:
    document = service.client.get("/openapi.json").json()
    posts = {path: item["post"] for path, item in document["paths"].items() if "post" in item and "{" not in path}
    bodies = {path: post["requestBody"]["content"]["application/json"] for path, post in posts.items()}
    examples = [(path, body["example"]) for path, body in bodies.items() if "example" in body]
    assert len(examples) == 2 * len(list(MODELS.iterdir()))
    for path, example in examples:
        response = service.client.post(path, json=example)
        assert response.status_code == 200, (path, response.text)
        assert "warnings" not in response.text, (path, response.text)


def test_a_browser_renders_the_page_without_files_from_other_hosts(service: RunningService, chromium: str) -> None:
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000", "--dump-dom"]
    page = subprocess.run(
        [*command, f"{service.url}/docs/#/iris/post_v1_models_iris_predict"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert "TensorFlow Serving's and KServe's protocol" in page
    assert "Classify every instance of the body" in page
    assert "https://" not in service.client.get("/docs/").text
