"""Spans by the OpenTelemetry SDK. Only `tracing` imports this module, when spans are wanted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import metadata as packages
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.shared.metadata import Metadata

SCHEMA = "https://opentelemetry.io/schemas/1.45.0"

DEFAULTS = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
"""Settings of the SDK where the operator has none: a tenth of the traces that begin here."""

SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Statuses that are errors of the server, by the conventions for gRPC; the others are the caller's."""

_PROPAGATOR = TraceContextTextMapPropagator()


class Spans:
    """The spans of a process."""

    def __init__(self, process: str) -> None:
        for variable, value in DEFAULTS.items():
            os.environ.setdefault(variable, value)
        name = os.environ.get("OTEL_SERVICE_NAME") or f"genai-{process}"
        self._provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("genai-platform", _version(), schema_url=SCHEMA)
        self.started = 0
        self.ended = 0

    def start_server_span(self, method: str, metadata: Metadata, request_id: str) -> RunningSpan:
        """The span of a call; that of its sender, which the metadata name, is its parent."""
        parent = _PROPAGATOR.extract({key: value for key, value in metadata if isinstance(value, str)})
        attributes = {"rpc.system.name": "grpc", "rpc.method": method, "genai.request.id": request_id}
        return self.start(method, SpanKind.SERVER, parent, attributes)

    def start(self, name: str, kind: SpanKind, parent: Context, attributes: Mapping[str, Any]) -> RunningSpan:
        self.started += 1
        return RunningSpan(self, self._tracer.start_span(name, parent, kind, attributes))

    def close(self, seconds: float) -> None:
        """Sends the last spans, within a time."""
        self._provider.force_flush(int(seconds * 1000))
        self._provider.shutdown()


class RunningSpan:
    """One span, which ends once."""

    __slots__ = ("_has_ended", "_span", "_spans")

    def __init__(self, spans: Spans, span: SdkSpan) -> None:
        self._spans = spans
        self._span = span
        self._has_ended = False

    @property
    def trace_id(self) -> str:
        """The id of its trace, as in `traceparent`."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def fields(self) -> Metadata:
        """The metadata that name it as the parent of spans at the receiver."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(self._span))
        return tuple(carrier.items())

    def start_child(self, name: str, attributes: Mapping[str, Any]) -> RunningSpan:
        """The span of a request to another system, as a part of this one."""
        return self._spans.start(name, SpanKind.CLIENT, set_span_in_context(self._span), attributes)

    def end_call(self, code: str, reason: str) -> None:
        """Ends the span of a call by its status and the reason of its error."""
        error_type = "" if code == "OK" else reason or code
        self.end(error_type, {"rpc.status_code": code}, is_error=code in SERVER_ERRORS)

    def end(self, error_type: str = "", attributes: Mapping[str, Any] | None = None, *, is_error: bool = True) -> None:
        """Ends the span, if it has not ended yet."""
        if self._has_ended:
            return
        self._has_ended = True
        self._spans.ended += 1
        for name, value in (attributes or {}).items():
            self._span.set_attribute(name, value)
        if error_type:
            self._span.set_attribute("error.type", error_type)
            if is_error:
                self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _version() -> str:
    try:
        return packages.version("genai-platform")
    except packages.PackageNotFoundError:
        return "unknown"
