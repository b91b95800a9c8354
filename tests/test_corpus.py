"""Every request of the corpus, over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_service import RunningService

CORPUS = Path(__file__).parent / "corpus"


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in json.loads((CORPUS / name).read_text())]


def body(case: dict[str, Any]) -> bytes:
    if "file" in case:
        return Path(CORPUS / "files" / case["file"]).read_bytes()
    if "hex" in case:
        return bytes.fromhex(str(case["hex"]))
    text, times = case.get("repeat", ("", 0))
    whole: str = case.get("body") or case.get("before", "") + text * times + case.get("after", "")
    return whole.encode()


def chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 2**16):
        yield content[start : start + 2**16]


def sent(service: RunningService, case: dict[str, Any]) -> Any:
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
def test_a_bad_request_is_refused_in_words(service: RunningService, case: dict[str, Any]) -> None:
    workers = service.workers()
    answer = sent(service, case)
    assert answer.status_code == case["status"], answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert len(answer.content) < 10_000  # whatever the request repeats
    for words in case["says"]:
        assert words in answer.text.replace('\\"', '"')
    assert service.workers() == workers


@pytest.mark.parametrize("case", cases("good_requests.json"))
def test_a_good_request_gets_its_labels_or_values(service: RunningService, case: dict[str, Any]) -> None:
    answer = sent(service, case)
    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
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
