"""The servicer of ContentService."""

from __future__ import annotations

from proto import content_pb2
from services.models.capture.captured_content import CapturedContent, StoredText
from services.shared.call import Call
from services.shared.errors import InvalidRequest, NotFound

MAX_CALL_ID = 64


class ContentServicer:
    """The calls of ContentService. Without `content` nothing was ever kept."""

    def __init__(self, content: CapturedContent | None) -> None:
        self._content = content

    async def GetContent(self, request: content_pb2.GetContentRequest, call: Call) -> content_pb2.GetContentResponse:
        if not 0 < len(request.call_id) <= MAX_CALL_ID:
            raise InvalidRequest.field("call_id", f"must have 1 to {MAX_CALL_ID} characters")
        if self._content is None:
            raise NotFound("content is not captured here: CAPTURE is off", reason="CONTENT_NOT_FOUND")
        sees_all = call.identity is None or "admin" in call.identity.scopes
        texts = await self._content.find(request.call_id, None if sees_all else call.project_id)
        return content_pb2.GetContentResponse(texts=map(_message, texts))


def _message(stored: StoredText) -> content_pb2.CapturedText:
    message = content_pb2.CapturedText(
        direction=stored.direction,
        model=stored.model,
        text=stored.text,
        characters=stored.characters,
        redactions=stored.redactions,
    )
    message.captured_at.FromMicroseconds(int(stored.captured_at * 1e6))
    return message
