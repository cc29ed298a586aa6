"""Traces: a span for each call at each process, sent by OTLP, if OTEL_EXPORTER_OTLP_ENDPOINT says where to.

The OpenTelemetry SDK is imported only then: it takes 10 MiB and a part of a second. No instrumentation package is used,
because that of gRPC ends no span of a cancelled asyncio call. The span of a call ends where its log line is written,
and as surely.

No span has a prompt, an answer or a key.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from services.shared.errors import StartupError
from services.shared.logs import Log
from services.shared.metadata import Metadata

if TYPE_CHECKING:
    from services.shared.spans import Spans

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
SDK = "opentelemetry.exporter.otlp.proto.grpc"

TRACE_KEYS = frozenset({"traceparent", "tracestate"})
"""Keys of metadata that name the span of the sender (w3.org/TR/trace-context)."""

CLOSE_SECONDS = 5.0
"""Time that a process takes at its end to send its last spans."""


class Span(Protocol):
    """A span that has begun, and ends once."""

    @property
    def trace_id(self) -> str:
        """The id of its trace, as in `traceparent`."""

    def fields(self) -> Metadata:
        """The metadata that name it as the parent of spans at the receiver."""

    def start_child(self, name: str, attributes: Mapping[str, Any]) -> Span:
        """The span of a request to another system, as a part of this one."""

    def end_call(self, code: str, reason: str) -> None:
        """Ends the span of a call by its status and the reason of its error."""

    def end(self, error_type: str = "", attributes: Mapping[str, Any] | None = None, *, is_error: bool = True) -> None:
        """Ends the span, if it has not ended yet."""


SERVER_SPAN: ContextVar[Span | None] = ContextVar("server_span", default=None)
"""The span of the running call."""


class Tracing:
    """The traces of a process. Until `open_tracing`, it makes no spans."""

    def __init__(self) -> None:
        self.spans: Spans | None = None

    def start_call(self, method: str, metadata: Metadata, request_id: str) -> Span | None:
        """The span of a call of a method, by its full name; that of the sender, which metadata name, is its parent."""
        if self.spans is None:
            return None
        span = self.spans.start_server_span(method, metadata, request_id)
        SERVER_SPAN.set(span)
        return span


PROCESS_TRACING = Tracing()


def trace_fields(span: Span | None) -> Metadata:
    """The metadata that name a span as the parent of spans at the receiver."""
    return span.fields() if span else ()


@contextlib.asynccontextmanager
async def open_tracing(process: str, endpoint: str | None, log: Log) -> AsyncIterator[None]:
    """Sends the spans of a process, which has a name, to an endpoint, for the length of a block; none without one.

    Raises StartupError if the SDK is not installed.
    """
    if not endpoint:
        yield
        return
    if not _is_installed():
        raise StartupError(f"{VARIABLE}: spans need the packages opentelemetry-sdk and {SDK.replace('.', '-')}")
    from services.shared.spans import Spans

    spans = PROCESS_TRACING.spans = Spans(process)
    log.info("traces are sent", endpoint=endpoint)
    try:
        yield
    finally:
        PROCESS_TRACING.spans = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.to_thread(spans.close, CLOSE_SECONDS)
        log.info("traces were sent", started=spans.started, ended=spans.ended)


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec(SDK) is not None
    except ModuleNotFoundError:
        return False
