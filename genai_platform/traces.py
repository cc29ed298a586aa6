"""The caller's trace: calls are parts of its current OpenTelemetry span, if it has one."""

from __future__ import annotations

import sys

TRACEPARENT = "traceparent"


def trace_fields() -> tuple[tuple[str, str], ...]:
    """The metadata that name the current span of the program (w3.org/TR/trace-context); none without one.

    OpenTelemetry is not imported here: a program that has not imported it has no span.
    """
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return ()
    context = api.get_current_span().get_span_context()
    if not context.is_valid:
        return ()
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    state = context.trace_state.to_header()
    return ((TRACEPARENT, parent), ("tracestate", state)) if state else ((TRACEPARENT, parent),)
