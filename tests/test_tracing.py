"""Traces, as a real receiver of OTLP gets them."""

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

from service.settings import traces_wanted

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes what is sent to `/v1/traces`."""

    got: list[ExportTraceServiceRequest]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        self.got.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Its URL, and what it has got so far."""
    Receiver.got = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Receiver.got
        server.shutdown()
        thread.join()


def spans(got: list[ExportTraceServiceRequest], count: int) -> list[Span]:
    """So many requests' spans, health's left out, when they have come."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        scopes = [scope for it in got for resource in it.resource_spans for scope in resource.scope_spans]
        found = [span for scope in scopes for span in scope.spans]
        found = [span for span in found if "/v2/health" not in str(values(span).get("url.path"))]
        if sum(span.kind == Span.SPAN_KIND_SERVER for span in found) >= count:
            return found
        time.sleep(0.2)
    raise RuntimeError("the spans did not come")


def values(span: Span) -> dict[str, object]:
    return {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in span.attributes}


def test_a_request_is_a_span_with_its_stages_as_children(
    receiver: tuple[str, list[ExportTraceServiceRequest]], tmp_path: Path
) -> None:
    url, got = receiver
    asks = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with RunningService(tmp_path / "log", environment=asks) as service:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "mine"}
        assert service.client.post("/v1/models/iris:predict", json=ROW, headers=headers).is_success
        assert service.client.post("/v1/models/iris:predict", json={"instances": []}).status_code == 400
        found = spans(got, 2)
    resource = {it.key: it.value.string_value for it in got[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "digitalis"
    success, refusal = sorted(
        (span for span in found if span.kind == Span.SPAN_KIND_SERVER), key=lambda span: span.start_time_unix_nano
    )
    assert success.name == "POST v1 iris"
    assert (success.trace_id.hex(), success.parent_span_id.hex()) == (TRACE, PARENT)
    assert values(success) | {"digitalis.rows": 1, "http.response.status_code": 200} == values(success)
    assert values(success)["digitalis.request_id"] == "mine"
    children = [span for span in found if span.parent_span_id == success.span_id]
    assert [span.name for span in sorted(children, key=lambda span: span.start_time_unix_nano)] == [
        "decode", "infer", "encode",
    ]  # fmt: skip
    assert abs(success.start_time_unix_nano / 1e9 - time.time()) < 60
    for child in children:
        assert child.trace_id == success.trace_id
        assert success.start_time_unix_nano < child.start_time_unix_nano < child.end_time_unix_nano
        assert child.end_time_unix_nano <= success.end_time_unix_nano
    assert values(refusal)["error.type"] == "BadRequest"
    assert refusal.status.code == Status.STATUS_CODE_UNSET
    assert refusal.trace_id.hex() != TRACE


def test_without_the_standard_variables_there_are_none() -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
    assert traces_wanted(endpoint)
    assert not traces_wanted({})
    assert not traces_wanted({"OTEL_SERVICE_NAME": "digits"})
    assert not traces_wanted(endpoint | {"OTEL_SDK_DISABLED": "true"})
    assert not traces_wanted(endpoint | {"OTEL_TRACES_EXPORTER": "none"})


def test_traces_that_cannot_be_sent_for_want_of_the_extra_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry/__init__.py").write_text("raise ModuleNotFoundError(name='opentelemetry')")
    wanted = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
    environment = clean_environment(bind=f"127.0.0.1:{free_port()}", workers="1") | wanted
    found = subprocess.run(MODULE, cwd=tmp_path, env=environment | {"DIGITALIS_MODELS_DIR": str(ROOT / "models")},
                           capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert found.returncode == 2
    assert "need opentelemetry: install the extra otel" in found.stderr
