"""What the clients of a soak ask, and what the response must be."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
from corpus_requests import build_request, check_predicted, check_rejected, read_cases

from benchmarks.overload.scenarios import ROW
from benchmarks.preprocessing_latency import sample_files
from soak import raw_clients

JSON_LENGTH = "Inference-Header-Content-Length"
LARGEST_BODY = 16 * 2**20  # bytes
MANY_ROWS = 10_000
GET_PATHS = ("/v2/health/live", "/metrics", "/v1/models", "/v1/models/iris", "/v2/models/mnist", "/openapi.json")


@dataclass(frozen=True)
class Exchange:
    """One request and its response; `check` raises `AssertionError` for a wrong one.

    `send` raises `OSError` or `httpx.TransportError` if there is none, and returns None if the client hung up.
    """

    kind: str
    name: str
    send: Callable[[httpx.Client], httpx.Response | None]
    check: Callable[[httpx.Response], None]


def valid_exchanges() -> list[Exchange]:
    """Requests in every format, each of which gets its prediction."""
    corpus = [
        Exchange("V1", case["name"], partial(_send_case, case), partial(check_predicted, case))
        for case in read_cases("good_requests.json")
    ]
    gets = [Exchange("GET", path, partial(_get, path), _check_ok) for path in GET_PATHS]
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32"}
    text = json.dumps({"inputs": [tensor | {"data": ROW}]}).encode()
    tensors = struct.pack("<4f", *ROW)
    binary_tensor = tensor | {"parameters": {"binary_data_size": len(tensors)}}
    header = json.dumps({"inputs": [binary_tensor], "parameters": {"binary_data_output": True}}).encode()
    infer = partial(_post, "/v2/models/iris/infer")
    v2 = [
        Exchange("V2", "JSON", partial(infer, text, {}), _check_v2),
        Exchange("V2", "binary", partial(infer, header + tensors, {JSON_LENGTH: str(len(header))}), _check_v2_binary),
    ]
    return corpus + gets * 3 + v2 * 10


def large_exchanges() -> list[Exchange]:
    """Requests that take long, or much memory."""
    rows = json.dumps({"instances": [ROW] * MANY_ROWS}).encode()
    padded = json.dumps({"instances": [ROW]}).encode().ljust(LARGEST_BODY)
    photo = sample_files()["12-megapixel photo"]
    iris, mnist = partial(_post, "/v1/models/iris:predict"), partial(_post, "/v1/models/mnist:predict")
    return [
        Exchange("large", "10,000 rows", partial(iris, rows, {}), partial(_check_labels, ["setosa"] * MANY_ROWS)),
        Exchange("large", "16 MiB", partial(iris, padded, {}), partial(_check_labels, ["setosa"])),
        Exchange(
            "large", "photo", partial(mnist, photo, {"Content-Type": "image/jpeg"}), partial(_check_labels, ["7"])
        ),
    ]


def invalid_exchanges() -> list[Exchange]:
    """Requests that get a status of 4xx, and bytes that are no requests."""
    corpus = [
        Exchange("invalid", case["name"], partial(_send_case, case), partial(check_rejected, case))
        for case in read_cases("bad_requests.json")
    ]
    garbage = Exchange("garbage", "random bytes", raw_clients.send_garbage, _check_no_http)
    return corpus + [garbage] * 20


def slow_exchanges() -> list[Exchange]:
    """Clients that take their time, or hang up."""
    rows = partial(_check_labels, ["setosa"] * raw_clients.ROWS)
    return [
        Exchange("slow", "slow sender", raw_clients.send_slowly, rows),
        Exchange("slow", "slow reader", raw_clients.read_slowly, partial(_check_labels, ["setosa"] * MANY_ROWS)),
        Exchange("slow", "idle connection", raw_clients.ask_after_a_while, _check_ok),
        Exchange("hang-up", "in a body", raw_clients.hang_up_in_body, _check_ok),
        Exchange("hang-up", "before the response", raw_clients.hang_up_before_response, _check_ok),
    ]


def _send_case(case: dict[str, Any], client: httpx.Client) -> httpx.Response:
    return client.send(build_request(client, case))


def _get(path: str, client: httpx.Client) -> httpx.Response:
    return client.get(path)


def _post(path: str, content: bytes, headers: dict[str, str], client: httpx.Client) -> httpx.Response:
    return client.post(path, content=content, headers=headers)


def _check_ok(response: httpx.Response) -> None:
    assert response.status_code == 200, f"{response.status_code}: {response.text[:200]}"


def _check_labels(labels: list[str], response: httpx.Response) -> None:
    _check_ok(response)
    found = [prediction["label"] for prediction in response.json()["predictions"]]
    assert found == labels, f"{found[:3]}..., {len(found)} labels, instead of {labels[:3]}..., {len(labels)}"


def _check_v2(response: httpx.Response) -> None:
    _check_ok(response)
    probabilities = response.json()["outputs"][0]["data"]
    assert probabilities.index(max(probabilities)) == 0, f"{probabilities} for a setosa"


def _check_v2_binary(response: httpx.Response) -> None:
    _check_ok(response)
    probabilities = struct.unpack("<3f", response.content[int(response.headers[JSON_LENGTH]) :])
    assert probabilities.index(max(probabilities)) == 0, f"{probabilities} for a setosa"


def _check_no_http(response: httpx.Response) -> None:
    """Bytes that are no request get 4xx, or 501 or 505 where they begin like one."""
    is_client_error = 400 <= response.status_code < 500 or response.status_code in (501, 505)
    assert is_client_error, f"{response.status_code}: {response.text[:200]}"
