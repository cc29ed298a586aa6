"""The default window of a session's history."""

from __future__ import annotations

from proto.models_pb2 import ChatMessage, ChatRequest, ContentPart, Media, ModelCapabilities, ToolResult
from services.models.providers.answers.answer import Answer
from services.models.providers.base import Conversation
from services.models.providers.usage import estimate_usage
from services.models.sessions.history import default_window
from services.sessions.stored_messages import StoredMessage
from services.sessions.windows import Entry

IMAGE = ContentPart(media=Media(data=b"x", mime_type="image/png"))


def room_beside(*parts: ContentPart) -> int:
    request = ChatRequest(messages=[ChatMessage(role="user", parts=[ContentPart(text="Look."), *parts])])
    capabilities = ModelCapabilities(context_window=100_000, max_output_tokens=1000)
    window = default_window(Conversation(request, request.messages), capabilities)
    assert window is not None
    return window.max_tokens


def test_media_are_counted_as_in_the_session_service() -> None:
    assert room_beside() - room_beside(IMAGE, IMAGE) == 2000


def test_media_in_a_tool_result_are_counted() -> None:
    result = ContentPart(tool_result=ToolResult(tool_call_id="call-1", content=[IMAGE]))
    assert room_beside() - room_beside(result) == 1000


def test_all_services_estimate_chinese_text_alike() -> None:
    text = "\u6f22" * 12_000
    message = ChatMessage(role="user", content=text)
    request = ChatRequest(messages=[message])
    answer = Answer()
    answer.add(0, "text", text)
    usage = estimate_usage(answer, Conversation(request, request.messages))
    assert usage.completion_tokens == 9_000
    assert usage.prompt_tokens == Entry.of(StoredMessage(1, message.SerializeToString(), 0)).tokens == 9_004
