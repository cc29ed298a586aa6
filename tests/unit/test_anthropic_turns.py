"""Messages → turns: both forms alike, results first, white space where it can be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto import models_pb2
from proto.models_pb2 import ChatMessage, ChatRequest, ContentPart, ToolCall, ToolResult
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.encoding import encode as encode_for
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.anthropic_bodies import CLAUDE, HELLO, WITH_SYSTEM_TURNS, assistant, body_of, encode, text, told


def turns(*messages: ChatMessage) -> Any:
    return body_of(CLAUDE, messages)["messages"]


def test_results_come_before_all_else_of_their_turn() -> None:
    """Messages takes them nowhere else."""
    calls = [ToolCall(id=call_id, name="find") for call_id in ("a", "b")]
    results = [ChatMessage(role="tool", tool_call_id=call.id, content="found") for call in calls]
    wait = ChatMessage(role="user", parts=[ContentPart(text="Wait."), ContentPart(text="So?")])
    called = ChatMessage(role="assistant", tool_calls=calls)
    (turn,) = json.loads(encode(messages=[HELLO, called, HELLO, results[0], wait, results[1]]).request.body)[
        "messages"
    ][2:]
    assert [block.get("tool_use_id", block.get("text")) for block in turn["content"]] == [
        *("a", "b"),
        *("Hello", "Wait.", "So?"),
    ]


def test_what_a_tool_message_holds_itself_is_one_result() -> None:
    other = ContentPart(tool_result=ToolResult(tool_call_id="b", content=[ContentPart(text="4")]))
    parts = [ContentPart(text="2"), other, ContentPart(text="3")]
    for placed, order in ((parts, ["a", "b"]), ([other, parts[0], parts[2]], ["b", "a"])):
        (turn,) = turns(ChatMessage(role="tool", tool_call_id="a", parts=placed))
        assert [block["tool_use_id"] for block in turn["content"]] == order
        assert {block["tool_use_id"]: block["content"] for block in turn["content"]} == {
            "a": [text("2"), text("3")],
            "b": "4",
        }


# ---------------------------------------------------------------------------------------------------- white space


@for_each("role", ["user", "system", "developer"])
@for_each("leading", [[], [HELLO], [HELLO, ChatMessage(role="assistant", content="Hi.")]])
def test_message_of_white_space_alone_is_refused(role: str, leading: list[ChatMessage]) -> None:
    """Left out it would make the beginning of an answer of the message before it."""
    whole = ChatMessage(role=role, content=" \n")
    split = ChatMessage(role=role, parts=[ContentPart(text=" "), ContentPart(text="\n")])
    for message in (whole, split):
        with pytest.raises(InvalidRequest) as raised:
            encode(messages=[*leading, message])
        assert [violation.field for violation in raised.value.violations] == [f"messages[{len(leading)}]"]


def from_session(*history: ChatMessage, said: ChatMessage = HELLO, target: Target = CLAUDE) -> Encoded:
    """The body of a request that says more in a session."""
    request = ChatRequest(model="any", messages=[said])
    conversation = Conversation(request, [*history, said], added=["session_id"] * len(history))
    return encode_for(conversation, target, stream=False)


BLANKS = [
    made
    for role in ("user", "system", "developer")
    for made in (ChatMessage(role=role, content=" \n"), ChatMessage(role=role, parts=[ContentPart(text="\n")]))
]
HI = ChatMessage(role="assistant", content="Hi.")


@for_each("target", [CLAUDE, WITH_SYSTEM_TURNS])
@for_each("blank", BLANKS)
def test_white_space_in_the_history_of_a_session_is_left_out_and_named(blank: ChatMessage, target: Target) -> None:
    """It came there by way of another provider, and must not be the end of the session."""
    body = from_session(HELLO, blank, HI, blank, HI, target=target)
    sent = json.loads(body.request.body)
    assert [(turn["role"], len(turn["content"])) for turn in sent["messages"]] == [
        ("user", 1),
        ("assistant", 2),
        ("user", 1),
    ]
    assert "system" not in sent
    assert told(body) == [("EMPTY_MESSAGE_DROPPED", "session_id")] * 2


@for_each("blank", BLANKS)
@for_each("history", [(), (HELLO, HI)])
def test_white_space_that_a_request_says_in_a_session_is_refused(
    blank: ChatMessage, history: tuple[ChatMessage, ...]
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        from_session(*history, said=blank)
    assert [violation.field for violation in raised.value.violations] == ["messages[0]"]


def test_what_is_left_without_white_space_is_judged_as_ever() -> None:
    note = ChatMessage(role="system", content="Be brief.")
    for history in ((HELLO, HI), (HELLO, HI, BLANKS[0])):
        with pytest.raises(InvalidRequest) as raised:
            from_session(*history, said=note, target=WITH_SYSTEM_TURNS)
        assert [violation.field for violation in raised.value.violations] == ["session_id"]


def test_white_space_of_a_prompt_is_refused() -> None:
    request = ChatRequest(model="any", messages=[HELLO])
    conversation = Conversation(request, [BLANKS[2], HELLO], added=["system_prompt_name"])
    with pytest.raises(InvalidRequest):
        encode_for(conversation, CLAUDE, stream=False)


def test_white_space_stands_in_the_text_beside_it() -> None:
    parts = [ContentPart(text=piece) for piece in ("\n", "a", " ", "", "\n", "b", "\t")]
    assert turns(ChatMessage(role="user", parts=parts)) == [{"role": "user", "content": [text("\na \n"), text("b\t")]}]


def test_white_space_behind_media_stands_in_the_next_text() -> None:
    image = ContentPart(media=models_pb2.Media(url="https://x.test/a.png"))
    parts = [ContentPart(text="a"), image, ContentPart(text="\n"), image, ContentPart(text="b")]
    (turn,) = turns(ChatMessage(role="user", parts=parts))
    assert [block.get("text", block["type"]) for block in turn["content"]] == ["a", "image", "image", "\nb"]


def test_assistants_white_space_is_left_out() -> None:
    parts = [ContentPart(text="\n"), ContentPart(tool_call=ToolCall(id="a", name="find"))]
    for answer in (assistant(*parts), ChatMessage(role="assistant", content="\n", tool_calls=[parts[1].tool_call])):
        found = ChatMessage(role="tool", tool_call_id="a", content="found")
        assert [block["type"] for block in turns(HELLO, answer, found)[1]["content"]] == ["tool_use"]


TEXTS = st.sampled_from(["", " ", "\n\n", "a", " Grüße", "x\x00y "])


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "system", "assistant", "tool"]), TEXTS, st.integers(0, 2), st.booleans()),
        max_size=6,
    )
)
def test_both_forms_are_the_same_request(drawn: list[tuple[str, str, int, bool]]) -> None:
    short: list[ChatMessage] = []
    long: list[ChatMessage] = []
    for role, content, calls, as_result in drawn:
        made = [ToolCall(id=f"{len(short)}-{number}", name="find") for number in range(calls * (role == "assistant"))]
        call_id = "a" if role == "tool" else ""
        parts = [ContentPart(text=content), *(ContentPart(tool_call=call) for call in made)]
        if role == "tool" and as_result:
            parts = [ContentPart(tool_result=ToolResult(tool_call_id=call_id, content=parts))]
        short.append(ChatMessage(role=role, content=content, tool_calls=made, tool_call_id=call_id))
        long.append(ChatMessage(role=role, parts=parts, tool_call_id=call_id))
    assert encoded_or_refused([HELLO, *short]) == encoded_or_refused([HELLO, *long])


def encoded_or_refused(messages: list[ChatMessage]) -> Any:
    try:
        return encode(messages=messages)
    except InvalidRequest as refused:
        return refused.message
