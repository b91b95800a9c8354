"""The OpenAPI document and its page; whether it is valid and true, other projects' tools say in `test_clients.py`."""

import json
import shutil
import subprocess
from typing import Any

import pytest
from conftest import MODELS
from running_service import RunningService

from service.app import create_app
from service.settings import Settings

UNDESCRIBED = {"v2.not_here", "page.show"}  # what we do not have, and the page itself


@pytest.fixture
def chromium() -> str:
    """A browser; tests that need one are skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no browser is here: install chromium")
    return found


@pytest.fixture(scope="module")
def document() -> Any:
    folders = [max((MODELS / name).iterdir()) for name in ("iris", "mnist", "diabetes")]
    app = create_app(Settings(device="cpu"), folders)
    views = app.view_functions
    assert {name for name, view in views.items() if getattr(view, "operation", None) is None} == UNDESCRIBED
    return json.loads(app.test_client().get("/openapi.json").data)


def test_each_model_has_its_own_request_with_its_features_by_name(document: Any) -> None:
    (content,) = [document["paths"]["/v1/models/iris:predict"]["post"]["requestBody"]["content"]["application/json"]]
    names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    instances = document["components"]["schemas"]["iris.VectorInstances"]["properties"]["instances"]
    row, named = instances["items"]["anyOf"]
    assert (row["minItems"], row["maxItems"]) == (4, 4)
    assert list(document["components"]["schemas"][named["$ref"].rpartition("/")[2]]["properties"]) == names
    assert len(content["example"]["instances"][0]) == 4
    assert set(document["paths"]["/v1/models/mnist:predict"]["post"]["requestBody"]["content"]) == {
        "application/json", "multipart/form-data", "image/*",
    }  # fmt: skip


def test_every_refusal_is_described_with_its_status(document: Any) -> None:
    answers = document["paths"]["/v1/models/{name}"]["get"]["responses"]
    assert set(answers) == {"200", "404", "500"}
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Refusal"}


def test_an_option_is_described_where_it_may_be_asked_for(document: Any) -> None:
    def options(path: str) -> list[str]:
        return [one["name"] for one in document["paths"][path]["post"]["parameters"]]

    assert options("/v1/models/mnist:predict") == ["debug", "abstain"]
    assert options("/v1/models/iris/versions/{version}:predict") == ["version"]
    assert options("/v2/models/iris/infer") == ["Inference-Header-Content-Length"]


def test_every_example_of_the_document_is_answered(service: RunningService) -> None:
    document = service.client.get("/openapi.json").json()
    posts = {path: item["post"] for path, item in document["paths"].items() if "post" in item and "{" not in path}
    bodies = {path: post["requestBody"]["content"]["application/json"] for path, post in posts.items()}
    examples = [(path, body["example"]) for path, body in bodies.items() if "example" in body]
    assert len(examples) == 2 * len(list(MODELS.iterdir()))
    for path, example in examples:
        answer = service.client.post(path, json=example)
        assert answer.status_code == 200, (path, answer.text)
        assert "warnings" not in answer.text, (path, answer.text)


def test_the_page_is_drawn_by_a_browser_from_files_of_our_own(service: RunningService, chromium: str) -> None:
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
