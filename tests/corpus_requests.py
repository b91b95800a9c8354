"""The requests of the corpus, and what their responses must be: `corpus/README.md` describes the cases."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import IRIS_VERSION

CORPUS = Path(__file__).parent / "corpus"
CHUNK_BYTES = 2**16
MAX_ERROR_BYTES = 10_000

Case = dict[str, Any]


def read_cases(name: str) -> list[Case]:
    """The cases of a file; `{IRIS_VERSION}` in it stands for the newest version of iris."""
    text = (CORPUS / name).read_text().replace("{IRIS_VERSION}", IRIS_VERSION)
    cases: list[Case] = json.loads(text)
    return cases


def build_request(client: httpx.Client, case: Case) -> httpx.Request:
    """The request of a case, to be sent by this client."""
    method, path, headers = case["method"], case["path"], case["headers"]
    if "form" in case:
        return client.build_request(method, path, files=[(k, (None, v)) for k, v in case["form"].items()])
    if "files" in case:
        names = case["files"] * case.get("times", 1)
        files = [("image", (Path(name).name, (CORPUS / "files" / name).read_bytes())) for name in names]
        return client.build_request(method, path, files=files)
    content = _body(case)
    return client.build_request(
        method, path, headers=headers, content=_chunks(content) if case.get("chunked") else content
    )


def check_rejected(case: Case, response: httpx.Response) -> None:
    """Raise `AssertionError` unless this is the response to a bad request."""
    assert response.status_code == case["status"], f"{response.status_code}: {response.text}"
    assert response.headers["Content-Type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert len(response.content) < MAX_ERROR_BYTES  # an error message may quote the request, but not all of it
    for phrase in case["error"]:
        assert phrase in response.json()["error"], f"{phrase!r} is not in {response.text}"


def check_predicted(case: Case, response: httpx.Response) -> None:
    """Raise `AssertionError` unless this is the response to a good request, with its labels or values."""
    assert response.status_code == 200, f"{response.status_code}: {response.text}"
    predictions = response.json()["predictions"]
    if "values" in case:
        assert all(set(prediction) - {"warnings"} == {"values"} for prediction in predictions)
        assert [[*prediction["values"].values()] for prediction in predictions] == [
            pytest.approx(values, abs=case["within"]) for values in case["values"]
        ]
        return
    labels = [prediction["label"] for prediction in predictions if "label" in prediction]
    expected = [label for label in case["labels"] if isinstance(label, str)]
    assert labels == expected, f"{labels} instead of {expected}"
    for label, prediction in zip(case["labels"], predictions, strict=True):
        if isinstance(label, dict):
            assert label["error"] in prediction["error"], prediction
            continue
        assert prediction["probability"] == max(prediction["probabilities"].values())
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def _body(case: Case) -> bytes:
    if "file" in case:
        return Path(CORPUS / "files" / case["file"]).read_bytes()
    if "hex" in case:
        return bytes.fromhex(str(case["hex"]))
    text, times = case.get("repeat", ("", 0))
    whole: str = case.get("body") or case.get("before", "") + text * times + case.get("after", "")
    return whole.encode()


def _chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]
