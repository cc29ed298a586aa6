"""Tool calls and answers of a message: parts win over the short form, in both services."""

from __future__ import annotations

from proto.models_pb2 import ChatMessage, ContentPart, ToolCall, ToolResult
from services.shared.tool_calls import answered_ids, calls_of
from tests.rows import for_each

TEXT = ContentPart(text="a")


def call(call_id: str) -> ContentPart:
    return ContentPart(tool_call=ToolCall(id=call_id, name="f"))


def result(call_id: str) -> ContentPart:
    return ContentPart(tool_result=ToolResult(tool_call_id=call_id))


@for_each(
    ("message", "calls"),
    [
        (ChatMessage(content="a"), []),
        (ChatMessage(tool_calls=[ToolCall(id="1"), ToolCall(id="2")]), ["1", "2"]),
        (ChatMessage(parts=[TEXT, call("1"), call("2")]), ["1", "2"]),
        (ChatMessage(parts=[TEXT, call("1")], tool_calls=[ToolCall(id="2")]), ["1"]),
        (ChatMessage(parts=[TEXT], tool_calls=[ToolCall(id="2")]), []),
    ],
)
def test_calls(message: ChatMessage, calls: list[str]) -> None:
    assert [each.id for each in calls_of(message)] == calls


@for_each(
    ("message", "answered"),
    [
        (ChatMessage(content="a"), []),
        (ChatMessage(content="a", tool_call_id="1"), ["1"]),
        (ChatMessage(parts=[TEXT], tool_call_id="1"), ["1"]),
        (ChatMessage(parts=[result("2"), TEXT, TEXT], tool_call_id="1"), ["1", "2"]),
        (ChatMessage(parts=[result("2"), result("3")], tool_call_id="1"), ["2", "3"]),
    ],
)
def test_answered_calls(message: ChatMessage, answered: list[str]) -> None:
    assert list(answered_ids(message)) == answered
