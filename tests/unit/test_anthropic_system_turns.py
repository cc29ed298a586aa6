"""System messages within the conversation → system turns of Messages, where the model takes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.models_pb2 import ChatMessage, ContentPart, ReasoningConfig, ToolCall
from services.models.providers.facts import ReasoningFacts
from services.shared.errors import InvalidRequest
from tests.unit.anthropic_bodies import (
    CLAUDE,
    HELLO,
    PASSTHROUGH,
    WITH_SYSTEM_TURNS,
    assistant,
    body_of,
    encode,
    model,
    state,
    system,
    text,
    told,
)

BRIEF = system("Be brief.")
HI = ChatMessage(role="assistant", content="Hi.")
CALLED = ChatMessage(role="assistant", tool_calls=[ToolCall(id="a", name="find"), ToolCall(id="b", name="find")])
FOUND = [ChatMessage(role="tool", tool_call_id=call_id, content="found") for call_id in ("a", "b")]


def turns(*messages: ChatMessage) -> list[tuple[str, list[str]]]:
    """The turns of a body that needs no notice: whose each is, and its texts or the types of its blocks."""
    return [summary(turn) for turn in body_of(WITH_SYSTEM_TURNS, messages)["messages"]]


def summary(turn: Any) -> tuple[str, list[str]]:
    return turn["role"], [block.get("text", block["type"]) for block in turn["content"]]


def moved(*messages: ChatMessage) -> tuple[Any, list[str]]:
    """The body, and the messages that are told as moved."""
    body = encode(WITH_SYSTEM_TURNS, messages)
    assert {code for code, _ in told(body)} == {"SYSTEM_MESSAGE_MOVED"}
    return json.loads(body.request.body), [field for _, field in told(body)]


def test_system_text_behind_the_question_stays_there() -> None:
    assert turns(HELLO, HI, HELLO, BRIEF) == [
        ("user", ["Hello"]),
        ("assistant", ["Hi."]),
        ("user", ["Hello"]),
        ("system", ["Be brief."]),
    ]


def test_system_text_before_the_answer_stays_there() -> None:
    developer = ChatMessage(role="developer", parts=[ContentPart(text="Be kind."), ContentPart(text="Be slow.")])
    assert turns(HELLO, developer, HI, HELLO) == [
        ("user", ["Hello"]),
        ("system", ["Be kind.", "Be slow."]),
        ("assistant", ["Hi."]),
        ("user", ["Hello"]),
    ]


def test_leading_system_text_goes_to_the_top() -> None:
    body = body_of(WITH_SYSTEM_TURNS, [system("First."), HELLO, BRIEF])
    assert body["system"] == [text("First.")]
    assert [turn["role"] for turn in body["messages"]] == ["user", "system"]


def test_system_text_before_a_question_goes_behind_it() -> None:
    body, fields = moved(HELLO, HI, BRIEF, HELLO)
    assert [summary(turn) for turn in body["messages"]][2:] == [("user", ["Hello"]), ("system", ["Be brief."])]
    assert "system" not in body
    assert fields == ["messages[2]"]


def test_system_texts_that_meet_are_one_turn() -> None:
    """Only those that did not follow the user's last message are told as moved."""
    body, fields = moved(HELLO, BRIEF, HELLO, system("Be kind."), system("Be slow."), HI, HELLO)
    assert [summary(turn) for turn in body["messages"]] == [
        ("user", ["Hello", "Hello"]),
        ("system", ["Be brief.", "Be kind.", "Be slow."]),
        ("assistant", ["Hi."]),
        ("user", ["Hello"]),
    ]
    assert fields == ["messages[1]"]


def test_thousands_of_system_texts_are_one_turn() -> None:
    messages = [message for number in range(3000) for message in (system(f"{number}."), HELLO)]
    body = encode(WITH_SYSTEM_TURNS, [HELLO, *messages])
    assert [summary(turn) for turn in json.loads(body.request.body)["messages"]] == [
        ("user", ["Hello"] * 3001),
        ("system", [f"{number}." for number in range(3000)]),
    ]
    # Of one kind of warning the first hundred are told, and that there are more.
    moved_fields = [("SYSTEM_MESSAGE_MOVED", f"messages[{2 * number + 1}]") for number in range(100)]
    assert told(body) == [*moved_fields, ("WARNINGS_NOT_LISTED", "")]


def test_system_text_is_never_between_a_call_and_its_result() -> None:
    body = json.loads(
        encode(WITH_SYSTEM_TURNS, [HELLO, CALLED, BRIEF, FOUND[0], system("Be kind."), FOUND[1]]).request.body
    )
    assert [summary(turn) for turn in body["messages"]] == [
        ("user", ["Hello"]),
        ("assistant", ["tool_use", "tool_use"]),
        ("user", ["tool_result", "tool_result"]),
        ("system", ["Be brief.", "Be kind."]),
    ]


def test_system_text_behind_results_stays_there() -> None:
    assert [role for role, _ in turns(HELLO, CALLED, *FOUND, BRIEF)] == ["user", "assistant", "user", "system"]


def test_system_text_between_two_of_the_assistants_goes_to_the_front() -> None:
    body, fields = moved(HELLO, HI, BRIEF, HI, HELLO)
    assert body["system"] == [text("Be brief.")]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert fields == ["messages[2]"]


def test_system_text_behind_the_beginning_of_an_answer_goes_to_the_front() -> None:
    body = encode(model(system_turns=True), [HELLO, HI, BRIEF])
    assert [turn["role"] for turn in json.loads(body.request.body)["messages"]] == ["user", "assistant"]
    assert told(body) == [("SYSTEM_MESSAGE_MOVED", "messages[2]")]
    with pytest.raises(InvalidRequest) as raised:
        encode(WITH_SYSTEM_TURNS, [HELLO, HI, BRIEF])
    assert [violation.field for violation in raised.value.violations] == ["messages[1]"]


def test_system_text_behind_a_paused_answer_leaves_it_to_go_on() -> None:
    call = '{"type":"server_tool_use","id":"s","name":"web_search","input":{}}'
    body, _ = moved(HELLO, assistant(ContentPart(provider_state=state(call))), BRIEF)
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant"]


def test_model_goes_on_without_thinking_whatever_system_text_there_is() -> None:
    target = model(system_turns=True, can_reason=True, reasoning=ReasoningFacts(takes_budget=True))
    for messages in ([HELLO, CALLED, *FOUND, BRIEF], [HELLO, BRIEF, CALLED, *FOUND, BRIEF]):
        body = encode(target, messages, reasoning=ReasoningConfig(budget_tokens=2000))
        assert "thinking" not in json.loads(body.request.body)
        assert told(body) == [("PARAMETER_DROPPED", "reasoning")]


def test_model_that_takes_none_is_sent_none() -> None:
    body = encode(CLAUDE, [HELLO, BRIEF])
    assert json.loads(body.request.body)["system"] == [text("Be brief.")]
    assert told(body) == [("SYSTEM_MESSAGE_MOVED", "messages[1]")]


def test_place_is_no_parameter_to_pass_through() -> None:
    body = encode(WITH_SYSTEM_TURNS, [HELLO, BRIEF], parameter_policy=PASSTHROUGH)
    assert [turn["role"] for turn in json.loads(body.request.body)["messages"]] == ["user", "system"]


MESSAGES = st.sampled_from([HELLO, BRIEF, HI, CALLED, *FOUND, ChatMessage(role="assistant", content=" ")])


@settings(max_examples=100)
@given(st.lists(MESSAGES, max_size=8))
def test_every_system_text_is_sent_once_where_it_may_stand(messages: list[ChatMessage]) -> None:
    body = json.loads(encode(model(system_turns=True), [HELLO, *messages]).request.body)
    roles = ["", *(turn["role"] for turn in body["messages"]), ""]
    for before, role, after in zip(roles, roles[1:], roles[2:], strict=False):
        assert role != before
        assert role != "system" or (before == "user" and after in ("assistant", ""))
    front = body.get("system", [])
    within = [block for turn in body["messages"] if turn["role"] == "system" for block in turn["content"]]
    assert len(front) + len(within) == sum(message.role == "system" for message in messages)
