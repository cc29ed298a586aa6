"""Media, cache marks and tool results → content blocks of Messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from proto.models_pb2 import (
    ChatMessage,
    ContentPart,
    Media,
    PromptCache,
    ProviderTool,
    Reasoning,
    ToolDefinition,
    ToolResult,
)
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.anthropic_bodies import (
    CLAUDE,
    HELLO,
    STRICT,
    WITH_SYSTEM_TURNS,
    assistant,
    body_of,
    encode,
    state,
    text,
    told,
    user,
)


def block_of(media: Media) -> Any:
    return body_of(CLAUDE, [user(ContentPart(media=media))])["messages"][0]["content"][0]


def refused(*messages: ChatMessage) -> list[str]:
    with pytest.raises(InvalidRequest) as raised:
        encode(messages=messages)
    return [violation.field for violation in raised.value.violations]


# ---------------------------------------------------------------------------------------------------------- media


@for_each(
    ("media", "source"),
    [
        (Media(url="https://x.test/a.pdf"), {"type": "url", "url": "https://x.test/a.pdf"}),
        (Media(url="https://x.test/a", mime_type="application/pdf"), {"type": "url", "url": "https://x.test/a"}),
        (Media(file_id="file_1"), {"type": "file", "file_id": "file_1"}),
        (Media(file_id="file_1", mime_type="text/plain"), {"type": "file", "file_id": "file_1"}),
        (
            Media(data=b"%PDF", mime_type="application/pdf"),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
        ),
        (
            Media(data="Grüße".encode(), mime_type="text/plain; charset=utf-8"),
            {"type": "text", "media_type": "text/plain", "data": "Grüße"},
        ),
        (Media(data=b"# A", mime_type="text/markdown"), {"type": "text", "media_type": "text/plain", "data": "# A"}),
        (Media(data=b"{}", mime_type="application/json"), {"type": "text", "media_type": "text/plain", "data": "{}"}),
    ],
)
def test_documents(media: Media, source: dict[str, str]) -> None:
    assert block_of(media) == {"type": "document", "source": source}


@for_each(
    ("media", "field"),
    [
        (Media(data=b"a", mime_type="audio/wav"), ""),
        (Media(url="https://x.test/a", mime_type="video/mp4"), ""),
        (Media(data=b"a", mime_type="image/tiff"), ".mime_type"),
        (Media(data=b"a", mime_type="application/msword"), ".mime_type"),
        (Media(data=b"\xff", mime_type="text/plain"), ".data"),
        (Media(url="https://x.test/a", mime_type="text/html"), ".url"),
    ],
)
def test_what_messages_does_not_read_is_refused_by_its_place(media: Media, field: str) -> None:
    asked = user(ContentPart(text="What is it?"), ContentPart(media=media))
    assert refused(HELLO, asked) == [f"messages[1].parts[1].media{field}"]


@for_each(("name", "kind"), [("a.png", "image"), ("a.pdf", "document")])
def test_detail_is_left_out_and_named(name: str, kind: str) -> None:
    media = Media(url=f"https://x.test/{name}", detail="high")
    body = encode(messages=[user(ContentPart(media=media))])
    assert told(body) == [("PARAMETER_DROPPED", "messages[0].parts[0].media.detail")]


def test_detail_that_is_left_to_the_provider_needs_no_word() -> None:
    assert block_of(Media(url="https://x.test/a.png", detail="auto"))["type"] == "image"


def test_image_is_not_cited() -> None:
    body = encode(messages=[user(ContentPart(media=Media(url="https://x.test/a.png", enable_citations=True)))])
    assert told(body) == [("PARAMETER_DROPPED", "messages[0].parts[0].media.enable_citations")]
    assert b"citations" not in body.request.body


# --------------------------------------------------------------------------------------------------- tool results

IMAGE = Media(url="https://x.test/a.png")
IMAGE_BLOCK = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}


def results_of(*messages: ChatMessage) -> Any:
    return body_of(CLAUDE, [*messages, HELLO])["messages"][0]["content"][:-1]


def test_parts_of_a_tool_message_are_one_result() -> None:
    message = ChatMessage(role="tool", tool_call_id="a", parts=[ContentPart(text="See:"), ContentPart(media=IMAGE)])
    assert results_of(message) == [{"type": "tool_result", "tool_use_id": "a", "content": [text("See:"), IMAGE_BLOCK]}]


def test_media_in_a_tool_result_are_refused_by_their_place() -> None:
    result = ToolResult(tool_call_id="a", content=[ContentPart(media=Media(data=b"a", mime_type="audio/wav"))])
    message = ChatMessage(role="tool", parts=[ContentPart(tool_result=result)])
    assert refused(HELLO, message) == ["messages[1].parts[0].tool_result.content[0].media"]


# ---------------------------------------------------------------------------------------------------- cache marks

EPHEMERAL = {"type": "ephemeral"}
MARK = PromptCache()


def lasting(seconds: float) -> PromptCache:
    return PromptCache(ttl=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9)))


@for_each(
    ("seconds", "ttl", "is_given"),
    [
        (300, "5m", True),
        (3600, "1h", True),
        (1, "5m", False),
        (1950, "5m", False),
        (1950.5, "1h", False),
        (86_400, "1h", False),
    ],
)
def test_lifetime_of_a_mark_is_the_nearest_that_there_is(seconds: float, ttl: str, is_given: bool) -> None:
    body = encode(messages=[user(ContentPart(text="Hello", cache=lasting(seconds)))])
    (block,) = json.loads(body.request.body)["messages"][0]["content"]
    assert block["cache_control"] == {"type": "ephemeral", "ttl": ttl}
    assert told(body) == ([] if is_given else [("PARAMETER_CHANGED", "messages[0].parts[0].cache.ttl")])


def test_strict_refuses_another_lifetime() -> None:
    with pytest.raises(InvalidRequest, match="messages\\[0\\]"):
        encode(messages=[user(ContentPart(text="Hello", cache=lasting(60)))], parameter_policy=STRICT)


@for_each("short", [MARK, lasting(300)])
def test_long_mark_after_a_short_one_is_short(short: PromptCache) -> None:
    """The API refuses another order."""
    parts = [ContentPart(text=name, cache=mark) for name, mark in [("a", lasting(3600)), ("b", short)]]
    parts.append(ContentPart(text="c", cache=lasting(3600)))
    body = encode(messages=[user(*parts)])
    marks = [
        block["cache_control"].get("ttl", "5m") for block in json.loads(body.request.body)["messages"][0]["content"]
    ]
    assert marks == ["1h", "5m", "5m"]
    assert told(body) == [("PARAMETER_CHANGED", "messages[0].parts[2].cache.ttl")]


def test_of_more_than_four_marks_the_last_four_are_sent() -> None:
    parts = [ContentPart(text=str(number), cache=MARK) for number in range(6)]
    body = encode(messages=[user(*parts)])
    blocks = json.loads(body.request.body)["messages"][0]["content"]
    assert ["cache_control" in block for block in blocks] == [False, False, True, True, True, True]
    assert told(body) == [("PARAMETER_DROPPED", f"messages[0].parts[{index}].cache") for index in (0, 1)]


def test_marks_on_tools_are_the_first_in_the_body() -> None:
    tools = [
        ToolDefinition(name="find", cache=lasting(3600)),
        ToolDefinition(provider_tool=ProviderTool(type="web_search_20260318"), cache=MARK),
    ]
    parts = [ContentPart(text="Hello", cache=lasting(3600))]
    body = encode(messages=[user(*parts)], tools=tools)
    whole = json.loads(body.request.body)
    assert [tool["cache_control"] for tool in whole["tools"]] == [EPHEMERAL | {"ttl": "1h"}, EPHEMERAL]
    assert whole["messages"][0]["content"][0]["cache_control"] == EPHEMERAL | {"ttl": "5m"}
    assert told(body) == [("PARAMETER_CHANGED", "messages[0].parts[0].cache.ttl")]


def test_marks_on_tools_are_counted_among_the_four() -> None:
    tools = [ToolDefinition(name=name, cache=MARK) for name in ("a", "b")]
    parts = [ContentPart(text=str(number), cache=MARK) for number in range(3)]
    body = encode(messages=[user(*parts)], tools=tools)
    assert ["cache_control" in tool for tool in json.loads(body.request.body)["tools"]] == [False, True]
    assert told(body) == [("PARAMETER_DROPPED", "tools[0].cache")]


def test_lifetime_of_a_mark_on_a_tool_is_the_nearest_that_there_is() -> None:
    body = encode(tools=[ToolDefinition(name="find", cache=lasting(60))])
    assert json.loads(body.request.body)["tools"][0]["cache_control"] == EPHEMERAL | {"ttl": "5m"}
    assert told(body) == [("PARAMETER_CHANGED", "tools[0].cache.ttl")]


def test_mark_of_a_system_message_that_is_moved_to_the_front_comes_before_the_turns() -> None:
    """So it is the one with the hour that may keep it."""
    late = ChatMessage(role="system", parts=[ContentPart(text="Be brief.", cache=lasting(3600))])
    body = encode(messages=[user(ContentPart(text="Hello", cache=MARK)), late])
    whole = json.loads(body.request.body)
    assert whole["system"][0]["cache_control"] == EPHEMERAL | {"ttl": "1h"}
    assert whole["messages"][0]["content"][0]["cache_control"] == EPHEMERAL
    assert told(body) == [("SYSTEM_MESSAGE_MOVED", "messages[1]")]


def test_of_too_many_marks_those_first_in_the_body_are_left_out() -> None:
    """Not those first in the request: a system message goes before the turns."""
    late = ChatMessage(role="system", parts=[ContentPart(text="Be brief.", cache=MARK)])
    body = encode(messages=[user(*[ContentPart(text=str(number), cache=MARK) for number in range(4)]), late])
    assert told(body) == [("SYSTEM_MESSAGE_MOVED", "messages[1]"), ("PARAMETER_DROPPED", "messages[1].parts[0].cache")]


def test_mark_of_a_system_message_in_its_place_stays() -> None:
    late = ChatMessage(role="system", parts=[ContentPart(text="Be brief.", cache=MARK), ContentPart(text="Be kind.")])
    turns = body_of(WITH_SYSTEM_TURNS, [HELLO, late])["messages"]
    assert turns[1]["content"] == [text("Be brief.") | {"cache_control": EPHEMERAL}, text("Be kind.")]


def test_mark_on_what_cannot_bear_one_is_left_out_and_named() -> None:
    thinking = '{"type":"thinking","thinking":"Hm","signature":"c2ln"}'
    message = assistant(
        ContentPart(reasoning=Reasoning(text="Hm"), provider_state=state(thinking), cache=MARK),
        ContentPart(text="", cache=MARK),
        ContentPart(text="Hi."),
    )
    body = encode(messages=[HELLO, message])
    assert f'"content":[{thinking},{{"type":"text","text":"Hi."}}]'.encode() in body.request.body
    assert told(body) == [("PARAMETER_DROPPED", f"messages[1].parts[{index}].cache") for index in (0, 1)]


def test_mark_on_state_changes_no_other_byte_of_it() -> None:
    search = '{ "type":"server_tool_use", "id":"s","input":{"q": 1.0} } '
    body = encode(messages=[HELLO, assistant(ContentPart(provider_state=state(search), cache=lasting(300)))])
    marked = '{ "type":"server_tool_use", "id":"s","input":{"q": 1.0} ,"cache_control":{"type":"ephemeral","ttl":"5m"}}'
    assert f'"content":[{marked}]'.encode() in body.request.body
    assert body.notices == []


def test_mark_that_state_has_already_is_left_as_it_is() -> None:
    search = '{"type":"server_tool_use","cache_control":null}'
    body = encode(messages=[HELLO, assistant(ContentPart(provider_state=state(search), cache=MARK))])
    assert f'"content":[{search}]'.encode() in body.request.body
