"""The span of an attempt: one HTTP request to a model's server."""

from __future__ import annotations

from urllib.parse import urlsplit

from services.models.providers.base import Target
from services.shared.errors import PlatformError
from services.shared.tracing import Span


def start_attempt_span(chat: Span, target: Target, earlier: int) -> Span:
    """The span of an attempt, as a part of that of its chat, after a number of earlier ones."""
    server = urlsplit(target.endpoint)
    attributes: dict[str, str | int] = {
        "http.request.method": "POST",
        "server.address": server.hostname or "",
        "gen_ai.provider.name": target.provider,
        "gen_ai.request.model": target.model,
    }
    if server.port:
        attributes["server.port"] = server.port
    if earlier:
        attributes["http.request.resend_count"] = earlier
    return chat.start_child("POST", attributes)


def end_attempt_span(span: Span, error: BaseException | None) -> None:
    """Ends the span with an answer or with an error."""
    if error is None:
        span.end(attributes={"http.response.status_code": 200})
    elif isinstance(error, PlatformError):
        status = error.metadata.get("http_status")
        span.end(error.reason, {"http.response.status_code": int(status)} if status else None)
    else:
        span.end("CANCELLED")
