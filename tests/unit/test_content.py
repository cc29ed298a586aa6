"""What a media part is, and which models take it."""

from __future__ import annotations

import pytest

from proto import models_pb2
from proto.models_pb2 import (
    ChatMessage,
    ChatRequest,
    ContentPart,
    Media,
    ResponseFormat,
    ToolDefinition,
    ToolResult,
)
from services.models.providers.base import Conversation, Target
from services.models.providers.facts import MediaKind, ModelFacts
from services.models.providers.openai.select import OPENAI
from services.models.providers.requests.content import check_content, check_features, media_kind
from services.shared.errors import InvalidRequest
from tests.rows import for_each

IMAGE = Media(url="https://x/cat.png")
SOUND = Media(data=b"x", mime_type="audio/wav")


@for_each(
    ("media", "kind"),
    [
        (Media(data=b"x", mime_type="image/png"), "image"),
        (Media(data=b"x", mime_type="IMAGE/PNG"), "image"),
        (Media(data=b"x", mime_type="audio/mpeg"), "audio"),
        (Media(data=b"x", mime_type="video/mp4"), "video"),
        (Media(data=b"x", mime_type="application/pdf"), "document"),
        (Media(data=b"x", mime_type="text/plain"), "document"),
        (Media(data=b"x", mime_type="application/x-unknown"), "document"),
        (Media(url="https://x/cat.png", mime_type="application/pdf"), "document"),
        (Media(url="https://x/cat.png"), "image"),
        (Media(url="https://x/Cat.JPEG?size=1#top"), "image"),
        (Media(url="https://x/cat.webp#a?b"), "image"),
        (Media(url="https://x/cat?as=.png"), "document"),
        (Media(url="https://x/report.pdf"), "document"),
        (Media(url="https://[x/cat.png"), "image"),
        (Media(url="https://x"), "document"),
        (Media(file_id="file-1"), "document"),
        (Media(file_id="file-1", mime_type="image/gif"), "image"),
    ],
)
def test_the_media_type_decides_and_else_the_end_of_the_path(media: Media, kind: str) -> None:
    assert media_kind(media) == kind


def target(*kinds: MediaKind, known: bool = True) -> Target:
    facts = ModelFacts(media=frozenset(kinds) if known else None)
    return Target(OPENAI, "openai", "gpt-x", "http://x/v1", {}, facts)


def conversation(*messages: ChatMessage) -> Conversation:
    request = ChatRequest(messages=messages)
    return Conversation(request, request.messages)


def show(*media: Media) -> ChatMessage:
    return ChatMessage(role="user", parts=[ContentPart(text="x"), *(ContentPart(media=each) for each in media)])


def test_what_is_not_known_is_left_to_the_provider() -> None:
    check_content(conversation(show(IMAGE, SOUND)), target(known=False))


def test_what_the_model_takes_passes() -> None:
    check_content(conversation(ChatMessage(role="user", content="x"), show(IMAGE, SOUND)), target("image", "audio"))


def test_every_part_that_the_model_does_not_take_is_named_at_once() -> None:
    result = ToolResult(tool_call_id="a", content=[ContentPart(text="x"), ContentPart(media=SOUND)])
    messages = [show(IMAGE, SOUND), ChatMessage(role="tool", parts=[ContentPart(tool_result=result)])]
    with pytest.raises(InvalidRequest) as raised:
        check_content(conversation(*messages), target("image", "document"))
    assert raised.value.reason == "CONTENT_UNSUPPORTED"
    assert raised.value.metadata == {"model": "gpt-x"}
    assert [violation.field for violation in raised.value.violations] == [
        "messages[0].parts[2].media",
        "messages[1].parts[0].tool_result.content[1].media",
    ]


def test_features_that_the_model_is_known_not_to_have_are_named_at_once() -> None:
    request = ChatRequest(
        tools=[ToolDefinition(name="find")], response_format=ResponseFormat(type="json_schema", schema_json="{}")
    )
    without = Target(OPENAI, "openai", "gpt-x", "", {}, ModelFacts(tools=False, json_schema=False))
    with pytest.raises(InvalidRequest) as raised:
        check_features(request, without)
    assert (raised.value.reason, raised.value.metadata) == ("FEATURE_UNSUPPORTED", {"model": "gpt-x"})
    assert [violation.field for violation in raised.value.violations] == ["tools", "response_format"]
    unknown = Target(OPENAI, "openai", "gpt-x", "", {}, ModelFacts())
    check_features(request, unknown)
    check_features(ChatRequest(response_format=ResponseFormat(type="json_object")), without)
    request.parameter_policy = models_pb2.PARAMETER_POLICY_PASSTHROUGH
    check_features(request, without)


def test_a_model_of_text_alone_takes_nothing_else() -> None:
    with pytest.raises(InvalidRequest):
        check_content(conversation(show(IMAGE)), target())


def test_messages_are_counted_as_the_caller_does() -> None:
    """What was put first, a system prompt or a session's history, is no message of the request."""
    request = ChatRequest(messages=[show(IMAGE)])
    messages = [ChatMessage(role="system", content="x"), show(IMAGE), *request.messages]
    with pytest.raises(InvalidRequest) as raised:
        check_content(Conversation(request, messages, added=("prompt", "session_id")), target())
    fields = [violation.field for violation in raised.value.violations]
    assert fields == ["session_id.parts[1].media", "messages[0].parts[1].media"]
