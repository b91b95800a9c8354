"""Every request of the corpus, sent to a running service."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import IRIS_VERSION
from running_service import RunningService

CORPUS = Path(__file__).parent / "corpus"
CHUNK_BYTES = 2**16
MAX_ERROR_BYTES = 10_000


def cases(name: str) -> list[Any]:
    """The cases of a file; `{IRIS_VERSION}` in it stands for the newest version of iris."""
    text = (CORPUS / name).read_text().replace("{IRIS_VERSION}", IRIS_VERSION)
    return [pytest.param(case, id=case["name"]) for case in json.loads(text)]


def body(case: dict[str, Any]) -> bytes:
    if "file" in case:
        return Path(CORPUS / "files" / case["file"]).read_bytes()
    if "hex" in case:
        return bytes.fromhex(str(case["hex"]))
    text, times = case.get("repeat", ("", 0))
    whole: str = case.get("body") or case.get("before", "") + text * times + case.get("after", "")
    return whole.encode()


def chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]


def send(service: RunningService, case: dict[str, Any]) -> httpx.Response:
    method, path, headers = case["method"], case["path"], case["headers"]
    if "form" in case:
        return service.client.request(method, path, files=[(k, (None, v)) for k, v in case["form"].items()])
    if "files" in case:
        names = case["files"] * case.get("times", 1)
        files = [("image", (Path(name).name, (CORPUS / "files" / name).read_bytes())) for name in names]
        return service.client.request(method, path, files=files)
    content = body(case)
    return service.client.request(
        method, path, headers=headers, content=chunks(content) if case.get("chunked") else content
    )


@pytest.mark.parametrize("case", cases("bad_requests.json"))
def test_a_bad_request_gets_its_status_and_error_message(service: RunningService, case: dict[str, Any]) -> None:
    workers = service.workers()
    response = send(service, case)
    assert response.status_code == case["status"], response.text
    assert response.headers["Content-Type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert len(response.content) < MAX_ERROR_BYTES  # an error message may quote the request, but not all of it
    for phrase in case["error"]:
        assert phrase in response.json()["error"]
    assert service.workers() == workers


@pytest.mark.parametrize("case", cases("good_requests.json"))
def test_a_good_request_gets_its_labels_or_values(service: RunningService, case: dict[str, Any]) -> None:
    response = send(service, case)
    assert response.status_code == 200, response.text
    predictions = response.json()["predictions"]
    if "values" in case:
        assert all(set(prediction) - {"warnings"} == {"values"} for prediction in predictions)
        assert [prediction["values"] for prediction in predictions] == [
            pytest.approx(values, abs=case["within"]) for values in case["values"]
        ]
        return
    assert [prediction["label"] for prediction in predictions] == case["labels"]
    for prediction in predictions:
        assert prediction["probability"] == max(prediction["probabilities"].values())
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)
