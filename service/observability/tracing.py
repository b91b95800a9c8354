"""A span for each request, with its stages as children, for OpenTelemetry: the extra `otel`.

Off, unless OpenTelemetry's standard environment variables ask for it: `settings.traces_wanted`. Spans are made when a
request is over, of the times that its watch has noted: while it lasts nothing is done for them.
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
from service.observability.request_timer import Watch

UNNAMED = "unknown_service"  # what the SDK calls one whose environment gives it no name


class Tracing:
    """Sends spans where `OTEL_EXPORTER_OTLP_ENDPOINT` says, as protobuf over HTTP, in batches, from a thread."""

    def __init__(self) -> None:
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes[SERVICE_NAME]).startswith(UNNAMED):
            resource = resource.merge(Resource({SERVICE_NAME: "digitalis"}))
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = provider.get_tracer("digitalis", __version__)
        self._parent = TraceContextTextMapPropagator()

    def ended(self, watch: Watch, environ: dict[str, Any], status: int) -> None:
        """A request has its answer."""
        epoch = time.time_ns() - time.perf_counter_ns()
        sent = {key: environ.get(f"HTTP_{key.upper()}", "") for key in ("traceparent", "tracestate")}
        method = environ.get("REQUEST_METHOD", "")
        attributes = {
            "http.request.method": method,
            "url.path": environ.get("PATH_INFO", ""),
            "http.response.status_code": status,
            "digitalis.request_id": watch.request_id,
        }
        name = method
        if watch.title:
            name = f"{method} {watch.protocol} {watch.title[0]}"
            attributes |= {"digitalis.model": watch.title[0], "digitalis.version": watch.title[1]}
        if watch.predicted_at:
            attributes["digitalis.rows"] = watch.rows
        if watch.reason:
            attributes["error.type"] = watch.reason
        span = self._tracer.start_span(
            name, self._parent.extract(sent), SpanKind.SERVER, attributes, start_time=epoch + watch.started_at
        )
        if watch.predicted_at:
            inside = set_span_in_context(span)
            times = (watch.read_at, watch.decoded_at, watch.predicted_at, watch.ended_at)
            for stage, start, end in zip(STAGES, times, times[1:], strict=False):
                self._tracer.start_span(stage, inside, start_time=epoch + start).end(epoch + end)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(epoch + watch.ended_at)
