"""The OpenAPI document and its page. `test_clients.py` validates the document with tools of other projects."""

import base64
import hashlib
import json
import re
import subprocess
from typing import Any

import pytest
from conftest import IRIS_VERSION, MODELS, newest
from running_service import RunningService

from service.app import create_app
from service.http.routing import DigitalisApp
from service.settings import Settings

# Extensions that the service lacks, the page itself, and aliases.
HIDDEN_VIEWS = {"v2.not_implemented", "swagger_ui.show", "sagemaker.ping", "sagemaker.invocations"}


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
    assert set(responses) == {"200", "404", "500", "503"}
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

    assert parameters("/v1/models/mnist:predict") == ["debug", "errors", "abstain", "format"]
    assert parameters("/v1/models/iris/versions/{version}:predict") == ["version", "ignore", "errors", "format"]
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
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=15000")
    command = [chromium, *options, "--dump-dom", f"{service.url}/docs/#/iris/post_v1_models_iris_predict"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "TensorFlow Serving's and KServe's protocol" in shown.stdout
    assert "Predict every instance of the body" in shown.stdout
    assert "Content Security Policy" not in shown.stderr
    assert "https://" not in service.client.get("/docs/").text


def test_the_page_runs_no_other_script_than_its_own_and_is_in_no_frame(app: DigitalisApp) -> None:
    page = app.test_client().get("/docs/", headers={"Host": "elsewhere.example"})
    (script,) = re.findall("<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["connect-src"] == "'self'"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "elsewhere.example" not in page.text
    with app.test_client().get("/docs/swagger-ui-bundle.js") as file:
        assert "script-src 'self';" in file.headers["Content-Security-Policy"]


def test_the_redirect_to_the_page_does_not_name_the_host_that_the_client_has_sent(app: DigitalisApp) -> None:
    response = app.test_client().get("/docs?x=1", headers={"Host": "elsewhere.example"})
    assert response.status_code == 308
    assert response.headers["Location"] == "./docs/?x=1"
    assert "elsewhere.example" not in response.text


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/iris/report", "/docs/", "/nowhere", "/metrics"])
def test_a_browser_does_not_guess_the_type_of_any_response(app: DigitalisApp, path: str) -> None:
    assert app.test_client().get(path).headers["X-Content-Type-Options"] == "nosniff"


def test_the_report_keeps_a_policy_of_its_own(app: DigitalisApp) -> None:
    policy = app.test_client().get("/v1/models/iris/report").headers["Content-Security-Policy"]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
