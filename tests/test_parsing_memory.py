"""What parsing a large body takes at most, as it is reserved, beside what it really takes."""

import base64
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import IRIS, newest

from service.app import create_app
from service.errors import BadRequest, PayloadTooLarge, RequestError
from service.http.body import Body
from service.http.messages import JSON, Request
from service.http.routing import DigitalisApp
from service.protocols.parsing import LARGE_BODY
from service.protocols.v1 import requests as v1
from service.protocols.v2 import requests as v2
from service.settings import Settings
from service.worker.memory import MemoryBudget

ROWS = 10_000
SLACK = 2**20  # bytes: objects whose number does not depend on the body

IRIS_ROW = "[5.123,3.512,1.412,0.234]"
IMAGE = f"[{','.join(['[' + ','.join(['0'] * 28) + ']'] * 28)}]"


class RecordingBudget(MemoryBudget):
    """Remembers the largest reservation, and what was reserved for bodies."""

    def __init__(self) -> None:
        super().__init__(Settings().memory_budget_bytes)
        self.acquired = 0

    def acquire(self, size: int, timeout: float) -> bool:
        self.acquired = max(self.acquired, size)
        return super().acquire(size, timeout)


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return create_app(Settings(device="cpu"), [IRIS, newest("mnist-deep")])


def v1_body(text: str, media_type: str = JSON) -> Callable[[DigitalisApp, Request], object]:
    def decode(app: DigitalisApp, request: Request) -> object:
        model = "iris" if "5.123" in text else "mnist-deep"
        return v1.decode(Body(media_type, body), app.models.find(model).bundle, request)

    body = text.encode()
    return decode


def v2_body(model: str, **tensor: Any) -> Callable[[DigitalisApp, Request], object]:
    def decode(app: DigitalisApp, request: Request) -> object:
        return v2.decode(body, None, app.models.find(model).bundle, request)

    body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
    return decode


FLOATS = (np.arange(4 * ROWS) / 7).reshape(ROWS, 4).tolist()
FEATURES = {"name": "features", "datatype": "FP32", "shape": [ROWS, 4]}
PIXELS = {"name": "image", "datatype": "UINT8", "shape": [ROWS, 28, 28]}
BODIES: dict[str, Callable[[DigitalisApp, Request], object]] = {
    "V1 rows": v1_body(f'{{"instances":[{",".join([IRIS_ROW] * ROWS)}]}}'),
    "V1 rows, CSV": v1_body("\n".join([IRIS_ROW[1:-1]] * ROWS), "text/csv"),
    "V1 rows, CSV in wide lines": v1_body("\n".join([" " * 800 + IRIS_ROW[1:-1]] * ROWS), "text/csv"),
    "V1 28x28 arrays": v1_body(f'{{"instances":[{",".join([IMAGE] * ROWS)}]}}'),
    "V1 one endless row of pixels": v1_body('{"instances":[[[' + "0," * 4_000_000 + "0]]]}"),
    "V1 a text of wide characters": v1_body('{"instances":[],"signature_name":"' + "a" * 10**6 + '\\ud83d\\ude00"}'),
    "V2 an endless shape": v2_body("iris", name="features", datatype="FP32", shape=[300] * 10**6),
    "V2 many parameters": v2_body("iris", data=[], parameters={str(i): 1 for i in range(20_000)}, **FEATURES),
    "V2 rows": v2_body("iris", data=FLOATS, **FEATURES),
    "V2 rows, flat": v2_body("iris", data=[number for row in FLOATS for number in row], **FEATURES),
    "V2 28x28 arrays": v2_body("mnist-deep", data=np.zeros((ROWS, 28, 28), int).tolist(), **PIXELS),
    "V2 28x28 arrays, flat": v2_body("mnist-deep", data=[0] * (ROWS * 784), **PIXELS),
}


@pytest.mark.parametrize("decode", BODIES.values(), ids=BODIES)
def test_a_large_body_takes_no_more_than_what_is_reserved_for_it(
    app: DigitalisApp, decode: Callable[[DigitalisApp, Request], object]
) -> None:
    memory = RecordingBudget()
    request = app.request_of({"worker.memory": memory})
    tracemalloc.start()
    try:
        decode(app, request)
    except BadRequest:  # some bodies are malformed, which only parsing finds
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= memory.acquired + SLACK
    assert memory.handling == 0


def test_more_parameters_than_a_request_may_have_are_rejected_before_they_are_parsed(app: DigitalisApp) -> None:
    decode = v2_body("iris", data=[], parameters={str(i): 1 for i in range(30_000)}, **FEATURES)
    with pytest.raises(PayloadTooLarge, match="more fields and parameters than one request may have"):
        decode(app, app.request_of({}))


def test_a_small_body_is_not_measured(app: DigitalisApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Request, "reserve", lambda *_arguments: pytest.fail("memory was reserved"))
    request = app.request_of({})
    body = b'{"instances":[' + b",".join([IRIS_ROW.encode()] * 100) + b"]}"
    assert len(body) <= LARGE_BODY
    v1.decode(Body(JSON, body), app.models.find("iris").bundle, request)
    v1.decode(Body("text/csv", IRIS_ROW[1:-1].encode()), app.models.find("iris").bundle, request)


def test_pictures_in_json_are_reserved_as_a_body_while_they_wait(app: DigitalisApp) -> None:
    memory = RecordingBudget()
    request = app.request_of({"worker.memory": memory})
    noise = base64.b64encode(bytes(10**6)).decode()
    with pytest.raises(RequestError, match=r"instances\[0\]: not an image"):
        v1.decode(
            Body(JSON, f'{{"instances":[{{"b64":"{noise}"}}]}}'.encode()), app.models.find("mnist-deep").bundle, request
        )
    assert memory.bodies == 10**6
