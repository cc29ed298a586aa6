"""The end of a forwarded answer that breaks off: the error events of each dialect, for an answer whose other events
were written elsewhere."""

from __future__ import annotations

import msgspec

from services.models.faces.base import About, Face
from services.shared.errors import PlatformError

COMMENT = b": ping\n\n"
"""A heartbeat: a comment, which every client of server-sent events passes over."""


def failure_events(face: Face, error: PlatformError, request_id: str, about: About, model: str) -> bytes:
    """The events in the dialect of a face."""
    body = face.refusal(error, request_id).body
    match face.name:
        case "messages":
            return b"event: error\ndata: %b\n\n" % body
        case "responses":
            return _failed_response(body, about, model)
    return b"data: %b\n\n" % body


def _failed_response(body: bytes, about: About, model: str) -> bytes:
    # Clients read different ones of the two: SDKs the first, Codex the second.
    inner = msgspec.json.decode(body)["error"]
    error = {"type": "error", "code": inner["code"], "message": inner["message"], "param": None, "error": inner}
    response = {
        "id": f"resp_{about.id}",
        "object": "response",
        "created_at": about.created,
        "status": "failed",
        "error": {"code": inner["code"] or "server_error", "message": inner["message"]},
        "model": model,
        "output": [],
    }
    failed = {"type": "response.failed", "response": response, "sequence_number": 1}
    return _event({**error, "sequence_number": 0}) + _event(failed)


def _event(members: dict[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(members["type"]).encode(), msgspec.json.encode(members))
