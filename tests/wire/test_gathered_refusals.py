"""Every problem of a request is told at once, whichever dialect refuses it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from proto.models_pb2 import ChatMessage, ContentPart, Media, ToolDefinition, ToolResult
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.wire.test_history_rules import TARGETS, USER, calling, encoded

VIDEO = ContentPart(media=Media(file_id="file_1", mime_type="video/mp4"))
"""Read by nobody: those that take videos take no ids of them."""
SEEN = ChatMessage(role="user", parts=[ContentPart(text="Look."), VIDEO])
LISTING = ToolDefinition(name="listing", parameters_json='{"type": "array"}')
SHOWN = ChatMessage(role="tool", parts=[ContentPart(tool_result=ToolResult(tool_call_id="a", content=[VIDEO]))])

# The request, and how many of its fields are wrong.
REQUESTS: dict[str, tuple[list[ChatMessage], dict[str, Any], int]] = {
    "three media": ([SEEN, USER, SEEN, SEEN], {}, 3),
    "several in one message": ([ChatMessage(role="user", parts=[VIDEO, VIDEO])], {}, 2),
    "a result and a question": ([USER, calling("a"), SHOWN, SEEN], {}, 2),
    "two tools": ([USER], {"tools": [LISTING, ToolDefinition(name="good"), LISTING]}, 2),
    "media and tools": ([SEEN, SEEN], {"tools": [LISTING, LISTING]}, 4),
}


@for_each("name", TARGETS)
@for_each("case", REQUESTS)
def test_every_dialect_tells_every_problem_of_a_request(name: str, case: str) -> None:
    messages, fields, count = REQUESTS[case]
    target = TARGETS[name]
    unknown = dataclasses.replace(target, facts=dataclasses.replace(target.facts, media=None))
    with pytest.raises(InvalidRequest) as refused:
        encoded(unknown, messages, **fields)
    told = [violation.field for violation in refused.value.violations]
    assert len(told) == len(set(told)) == count


def test_anthropic_tells_what_is_wrong_with_each_part_of_a_request() -> None:
    messages = [
        SEEN,
        ChatMessage(role="user", content="  "),
        ChatMessage(role="user", parts=[ContentPart(media=Media(data=b"\xff", mime_type="text/plain"))]),
        ChatMessage(role="user", parts=[ContentPart(media=Media(data=b"x", mime_type="image/tiff"))]),
    ]
    kept = ToolDefinition(name="genai_platform_answer_x")
    target = dataclasses.replace(
        TARGETS["anthropic"], facts=dataclasses.replace(TARGETS["anthropic"].facts, media=None)
    )
    with pytest.raises(InvalidRequest) as refused:
        encoded(target, messages, tools=[kept, LISTING])
    assert [violation.field for violation in refused.value.violations] == [
        "messages[0].parts[1].media",
        "messages[1]",
        "messages[2].parts[0].media.data",
        "messages[3].parts[0].media.mime_type",
        "tools[0].name",
        "tools[1].parameters_json",
    ]
