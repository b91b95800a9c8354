"""A span for each request, with its stages as children, for OpenTelemetry: the extra `otel`.

Off, unless OpenTelemetry's standard environment variables turn it on: `settings.tracing_enabled`. Spans are made when a
request is finished, from the times of its timer, so that they cost nothing while it runs.
"""

import time
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service import __version__
from service.observability.counter_layout import STAGES
from service.observability.request_timer import RequestTimer

UNNAMED = "unknown_service"  # the SDK's name for a service whose environment gives it none


class Tracing:
    """Sends spans to `OTEL_EXPORTER_OTLP_ENDPOINT`, as protobuf over HTTP, in batches, from a background thread."""

    def __init__(self) -> None:
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes[SERVICE_NAME]).startswith(UNNAMED):
            resource = resource.merge(Resource({SERVICE_NAME: "digitalis"}))
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = provider.get_tracer("digitalis", __version__)
        self._parent = TraceContextTextMapPropagator()

    def on_response(self, timer: RequestTimer, environ: dict[str, Any], status: int) -> None:
        """Make the spans of one request."""
        epoch = time.time_ns() - time.perf_counter_ns()
        sent = {key: environ.get(f"HTTP_{key.upper()}", "") for key in ("traceparent", "tracestate")}
        method = environ.get("REQUEST_METHOD", "")
        attributes = {
            "http.request.method": method,
            "url.path": environ.get("PATH_INFO", ""),
            "http.response.status_code": status,
            "digitalis.request_id": timer.request_id,
        }
        name = method
        if timer.model_id:
            name = f"{method} {timer.protocol} {timer.model_id.name}"
            attributes |= {"digitalis.model": timer.model_id.name, "digitalis.version": timer.model_id.version}
        if timer.predicted_at:
            attributes["digitalis.rows"] = timer.rows
        if timer.reason:
            attributes["error.type"] = timer.reason
        span = self._tracer.start_span(
            name, self._parent.extract(sent), SpanKind.SERVER, attributes, start_time=epoch + timer.started_at
        )
        if timer.predicted_at:
            inside = set_span_in_context(span)
            times = (timer.read_at, timer.decoded_at, timer.predicted_at, timer.finished_at)
            for stage, start, end in zip(STAGES, times, times[1:], strict=False):
                self._tracer.start_span(stage, inside, start_time=epoch + start).end(epoch + end)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(epoch + timer.finished_at)
