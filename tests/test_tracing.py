"""Tracing: the spans that a receiver of OTLP over HTTP gets."""

import gzip
import http.server
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from running_service import MODULE, ROOT, RunningService, clean_environment, free_port

from service.settings import tracing_enabled

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps the export requests that are sent to `/v1/traces`."""

    exports: list[ExportTraceServiceRequest]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        self.exports.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """The URL of a running receiver, and the export requests that it has received so far."""
    Receiver.exports = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Receiver.exports
        server.shutdown()
        thread.join()


def wait_for_spans(exports: list[ExportTraceServiceRequest], requests: int) -> list[Span]:
    """The spans of so many requests, without those of health checks, as soon as they have been received."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        resources = [resource for export in exports for resource in export.resource_spans]
        spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
        spans = [span for span in spans if "/v2/health" not in str(attributes(span).get("url.path"))]
        if sum(span.kind == Span.SPAN_KIND_SERVER for span in spans) >= requests:
            return spans
        time.sleep(0.2)
    raise RuntimeError("the spans were not received")


def attributes(span: Span) -> dict[str, object]:
    return {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in span.attributes}


def test_a_request_is_a_span_with_its_stages_as_children(
    receiver: tuple[str, list[ExportTraceServiceRequest]], tmp_path: Path
) -> None:
    url, exports = receiver
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with RunningService(tmp_path / "log", environment=variables) as service:
        before = time.time()
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "mine"}
        assert service.client.post("/v1/models/iris:predict", json=ROW, headers=headers).is_success
        assert service.client.post("/v1/models/iris:predict", json={"instances": []}).status_code == 400
        spans = wait_for_spans(exports, requests=2)
        after = time.time()
    resource = {it.key: it.value.string_value for it in exports[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "digitalis"
    servers = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    by_status = {attributes(span)["http.response.status_code"]: span for span in servers}
    success, rejected = by_status[200], by_status[400]
    assert success.name == "POST v1 iris"
    assert (success.trace_id.hex(), success.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes(success) | {"digitalis.rows": 1, "http.response.status_code": 200} == attributes(success)
    assert attributes(success)["digitalis.request_id"] == "mine"
    children = [span for span in spans if span.parent_span_id == success.span_id]
    assert [span.name for span in sorted(children, key=lambda span: span.start_time_unix_nano)] == [
        "decode", "infer", "encode",
    ]  # fmt: skip
    assert before - 60 < success.start_time_unix_nano / 1e9 < after  # it is derived from two clocks, and may be early
    for child in children:
        assert child.trace_id == success.trace_id
        assert success.start_time_unix_nano < child.start_time_unix_nano < child.end_time_unix_nano
        assert child.end_time_unix_nano <= success.end_time_unix_nano
    assert attributes(rejected)["error.type"] == "BadRequest"
    assert rejected.status.code == Status.STATUS_CODE_UNSET
    assert rejected.trace_id.hex() != TRACE


def test_tracing_is_on_only_if_the_standard_variables_name_an_endpoint_and_do_not_disable_it() -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
    assert tracing_enabled(endpoint)
    assert not tracing_enabled({})
    assert not tracing_enabled({"OTEL_SERVICE_NAME": "digits"})
    assert not tracing_enabled(endpoint | {"OTEL_SDK_DISABLED": "true"})
    for exporter in ("none", "console", "zipkin"):
        assert not tracing_enabled(endpoint | {"OTEL_TRACES_EXPORTER": exporter})
    for exporter in ("otlp", "console,otlp"):
        assert tracing_enabled({"OTEL_TRACES_EXPORTER": exporter})


def test_tracing_without_the_extra_otel_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry/__init__.py").write_text("raise ModuleNotFoundError(name='opentelemetry')")
    variables = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
    settings = {"bind": f"127.0.0.1:{free_port()}", "workers": "1", "models_dir": str(ROOT / "models")}
    failed = subprocess.run(MODULE, cwd=tmp_path, env=clean_environment(**settings) | variables,
                            capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert failed.returncode == 2
    assert "needs opentelemetry: install the extra otel" in failed.stderr
