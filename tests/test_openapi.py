"""The OpenAPI documents and their page. `test_clients.py` makes clients of the documents with other projects' tools."""

import base64
import functools
import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
from conftest import IRIS_VERSION, MODELS, newest
from running_service import ROOT, RunningService

from service.app import create_app
from service.http.routing import DigitalisApp
from service.settings import Settings

# Extensions that the service lacks, the page itself, and aliases.
HIDDEN_VIEWS = {
    "v2.not_implemented", "v2.repository.load", "v2.repository.unload", "swagger_ui.show", "sagemaker.ping",
    "sagemaker.invocations", "page.file",
}  # fmt: skip


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return create_app(Settings(device="cpu"), [newest(name) for name in ("iris", "mnist", "diabetes", "arc")])


@pytest.fixture(scope="module")
def document(app: DigitalisApp) -> Any:
    return json.loads(app.test_client().get("/openapi.json").data)


def model_document(app: DigitalisApp, model: str) -> Any:
    return json.loads(app.test_client().get(f"/v1/models/{model}/openapi.json").data)


def resolve(document: Any, found: Any) -> Any:
    """What a reference within the document refers to, or the thing itself."""
    while "$ref" in found:
        found = functools.reduce(lambda part, name: part[name], found["$ref"].split("/")[1:], document)
    return found


def body_of(document: Any, path: str) -> Any:
    """The content of the request body of a POST, by its media type."""
    return resolve(document, document["paths"][path]["post"]["requestBody"])["content"]


def schemas_in(found: Any) -> Iterator[Any]:
    """Every object in a document, schemas among them, apart from examples."""
    if isinstance(found, dict):
        yield found
    for name, part in found.items() if isinstance(found, dict) else enumerate(found):
        if isinstance(part, dict | list) and name not in ("example", "examples"):
            yield from schemas_in(part)


def test_every_view_is_described_unless_it_is_hidden(app: DigitalisApp) -> None:
    views = app.view_functions
    assert {name for name, view in views.items() if getattr(view, "operation", None) is None} == HIDDEN_VIEWS


def test_all_models_share_one_path_and_each_has_an_example(document: Any) -> None:
    assert {path for path, item in document["paths"].items() if "post" in item} == {
        "/v1/models/{name}:predict", "/v1/models/{name}/versions/{version}:predict",
        "/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer", "/v2/repository/index",
    }  # fmt: skip
    examples = body_of(document, "/v1/models/{name}:predict")["application/json"]["examples"]
    assert list(examples) == ["arc", "diabetes", "iris", "mnist"]
    assert len(examples["iris"]["value"]["instances"][0]) == 4
    assert set(examples["mnist"]["value"]["instances"][0]) == {"b64"}


def test_the_documents_of_other_models_differ_in_examples_only(app: DigitalisApp) -> None:
    def without_examples(app: DigitalisApp) -> Any:
        text = app.test_client().get("/openapi.json").data
        return json.loads(text, object_hook=lambda found: {key: found[key] for key in found if key != "examples"})

    assert without_examples(create_app(Settings(device="cpu"), [newest("iris")])) == without_examples(app)


def test_the_document_has_no_word_that_openapi_3_0_lacks(document: Any) -> None:
    assert document["openapi"] == "3.0.3"
    for schema in schemas_in(document):
        assert not {"prefixItems", "const", "contentEncoding"} & set(schema)
        assert isinstance(schema.get("type", ""), str | dict)
        assert schema.get("type") != "null"
        assert schema.get("type") != "array" or isinstance(schema["items"], dict)
        assert "enum" not in schema or "type" in schema


def test_a_picture_is_a_file_in_a_form_or_the_body(document: Any) -> None:
    file = {"type": "string", "format": "binary"}
    content = body_of(document, "/v1/models/{name}:predict")
    form = resolve(document, content["multipart/form-data"]["schema"])
    assert form["properties"] == {"image": file}
    assert content["application/octet-stream"]["schema"] == file


def test_every_operation_has_a_name_of_its_own(document: Any) -> None:
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)
    assert {"v1_predict", "v1_predict_version", "v2_infer", "v2_statistics", "v2_statistics_name_version"} < set(names)


def test_a_model_has_a_document_of_its_own_with_named_features(app: DigitalisApp) -> None:
    document = model_document(app, "iris")
    content = body_of(document, "/v1/models/iris:predict")
    names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    instances = resolve(document, content["application/json"]["schema"])["properties"]["instances"]
    row, named = instances["items"]["anyOf"]
    assert (row["minItems"], row["maxItems"]) == (4, 4)
    assert list(resolve(document, named)["properties"]) == names
    assert len(content["application/json"]["example"]["instances"][0]) == 4
    content = body_of(model_document(app, "mnist"), "/v1/models/mnist:predict")
    assert set(content) == {"application/json", "multipart/form-data", "image/*"}


def test_the_document_of_a_version_has_the_paths_of_that_version(app: DigitalisApp) -> None:
    response = app.test_client().get(f"/v1/models/iris/versions/{IRIS_VERSION}/openapi.json")
    document = json.loads(response.data)
    paths = {path.replace(f"/versions/{IRIS_VERSION}", "") for path in document["paths"]}
    assert paths == set(model_document(app, "iris")["paths"])
    assert all(f"/versions/{IRIS_VERSION}" in path for path in document["paths"])
    assert app.test_client().get("/v1/models/iris/versions/99/openapi.json").status_code == 404


@pytest.mark.parametrize("model", ["iris", "mnist", "diabetes", "arc"])
def test_the_types_of_each_model_are_part_of_those_of_all_models(app: DigitalisApp, document: Any, model: str) -> None:
    """So what a model accepts or returns, a generated client has, too."""

    def fields(document: Any, schema: Any) -> set[str]:
        return set(resolve(document, schema)["properties"])

    def predict(document: Any, path: str) -> tuple[Any, Any, Any]:
        operation = document["paths"][path]["post"]
        response = operation["responses"]["200"]["content"]["application/json"]["schema"]
        names = {resolve(document, one)["name"] for one in operation["parameters"]}
        return body_of(document, path)["application/json"]["schema"], response, names

    own = model_document(app, model)
    (body, response, names), (own_body, own_response, own_names) = (
        predict(document, "/v1/models/{name}:predict"),
        predict(own, f"/v1/models/{model}:predict"),
    )
    assert fields(own, own_body) <= fields(document, body)
    assert fields(own, own_response) <= fields(document, response)
    assert own_names - {"format"} <= names
    prediction, own_prediction = (
        resolve(where, found)["properties"]["predictions"]["items"]
        for where, found in ((document, response), (own, own_response))
    )
    *lists, by_name = own_prediction.get("anyOf", [own_prediction])
    assert fields(own, by_name) <= fields(document, prediction)
    assert lists == ([{"type": "array", "items": {"type": "number"}}] if "format" in own_names else [])


def test_every_url_is_relative_to_the_document(app: DigitalisApp) -> None:
    """So they are right behind a proxy that puts a prefix before all paths."""
    for path in (
        "/openapi.json",
        "/v1/models/iris/openapi.json",
        f"/v1/models/iris/versions/{IRIS_VERSION}/openapi.json",
    ):
        (server,) = json.loads(app.test_client().get(path).data)["servers"]
        assert urljoin(f"http://host/prefix{path}", server["url"]) == "http://host/prefix/"
    page = app.test_client().get("/docs/").text
    assert "https://" not in page
    urls = re.findall(r'(?:src|href|"url")(?:=|: )"(.*?)"', page)
    assert "../openapi.json" in urls
    assert "../v1/models/iris/openapi.json" in urls
    assert [url for url in urls if not url.startswith(("./", "../"))] == []
    for url in urls:
        with app.test_client().get(urljoin("/docs/", url)) as response:
            assert response.status_code == 200, url


def test_every_get_response_has_the_fields_of_its_schema(app: DigitalisApp, document: Any) -> None:
    """So no two response types share the name of a schema."""
    client = app.test_client()
    compared = 0
    for path, item in document["paths"].items():
        if "get" not in item:
            continue
        content = item["get"]["responses"]["200"]["content"].get("application/json", {})
        if "$ref" not in content.get("schema", {}):
            continue
        schema = resolve(document, content["schema"])
        response = client.get(path.replace("{name}", "iris").replace("{version}", IRIS_VERSION))
        assert response.status_code == 200, path
        assert set(json.loads(response.data)) == set(schema["properties"]), path
        compared += 1
    assert compared >= 10


def test_every_error_response_is_described_with_its_status(app: DigitalisApp, document: Any) -> None:
    assert set(document["paths"]["/v1/models/{name}"]["get"]["responses"]) == {"200", "404", "500", "503"}
    for one in (document, model_document(app, "iris")):
        for path in one["paths"].values():
            for operation in path.values():
                assert operation["summary"]
                for status, found in operation["responses"].items():
                    if int(status) >= 400:
                        response = resolve(one, found)
                        assert response["description"]
                        schema = response["content"]["application/json"]["schema"]
                        assert schema == {"$ref": "#/components/schemas/ErrorBody"}


def test_a_parameter_of_a_model_is_described_only_if_it_accepts_it(app: DigitalisApp, document: Any) -> None:
    def parameters(document: Any, path: str) -> list[str]:
        found = document["paths"][path]["post"].get("parameters", [])
        return [resolve(document, parameter)["name"] for parameter in found]

    every = ["debug", "ignore", "errors", "abstain"]  # `format` changes the types, so the models' documents have it
    assert parameters(document, "/v1/models/{name}:predict") == ["name", *every]
    # `errors` leaves no field that is always there: the document of all models has it, where every field is optional.
    of_digits = ["debug", "abstain", "format"]
    assert parameters(model_document(app, "mnist"), "/v1/models/mnist:predict") == of_digits
    assert parameters(model_document(app, "iris"), "/v1/models/iris:predict") == ["ignore", "format"]
    assert parameters(model_document(app, "iris"), "/v2/models/iris/infer") == ["Inference-Header-Content-Length"]


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
    sent = 0
    for path, item in document["paths"].items():
        if "post" not in item or "{name}" not in path:
            continue
        named = {resolve(document, one)["name"]: resolve(document, one) for one in item["post"]["parameters"]}
        for name, example in body_of(document, path)["application/json"]["examples"].items():
            values = {one: named[one]["examples"][name]["value"] for one in ("name", "version") if f"{{{one}}}" in path}
            response = service.client.post(path.format(**values), json=example["value"])
            assert response.status_code == 200, (path, name, response.text)
            assert "warnings" not in response.text, (path, name, response.text)
            sent += 1
    assert sent == 4 * len(list(MODELS.iterdir()))


def test_the_example_of_a_models_own_document_is_that_of_the_service(app: DigitalisApp, document: Any) -> None:
    for model in ("iris", "mnist"):
        own = body_of(model_document(app, model), f"/v1/models/{model}:predict")["application/json"]["example"]
        examples = body_of(document, "/v1/models/{name}:predict")["application/json"]["examples"]
        assert examples[model]["value"] == own


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("#/V1/v1_predict", ["/v1/models/{name}", "Predict every instance of the body", "a document of its own"]),
        ("?urls.primaryName=iris#/V1/v1_predict", ["/v1/models/iris", "The model iris/", "Predict every instance"]),
    ],
)
def test_a_browser_renders_the_page_without_files_from_other_hosts(
    service: RunningService, chromium: str, page: str, words: list[str]
) -> None:
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=15000")
    command = [chromium, *options, "--dump-dom", f"{service.url}/docs/{page}"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    text = re.sub("<[^>]*>|\u200b", "", shown.stdout)
    assert [phrase for phrase in words if phrase not in text] == []
    assert "Content Security Policy" not in shown.stderr


def test_the_page_runs_no_other_script_than_its_own_and_is_in_no_frame(app: DigitalisApp) -> None:
    page = app.test_client().get("/docs/", headers={"Host": "elsewhere.example"})
    scripts = re.findall("<script>(.*?)</script>", page.text, re.DOTALL)  # ours for the key, and Swagger UI's
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(digests) == 2
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == " ".join(["'self'", *(f"'sha256-{digest}'" for digest in digests)])
    assert policy["connect-src"] == "'self'"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "elsewhere.example" not in page.text
    with app.test_client().get("/docs/swagger-ui-bundle.js") as file:
        assert "script-src 'self';" in file.headers["Content-Security-Policy"]


def test_the_page_has_the_look_and_the_header_of_the_page_of_the_models(app: DigitalisApp) -> None:
    page = app.test_client().get("/docs/").text
    assert (ROOT / "service/page/static/look.css").read_text() in page
    assert '<a href="../">Try the models</a>' in page


@pytest.mark.parametrize("prefix", ["", "/prefix"])
def test_the_redirect_to_the_page_is_relative_and_names_no_host(app: DigitalisApp, prefix: str) -> None:
    response = app.test_client().get(
        "/docs?x=1", headers={"Host": "elsewhere.example"}, environ_overrides={"SCRIPT_NAME": prefix}
    )
    assert response.status_code == 308
    assert response.headers["Location"] == "./docs/?x=1"
    assert "elsewhere.example" not in response.text


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/iris/report", "/docs/", "/nowhere", "/metrics"])
def test_a_browser_does_not_guess_the_type_of_any_response(app: DigitalisApp, path: str) -> None:
    assert app.test_client().get(path).headers["X-Content-Type-Options"] == "nosniff"


def test_the_report_keeps_a_policy_of_its_own(app: DigitalisApp) -> None:
    policy = app.test_client().get("/v1/models/iris/report").headers["Content-Security-Policy"]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
