"""A tool loop over several chats of one session: what the provider wrote goes back to it byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proto.models_pb2 import ChatMessage, ContentPart, ToolDefinition
from services.models.providers.history.tool_turns import CAME_LATE, NOT_RUN
from tests.scripted_upstream import Script, ScriptedUpstream, answer, event, event_stream
from tests.services.chat_in_session import Platform, chat, platform, turn

MODEL = "claude-sonnet-4-6"
TOOLS = [ToolDefinition(name="weather", parameters_json='{"type":"object"}')]
SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds+/=="
JSON = {"Content-Type": "application/json"}

# Written as no encoder of ours would write it: a replay that had been decoded would differ.
ARGUMENTS = '{"city":  "Z\\u00fcrich", "days": 1.0}'


def said(number: int, text: str) -> Script:
    return whole([], f'{{"type": "text", "text": "{text} {number}"}}', "end_turn")


def calls(number: int) -> Script:
    thinking = f'{{"type": "thinking", "thinking": "step {number} \\u00fc", "signature": "{SIGNATURE}{number}"}}'
    use = f'{{"type": "tool_use", "id": "toolu_{number}", "name": "weather", "input": {ARGUMENTS}}}'
    return whole([thinking], use, "tool_use")


def whole(before: list[str], block: str, stop_reason: str) -> Script:
    content = ", ".join([*before, block])
    body = (
        f'{{"id": "msg_1", "type": "message", "role": "assistant", "model": "{MODEL}", "content": [{content}], '
        f'"stop_reason": "{stop_reason}", "usage": {{"input_tokens": 9, "output_tokens": 4}}}}'
    )
    return answer(body.encode(), headers=JSON)


def streamed_calls(number: int) -> Script:
    """The same answer as `calls` gives, in pieces."""
    start = {"id": "msg_1", "model": MODEL, "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}
    use = {"type": "tool_use", "id": f"toolu_{number}", "name": "weather", "input": {}}
    contents: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        opened(0, {"type": "thinking", "thinking": "", "signature": ""}),
        delta(0, {"type": "thinking_delta", "thinking": f"step {number} "}),
        delta(0, {"type": "thinking_delta", "thinking": "ü"}),
        delta(0, {"type": "signature_delta", "signature": f"{SIGNATURE}{number}"}),
        {"type": "content_block_stop", "index": 0},
        opened(1, use),
        delta(1, {"type": "input_json_delta", "partial_json": ARGUMENTS[:13]}),
        delta(1, {"type": "input_json_delta", "partial_json": ARGUMENTS[13:]}),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    return event_stream(*(event(content, content["type"]) for content in contents))


def opened(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, change: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": change}


def streamed_text(text: str) -> Script:
    start = {"id": "msg_1", "model": MODEL, "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}
    contents: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        opened(0, {"type": "text", "text": ""}),
        delta(0, {"type": "text_delta", "text": text}),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    return event_stream(*(event(content, content["type"]) for content in contents))


def result(number: int) -> list[ChatMessage]:
    return [ChatMessage(role="tool", tool_call_id=f"toolu_{number}", content=f"rain {number}")]


def states(message: ChatMessage) -> list[bytes]:
    return [part.provider_state.data for part in message.parts if part.HasField("provider_state")]


@pytest.mark.parametrize("verb", ["Chat", "ChatStream"])
async def test_a_tool_loop_of_three_chats_replays_what_the_provider_wrote_byte_for_byte(
    tmp_path: Path, verb: str
) -> None:
    async with ScriptedUpstream() as upstream, platform(tmp_path, upstream, replicated=True) as p:
        if verb == "Chat":
            upstream.play(calls(1), calls(2), said(3, "umbrella"))
        else:
            upstream.play(streamed_calls(1), streamed_calls(2), streamed_text("umbrella 3"))
        first = await chat(p.models, turn("Weather?", MODEL, tools=TOOLS), verb)
        second = await chat(p.replica, turn(model=MODEL, tools=TOOLS, messages=result(1)), verb)
        third = await chat(p.models, turn(model=MODEL, tools=TOOLS, messages=result(2)), verb)

        assert [r.session_next_sequence for r in (first, second, third)] == [3, 5, 7]
        assert third.text == "umbrella 3"
        assert not [notice for r in (first, second, third) for notice in r.warnings]
        await assert_stored(p, [first.message, second.message, third.message])
        for number, response in ((1, first), (2, second)):
            (state,) = states(response.message)
            assert f"{SIGNATURE}{number}".encode() in state
            for later in upstream.requests[number:]:
                assert state in later.body
                assert f'"id":"toolu_{number}","name":"weather","input":{ARGUMENTS}'.encode() in later.body
        # What was sent once is sent again as it was: otherwise no provider's prompt cache would find it.
        assert upstream.requests[2].body.startswith(beginning(upstream.requests[1].body))
        assert [message["role"] for message in upstream.requests[2].json()["messages"]] == [
            "user",
            "assistant",
            "user",
            "assistant",
            "user",
        ]


def beginning(body: bytes) -> bytes:
    """A request's body up to the end of its last message."""
    return body[: body.rindex(b']}],"')]


async def assert_stored(p: Platform, answers: list[ChatMessage]) -> None:
    stored = await p.history()
    assert [message.role for message in stored] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert [m.SerializeToString() for m in stored[1::2]] == [m.SerializeToString() for m in answers]


async def test_state_of_another_provider_stays_in_the_session_and_is_not_sent(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, platform(tmp_path, upstream) as p:
        upstream.play(calls(1), said(2, "first"))
        await p.models.Chat(turn("Weather?", MODEL, tools=TOOLS))
        await p.models.Chat(turn(model=MODEL, tools=TOOLS, messages=result(1)))
        body = '{"choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]}'
        upstream.play(answer(body.encode(), headers=JSON))
        response = await p.models.Chat(turn("And you?"))
        assert [(notice.code, notice.field) for notice in response.warnings] == [("REASONING_DROPPED", "session_id")]
        assert SIGNATURE.encode() not in upstream.requests[-1].body
        upstream.play(said(4, "back"))
        await p.models.Chat(turn("Back to you.", MODEL, tools=TOOLS))
        assert f"{SIGNATURE}1".encode() in upstream.requests[-1].body


async def test_parts_of_a_request_are_stored_as_they_are(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, platform(tmp_path, upstream) as p:
        upstream.play(said(1, "yes"))
        asked = ChatMessage(role="user", parts=[ContentPart(text="a"), ContentPart(text="b")], name="ann")
        await p.models.Chat(turn(model=MODEL, messages=[asked]))
        assert (await p.history())[0].SerializeToString() == asked.SerializeToString()


CALLED = (
    '{"role": "assistant", "content": null, "reasoning_content": "I must look.", "tool_calls": [{"id": "c1",'
    ' "type": "function", "extra_content": {"google": {"thought_signature": "U0lH=="}},'
    ' "function": {"name": "weather", "arguments": "{\\"city\\": \\"Os"}}]}'
)


def completed(message: str) -> Script:
    return answer(f'{{"choices": [{{"message": {message}, "finish_reason": "stop"}}]}}'.encode(), headers=JSON)


async def test_call_that_was_cut_and_never_answered_ends_no_session(tmp_path: Path) -> None:
    """What the server added to it goes back in every later turn; the session keeps what was said and no more."""
    async with ScriptedUpstream() as upstream, platform(tmp_path, upstream) as p:
        upstream.play(completed(CALLED), *[completed('{"role": "assistant", "content": "fine"}')] * 3)
        await p.models.Chat(turn("Weather?", tools=TOOLS))
        second = await p.models.Chat(turn("Never mind.", tools=TOOLS))
        late = [ChatMessage(role="tool", tool_call_id="c1", content="2 C")]
        third = await p.models.Chat(turn(tools=TOOLS, messages=late))

        assert [(n.code, n.field) for n in second.warnings] == [("TOOL_RESULT_ADDED", "session_id")]
        assert [(n.code, n.field) for n in third.warnings] == [
            *(("TOOL_RESULT_MOVED", "messages[0]"), ("USER_MESSAGE_ADDED", "messages[0]"))
        ]
        assert upstream.requests[2].json()["messages"][-1] == {"role": "user", "content": CAME_LATE}
        for request, told in ((upstream.requests[1], NOT_RUN), (upstream.requests[2], "2 C")):
            asked, called, result, *_ = request.json()["messages"]
            assert (asked["role"], result["tool_call_id"], result["content"]) == ("user", "c1", told)
            assert called["reasoning_content"] == "I must look."
            (call,) = called["tool_calls"]
            assert call["extra_content"] == {"google": {"thought_signature": "U0lH=="}}
            assert call["function"]["arguments"] == '{"city": "Os'
        assert [message.role for message in await p.history()] == [
            *("user", "assistant", "user", "assistant", "tool", "assistant")
        ]
