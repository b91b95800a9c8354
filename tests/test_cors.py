"""Requests from pages of other origins: preflights, and the headers of every response, also of the worker's own."""

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import IRIS
from running_service import ROW, RawConnection, RunningService
from stepped_worker import SteppedWorker
from werkzeug.test import Client, TestResponse

from service.app import create_app
from service.http.routing import DigitalisApp
from service.settings import Settings
from service.worker.options import WorkerOptions

PAGE = "https://app.example.org"
PREDICT = "/v1/models/iris:predict"
POSTED = {"json": ROW, "method": "POST"}
PATHS = ("/", PREDICT, "/v2/models/iris/infer", "/v2/repository/index", "/metrics", "/docs/", "/nowhere")


def open_app(*origins: str, **settings: Any) -> DigitalisApp:
    return create_app(Settings(device="cpu", cors_origins=origins, **settings), [IRIS])


@pytest.fixture(scope="module")
def listed() -> DigitalisApp:
    """An application that lets the pages of two origins send requests."""
    return open_app(PAGE, "http://localhost:3000")


@pytest.fixture(scope="module")
def open_to_all() -> DigitalisApp:
    return open_app("*")


def preflight(app: DigitalisApp, path: str, origin: str = PAGE, headers: str = "") -> TestResponse:
    """What a browser asks before it sends a request."""
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return Client(app).options(path, headers=asked | ({"Access-Control-Request-Headers": headers} if headers else {}))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("names", ["content-type", "authorization,inference-header-content-length,x-request-id"])
def test_a_preflight_is_answered_for_every_path(listed: DigitalisApp, path: str, names: str) -> None:
    response = preflight(listed, path, headers=names)
    assert (response.status_code, response.data) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST"
    assert response.headers["Access-Control-Allow-Headers"] == names
    assert response.headers["Access-Control-Max-Age"] == "7200"
    assert response.headers["Vary"] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    assert "X-Request-ID" in response.headers


def test_a_preflight_that_asks_for_no_headers_gets_none(listed: DigitalisApp) -> None:
    assert "Access-Control-Allow-Headers" not in preflight(listed, PREDICT).headers
    assert "Access-Control-Allow-Headers" not in preflight(listed, PREDICT, headers="x;y").headers


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.org:8443", "null", ""])
def test_a_preflight_of_another_origin_is_refused_with_the_setting_to_change(listed: DigitalisApp, origin: str) -> None:
    response = preflight(listed, PREDICT, origin)
    assert response.status_code == 403
    assert response.json == {
        "error": f"pages of {origin!r} may send no requests: DIGITALIS_CORS_ORIGINS has the origins that may"
    }
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize(
    ("path", "request_", "status"),
    [
        (PREDICT, POSTED, 200),
        (PREDICT, {"method": "POST", "json": {"instances": [["wide"]]}}, 400),
        (PREDICT, {"method": "POST", "data": b"x" * 1001}, 413),
        (PREDICT, {"method": "POST", "data": b"<a/>", "content_type": "application/xml"}, 415),
        ("/v1/models/lily:predict", POSTED, 404),
        ("/nowhere", {}, 404),
        (PREDICT, {"method": "GET"}, 405),
        ("/docs", {}, 308),
        ("/metrics", {}, 200),
        ("/docs/swagger-ui.css", {}, 200),
    ],
)
def test_every_response_may_be_read_by_the_page_errors_too(path: str, request_: dict[str, Any], status: int) -> None:
    app = open_app(PAGE, max_body_bytes=1000)
    with Client(app).open(path, headers={"Origin": PAGE}, **request_) as response:
        assert response.status_code == status
        assert response.headers.getlist("Access-Control-Allow-Origin") == [PAGE]
        assert "Origin" in response.headers.getlist("Vary")
        exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"X-Request-ID", "Server-Timing", "Retry-After", "Inference-Header-Content-Length"} <= set(exposed)


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
def test_a_response_for_another_origin_says_that_it_differs(listed: DigitalisApp, headers: dict[str, str]) -> None:
    response = Client(listed).post(PREDICT, json=ROW, headers=headers)
    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers
    assert response.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", [PAGE, "null", "http://localhost:5173"])
def test_with_a_star_the_pages_of_every_origin_may_read_every_response(open_to_all: DigitalisApp, origin: str) -> None:
    assert preflight(open_to_all, PREDICT, origin).headers["Access-Control-Allow-Origin"] == "*"
    response = Client(open_to_all).post(PREDICT, json=ROW, headers={"Origin": origin})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in response.headers


def test_a_compressed_response_varies_by_both(listed: DigitalisApp) -> None:
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": ROW["instances"]}
    headers = {"Origin": PAGE, "Accept-Encoding": "gzip"}
    response = Client(listed).post("/v2/models/iris/infer", json={"inputs": [tensor]}, headers=headers)
    assert response.headers.getlist("Vary") == ["Accept-Encoding", "Origin"]


def test_without_the_setting_there_is_no_header_and_options_are_flasks() -> None:
    app = create_app(Settings(device="cpu"), [IRIS])
    response = preflight(app, PREDICT)
    assert response.status_code == 200
    assert set(response.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
    for found in (response, Client(app).post(PREDICT, json=ROW, headers={"Origin": PAGE})):
        assert not [name for name, _ in found.headers if name.startswith("Access-Control") or name == "Vary"]


def test_options_without_a_method_to_ask_for_are_flasks(listed: DigitalisApp) -> None:
    response = Client(listed).options(PREDICT, headers={"Origin": PAGE})
    assert response.status_code == 200
    assert set(response.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
    assert response.headers["Access-Control-Allow-Origin"] == PAGE


def test_a_page_can_read_the_worker_s_own_503(listed: DigitalisApp) -> None:
    """Its connections are all in use, so it responds in the application's place."""
    options = WorkerOptions(on_response=lambda app, environ, status: app.record_rejection(environ, status))  # type: ignore[attr-defined]
    with SteppedWorker(listed, max_connections=1, options=options) as worker:
        worker.client()
        body = json.dumps(ROW)
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\nContent-Length: {len(body)}\r\n\r\n"
        response = worker.client().exchange((head + body).encode())
    assert response.status == 503
    assert response.fields["retry-after"] == "1"
    assert response.fields["access-control-allow-origin"] == PAGE
    assert response.fields["vary"] == "Origin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A running server whose responses the pages of every origin may read."""
    with RunningService(tmp_path_factory.mktemp("cors") / "log", cors_origins="*", max_body_bytes="1000") as running:
        yield running


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nOrigin: null\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nOrigin: null\r\nX: %s\r\n\r\n" % (b"x" * 70_000), 431),
        (b"GET / HTTP/1.1\r\nOrigin: null\r\n\r\n", 400),
        (b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n%s" % (PREDICT.encode(), b" " * 2000), 413),
    ],
)
def test_a_page_can_read_what_the_worker_rejects(server: RunningService, request_: bytes, status: int) -> None:
    with RawConnection(server) as connection:
        response = connection.exchange(request_)
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nAccess-Control-Allow-Origin: *\r\n" in response
    assert b"\r\nAccess-Control-Expose-Headers: Allow, " in response


# A page that sends what a browser asks for with a preflight first, and writes down what it can read of the responses.
PAGE_OF_ANOTHER_ORIGIN = """<!doctype html><title>a page of another origin</title><pre id="found">waiting</pre><script>
async function ask(path, options) {
  try {
    const response = await fetch("SERVICE" + path, options);
    return {status: response.status, id: response.headers.get("X-Request-ID"),
            timing: response.headers.get("Server-Timing") !== null, body: await response.text()};
  } catch (error) {
    return {failed: String(error)};
  }
}
(async () => {
  const json = {method: "POST", headers: {"Content-Type": "application/json", "X-Request-ID": "from-a-page"}};
  const found = [
    await ask("/v1/models/iris:predict", {...json, body: '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'}),
    await ask("/v1/models/iris:predict", {...json, body: '{"instances": [["wide"]]}'}),
    await ask("/v1/models/iris:predict", {...json, body: " ".repeat(2000)}),
    await ask("/v1/models/lily:predict", {...json, body: "{}"}),
    await ask("/v2/health/ready"),
  ];
  document.getElementById("found").textContent = "found " + JSON.stringify(found);
})();
</script>
"""


def shown_by_a_page(chromium: str, server: RunningService, folder: Path) -> Any:
    """What a page from another origin has found, in a real browser."""
    (folder / "page.html").write_text(PAGE_OF_ANOTHER_ORIGIN.replace("SERVICE", server.url))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as pages:
        thread = threading.Thread(target=pages.serve_forever, daemon=True)
        thread.start()
        options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}")
        url = f"http://localhost:{pages.server_port}/page.html"
        command = [chromium, *options, "--virtual-time-budget=15000", "--dump-dom", url]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        pages.shutdown()
        thread.join()
    written = re.search(r"found (\[.*\])</pre>", shown)
    assert written, shown
    return json.loads(written[1])


def test_in_a_browser_a_page_of_another_origin_reads_predictions_and_errors(
    chromium: str, server: RunningService, tmp_path: Path
) -> None:
    predicted, rejected, too_large, unknown, ready = shown_by_a_page(chromium, server, tmp_path)
    assert json.loads(predicted["body"])["predictions"][0]["label"] == "setosa"
    assert (predicted["status"], predicted["id"], predicted["timing"]) == (200, "from-a-page", True)
    assert rejected["status"] == 400
    assert "expected float" in rejected["body"]
    assert too_large["status"] == 413
    assert unknown["status"] == 404
    assert ready["status"] == 200


def test_in_a_browser_a_page_reads_nothing_without_the_setting(chromium: str, tmp_path: Path) -> None:
    with RunningService(tmp_path / "log", max_body_bytes="1000") as server:
        found = shown_by_a_page(chromium, server, tmp_path)
    assert found == [{"failed": "TypeError: Failed to fetch"}] * 5
