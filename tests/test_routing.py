"""The fast path of `service/http/routing.py` responds exactly as Flask does; all other views go through Flask."""

import functools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flask
import pytest
from conftest import IRIS, IRIS_VERSION
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from service.app import create_app
from service.http.routing import MAX_CACHED_PATH, DigitalisApp
from service.inference.model import Model
from service.observability.middleware import RequestMiddleware
from service.observability.request_timer import RequestTimer
from service.settings import Settings

REQUEST_ID = "sent-by-the-client"
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]
TENSOR = {"name": "features", "shape": [2, 4], "datatype": "FP32", "data": ROWS}
BINARY_OUTPUT = {"name": "probabilities", "parameters": {"binary_data": True}}
FAST_VIEWS = {"v1.predict", "v2.infer", "sagemaker.invocations"}


class Exchange(NamedTuple):
    """A response, and what a hook of the middleware was passed: status, model id, protocol, rows, reason of an error.

    Reason phrases ("Not Found") are left out: Flask's are in capitals, and clients ignore them (RFC 9110, 15.1).
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    reported: tuple[Any, ...]


@pytest.fixture(scope="module")
def app() -> DigitalisApp:
    return create_app(Settings(device="cpu"), [IRIS])


@pytest.fixture
def dispatched(app: DigitalisApp) -> Iterator[list[str | None]]:
    """The endpoints of the requests that Flask itself has dispatched during the test."""
    endpoints: list[str | None] = []

    def record(_app: flask.Flask, **_arguments: Any) -> None:
        endpoints.append(flask.request.endpoint)

    with flask.request_started.connected_to(record, app):
        yield endpoints


def exchange(app: DigitalisApp, wsgi_app: Callable[..., Any], path: str, **request: Any) -> Exchange:
    """Send a request through the middleware to one of the `wsgi_app` methods of this application."""
    reported: list[tuple[Any, ...]] = []

    class Hook:
        def on_response(self, timer: RequestTimer, _environ: dict[str, Any], status: int) -> None:
            reported.append((status, timer.model_id, timer.protocol, timer.rows, timer.reason))

    middleware = RequestMiddleware(functools.partial(wsgi_app, app), [Hook()], app.middleware.counters)
    request["headers"] = {"X-Request-ID": REQUEST_ID} | request.get("headers", {})
    parts, status, headers = run_wsgi_app(middleware, EnvironBuilder(path, **request).get_environ())
    (report,) = reported
    return Exchange(int(status[:3]), without_durations(headers), b"".join(parts), report)


def without_durations(headers: Headers) -> list[tuple[str, str]]:
    """The headers, sorted; of `Server-Timing` the names of the stages only."""
    headers["Server-Timing"] = re.sub(r"dur=[0-9.]+", "dur=", headers["Server-Timing"])
    return sorted(headers)


def v1(body: Any, **request: Any) -> dict[str, Any]:
    return {"path": "/v1/models/iris:predict", "method": "POST", "json": body} | request


def v2(body: Any, **request: Any) -> dict[str, Any]:
    return {"path": "/v2/models/iris/infer", "method": "POST", "json": body} | request


REQUESTS: dict[str, tuple[int, dict[str, Any]]] = {
    "V1: a prediction": (200, v1({"instances": ROWS})),
    "V1: a prediction of a version": (
        200,
        v1({"instances": ROWS}, path=f"/v1/models/iris/versions/{IRIS_VERSION}:predict"),
    ),
    "V1: a bad request": (400, v1({"instances": [["wide"]]})),
    "V1: a bad query parameter": (400, v1({"instances": ROWS}, query_string={"debug": "x"})),
    "V1: an unknown model": (404, v1({"instances": ROWS}, path="/v1/models/lily:predict")),
    "V1: an unknown version": (404, v1({"instances": ROWS}, path="/v1/models/iris/versions/999:predict")),
    "V1: a name that is not ASCII": (404, v1({"instances": ROWS}, path="/v1/models/Veilchen-blüte:predict")),
    "V1: too many rows": (413, v1({"instances": [ROWS[0]] * 10_001})),
    "V1: an unknown media type": (415, v1(None, json=None, data=b"<iris/>", content_type="application/xml")),
    "V1: inputs that overflow the network": (422, v1({"instances": [[3e38, -3e38, 3e38, -3e38]]})),
    "SageMaker: a prediction": (200, v1({"instances": ROWS}, path="/invocations")),
    "SageMaker: a row of CSV": (
        200,
        v1(None, json=None, data="5.1,3.5,1.4,0.2\n", path="/invocations", content_type="text/csv"),
    ),
    "SageMaker: a bad request": (400, v1({"instances": [["wide"]]}, path="/invocations")),
    "V2: a prediction": (200, v2({"inputs": [TENSOR], "id": "7"})),
    "V2: a binary output": (200, v2({"inputs": [TENSOR], "outputs": [BINARY_OUTPUT]})),
    "V2: a compressed response": (200, v2({"inputs": [TENSOR]}, headers={"Accept-Encoding": "gzip"})),
    "V2: a bad request": (400, v2({"inputs": []})),
    "V2: an unknown model": (404, v2({"inputs": [TENSOR]}, path="/v2/models/lily/infer")),
    "V2: shared memory": (501, v2({"inputs": [TENSOR | {"parameters": {"shared_memory_region": "r"}}]})),
}


@pytest.mark.parametrize(("status", "arguments"), REQUESTS.values(), ids=REQUESTS)
def test_the_fast_path_responds_exactly_as_flask_does(
    app: DigitalisApp, dispatched: list[str | None], status: int, arguments: dict[str, Any]
) -> None:
    fast = exchange(app, DigitalisApp.wsgi_app, **arguments)
    assert dispatched == []
    by_flask = exchange(app, flask.Flask.wsgi_app, **arguments)
    assert len(dispatched) == 1
    assert dispatched[0] in FAST_VIEWS
    assert fast == by_flask
    assert fast.status == status
    assert ("X-Request-ID", REQUEST_ID) in fast.headers


def test_the_fast_path_responds_to_an_internal_error_exactly_as_flask_does(
    app: DigitalisApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_model: Model, _inputs: object, _wait: object) -> None:
        raise RuntimeError("not for clients")

    monkeypatch.setattr(Model, "predict", fail)
    request = v1({"instances": ROWS})
    fast, by_flask = (exchange(app, path, **request) for path in (DigitalisApp.wsgi_app, flask.Flask.wsgi_app))
    assert fast == by_flask
    assert fast.status == 500
    assert json.loads(fast.body) == {"error": f"internal error; the log has it as request {REQUEST_ID}"}
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["not for clients"] * 2


def test_only_predictions_are_on_the_fast_path(app: DigitalisApp) -> None:
    assert {endpoint for endpoint, view in app.view_functions.items() if hasattr(view, "fast_view")} == FAST_VIEWS


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("GET", "/v1/models", "v1.list_models"),
        ("GET", "/v1/models/iris", "v1.status"),
        ("GET", "/v2/health/ready", "health.v2_readiness"),
        ("GET", "/metrics", "metrics.read_metrics"),
        ("GET", "/openapi.json", "documentation.openapi"),
        ("GET", "/ping", "sagemaker.ping"),
        ("GET", "/invocations", None),
        ("POST", "/v2/repository/index", "v2.repository.index"),
        ("GET", "/v1/models/iris:predict", None),
        ("OPTIONS", "/v1/models/iris:predict", "v1.predict"),
        ("POST", "/v1/models/iris:classify", None),
        ("POST", f"/v1/{'x' * MAX_CACHED_PATH}", None),
    ],
)
def test_every_other_request_is_dispatched_by_flask(
    app: DigitalisApp, dispatched: list[str | None], method: str, path: str, endpoint: str | None
) -> None:
    exchange(app, DigitalisApp.wsgi_app, path, method=method)
    assert dispatched == [endpoint]


def test_a_path_that_is_too_long_to_cache_is_on_the_fast_path_too(
    app: DigitalisApp, dispatched: list[str | None]
) -> None:
    request = v1({"instances": ROWS}, path=f"/v1/models/{'x' * MAX_CACHED_PATH}:predict")
    cached = app._cached_fast_match.cache_info().currsize
    fast = exchange(app, DigitalisApp.wsgi_app, **request)
    assert dispatched == []
    assert app._cached_fast_match.cache_info().currsize == cached
    assert fast == exchange(app, flask.Flask.wsgi_app, **request)
