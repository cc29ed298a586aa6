"""The results in a tool's message, and the names of the tools that they come from."""

from __future__ import annotations

from proto.models_pb2 import ChatMessage, ContentPart, ToolCall, ToolResult
from services.models.providers.requests.tool_results import CalledTools, read_results


def result(call_id: str, text: str, *, is_error: bool = False, name: str = "") -> ContentPart:
    content = [ContentPart(text=text)]
    return ContentPart(tool_result=ToolResult(tool_call_id=call_id, content=content, is_error=is_error, name=name))


def test_parts_that_are_no_results_answer_the_messages_own_call_in_the_place_of_the_first() -> None:
    texts = [ContentPart(text="one"), ContentPart(text="two")]
    parts = [result("b", "failed", is_error=True), texts[0], result("c", "done"), texts[1]]
    message = ChatMessage(role="tool", tool_call_id="a", parts=parts)
    read = [
        (found.call_id, [(path, part.text) for path, part in found.content], found.is_error)
        for found in read_results(message, "messages[1]")
    ]
    assert read == [
        ("b", [("messages[1].parts[0].tool_result.content[0]", "failed")], True),
        ("a", [("messages[1].parts[1]", "one"), ("messages[1].parts[3]", "two")], False),
        ("c", [("messages[1].parts[2].tool_result.content[0]", "done")], False),
    ]


def test_tool_of_a_result_is_the_one_that_the_newest_call_of_its_id_called() -> None:
    called = CalledTools()
    called.take(
        ChatMessage(role="assistant", tool_calls=[ToolCall(id="0", name="find"), ToolCall(id="1", name="read")])
    )
    results = [result("0", "x"), result("1", "x", name="other"), result("2", "x"), result("3", "x", name="own")]
    read = list(read_results(ChatMessage(role="tool", parts=results), "messages[1]"))
    assert [called.name_of(found) for found in read] == ["find", "read", "", "own"]
    called.take(ChatMessage(role="assistant", parts=[ContentPart(tool_call=ToolCall(id="0", name="stop"))]))
    assert [called.name_of(found) for found in read] == ["stop", "read", "", "own"]
