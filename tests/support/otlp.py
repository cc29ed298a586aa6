"""A collector of spans: a real OTLP server over gRPC, which keeps all that it receives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SECONDS = 20.0


class ReceivedSpan(NamedTuple):
    """A span as it came."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    is_error: bool


class Collector:
    """The server, at `endpoint`."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.raw = b""
        """All that has come, to be searched for what must not be in it."""
        self.endpoint = ""
        self._changed = asyncio.Condition()

    async def trace(self, trace_id: str, count: int) -> list[ReceivedSpan]:
        """The spans of a trace, once there are so many of them."""
        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self._of(trace_id)) >= count)
        return self._of(trace_id)

    async def received(self, name: str) -> None:
        """Waits until a span of this name has come."""
        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(lambda: any(span.name == name for span in self.spans))

    def _of(self, trace_id: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.trace_id == trace_id]

    async def export(self, data: bytes, _: object) -> bytes:
        request = trace_service_pb2.ExportTraceServiceRequest.FromString(data)
        async with self._changed:
            self.raw += data
            for resource in request.resource_spans:
                service = _read(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    self.spans += [_received(service, span) for span in scope.spans]
            self._changed.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse().SerializeToString()


def _received(service: str, span: Any) -> ReceivedSpan:
    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
    is_error = span.status.code == span.status.STATUS_CODE_ERROR
    return ReceivedSpan(service, span.name, span.kind, *ids, _read(span.attributes), is_error)


def _read(attributes: Any) -> dict[str, Any]:
    values = {entry.key: entry.value for entry in attributes}
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector for the length of a block."""
    collector = Collector()
    server = grpc.aio.server()
    handlers = {"Export": grpc.unary_unary_rpc_method_handler(collector.export)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(EXPORT.split("/")[1], handlers)])
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(0)
