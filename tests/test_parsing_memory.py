"""What parsing a large body takes at most, as it is reserved, beside what it really takes."""

import base64
import tracemalloc
from typing import NamedTuple

import pytest
from conftest import IRIS, newest

from service.app import create_app
from service.errors import BadRequest, PayloadTooLarge, RequestError
from service.http.body import IMAGE as IMAGE_BODY
from service.http.body import Body
from service.http.messages import JSON, Request
from service.http.routing import DigitalisApp
from service.protocols.parsing import LARGE_BODY
from service.protocols.v1 import requests as v1
from service.protocols.v1.options import Options
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


class LargeBody(NamedTuple):
    """A body of one element that is repeated, made when a test needs it."""

    model: str
    before: str
    repeated: str
    after: str = "]}"
    times: int = ROWS
    separator: str = ","
    media_type: str = JSON

    def encode(self) -> bytes:
        return (self.before + self.separator.join([self.repeated] * self.times) + self.after).encode()


def decode(app: DigitalisApp, request: Request, model: str, body: bytes, media_type: str = JSON) -> object:
    """As the view of its protocol does."""
    bundle = app.models.find(model).bundle
    if body.startswith(b'{"inputs"'):
        return v2.decode(body, None, bundle, request)
    return v1.decode(Body(media_type, body), bundle, request, Options())


FEATURES = '{"inputs":[{"name":"features","datatype":"FP32","shape":[10000,4],'
PIXELS = '{"inputs":[{"name":"image","datatype":"UINT8","shape":[10000,28,28],'
END = "]}]}"
BODIES = {
    "V1 rows": LargeBody("iris", '{"instances":[', IRIS_ROW),
    "V1 rows, CSV": LargeBody("iris", "", IRIS_ROW[1:-1], "", separator="\n", media_type="text/csv"),
    "V1 wide lines, CSV": LargeBody("iris", "", " " * 800 + IRIS_ROW[1:-1], "", separator="\n", media_type="text/csv"),
    "V1 28x28 arrays": LargeBody("mnist-deep", '{"instances":[', IMAGE),
    "V1 an endless row of pixels": LargeBody("mnist-deep", '{"instances":[[[', "0", "]]]}", 4_000_000),
    "V1 a file in base64, and no such letter": LargeBody("mnist-deep", '{"instances":["', "AAAA", '!"]}', 10**6, ""),
    "V1 base64 as the body": LargeBody("mnist-deep", "", "AAAA", "!", 10**6, "", IMAGE_BODY),
    "V1 wide characters": LargeBody("iris", '{"instances":[],"signature_name":"', "a", '\\ud83d\\ude00"}', 10**6, ""),
    "V2 an endless shape": LargeBody("iris", '{"inputs":[{"name":"features","shape":[', "300", END, 10**6),
    "V2 rows": LargeBody("iris", f'{FEATURES}"data":[', IRIS_ROW, END),
    "V2 rows, flat": LargeBody("iris", f'{FEATURES}"data":[', IRIS_ROW[1:-1], END),
    "V2 28x28 arrays": LargeBody("mnist-deep", f'{PIXELS}"data":[', IMAGE, END),
    "V2 28x28 arrays, flat": LargeBody("mnist-deep", f'{PIXELS}"data":[', "0", END, ROWS * 784),
}


def request_with_parameters(count: int) -> bytes:
    parameters = ",".join(f'"{i}":1' for i in range(count))
    return f'{FEATURES}"parameters":{{{parameters}}}}}]}}'.encode()


def check(app: DigitalisApp, model: str, body: bytes, media_type: str = JSON) -> None:
    """Decoding takes no more than what is reserved for it."""
    memory = RecordingBudget()
    request = app.request_of({"worker.memory": memory})
    tracemalloc.start()
    try:
        decode(app, request, model, body, media_type)
    except BadRequest:  # some bodies are malformed, which only parsing finds
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= memory.acquired + SLACK
    assert memory.handling == 0


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_large_body_takes_no_more_than_what_is_reserved_for_it(app: DigitalisApp, body: LargeBody) -> None:
    check(app, body.model, body.encode(), body.media_type)


def test_parameters_take_no_more_than_what_is_reserved(app: DigitalisApp) -> None:
    check(app, "iris", request_with_parameters(20_000))


def test_more_parameters_than_a_request_may_have_are_rejected_before_they_are_parsed(app: DigitalisApp) -> None:
    with pytest.raises(PayloadTooLarge, match="more fields and parameters than one request may have"):
        decode(app, app.request_of({}), "iris", request_with_parameters(30_000))


def test_a_small_body_is_not_measured(app: DigitalisApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Request, "reserve", lambda *_arguments: pytest.fail("memory was reserved"))
    request = app.request_of({})
    body = b'{"instances":[' + b",".join([IRIS_ROW.encode()] * 100) + b"]}"
    assert len(body) <= LARGE_BODY
    decode(app, request, "iris", body)
    decode(app, request, "iris", IRIS_ROW[1:-1].encode(), "text/csv")


def test_pictures_in_json_are_reserved_as_a_body_while_they_wait(app: DigitalisApp) -> None:
    memory = RecordingBudget()
    request = app.request_of({"worker.memory": memory})
    noise = base64.b64encode(bytes(10**6)).decode()
    with pytest.raises(RequestError, match=r"instances\[0\]: not an image"):
        v1.decode(
            Body(JSON, f'{{"instances":[{{"b64":"{noise}"}}]}}'.encode()),
            app.models.find("mnist-deep").bundle,
            request,
            Options(),
        )
    assert memory.bodies == 10**6
