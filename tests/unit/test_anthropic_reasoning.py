"""ReasoningConfig → `thinking` and `output_config.effort`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from proto.models_pb2 import ChatConfig, ChatMessage, ContentPart, ReasoningConfig, ResponseFormat, ToolCall, ToolChoice
from services.models.providers.base import Target
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.anthropic_bodies import (
    ADAPTIVE,
    ADAPTIVE_OR_BUDGET,
    ALWAYS_REASONING,
    CLAUDE,
    HELLO,
    OLD,
    PASSTHROUGH,
    STRICT,
    TOOL,
    WITH_BUDGET,
    WITH_BUDGET_AND_EFFORT,
    assistant,
    encode,
    model,
    sent,
    state,
    system,
    told,
)

CHANGED, DROPPED = "PARAMETER_CHANGED", "PARAMETER_DROPPED"
EFFORT, BUDGET, TEXT = "reasoning.effort", "reasoning.budget_tokens", "reasoning.include_text"
IS_ADAPTIVE = {"type": "adaptive"}
DISABLED = {"type": "disabled"}


def enabled(budget: int, **members: str) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": budget, **members}


def effort(word: str) -> dict[str, Any]:
    return {"output_config": {"effort": word}}


@for_each(
    ("target", "wanted", "body", "notices"),
    [
        # As asked.
        (ADAPTIVE, ReasoningConfig(), {}, []),
        (ADAPTIVE, ReasoningConfig(effort="xhigh"), {"thinking": IS_ADAPTIVE} | effort("xhigh"), []),
        (ADAPTIVE_OR_BUDGET, ReasoningConfig(effort="low"), {"thinking": IS_ADAPTIVE} | effort("low"), []),
        (ADAPTIVE_OR_BUDGET, ReasoningConfig(budget_tokens=2000), {"thinking": enabled(2000)}, []),
        (
            ADAPTIVE_OR_BUDGET,
            ReasoningConfig(effort="low", budget_tokens=2000),
            {"thinking": enabled(2000)} | effort("low"),
            [],
        ),
        (WITH_BUDGET, ReasoningConfig(budget_tokens=2000), {"thinking": enabled(2000)}, []),
        (WITH_BUDGET_AND_EFFORT, ReasoningConfig(effort="low"), {"thinking": enabled(2048)} | effort("low"), []),
        # Of the model nothing is known: for the provider to judge.
        (CLAUDE, ReasoningConfig(effort="turbo"), {"thinking": IS_ADAPTIVE} | effort("turbo"), []),
        (CLAUDE, ReasoningConfig(budget_tokens=2000), {"thinking": enabled(2000)}, []),
        # In the model's other form.
        (WITH_BUDGET, ReasoningConfig(effort="medium"), {"thinking": enabled(8192)}, [(CHANGED, EFFORT)]),
        (
            WITH_BUDGET,
            ReasoningConfig(effort="low", budget_tokens=2000),
            {"thinking": enabled(2000)},
            [(DROPPED, EFFORT)],
        ),
        (
            ADAPTIVE,
            ReasoningConfig(budget_tokens=2049),
            {"thinking": IS_ADAPTIVE} | effort("medium"),
            [(CHANGED, BUDGET)],
        ),
        (ADAPTIVE, ReasoningConfig(budget_tokens=1), {"thinking": IS_ADAPTIVE} | effort("low"), [(CHANGED, BUDGET)]),
        (
            ADAPTIVE,
            ReasoningConfig(budget_tokens=10**6),
            {"thinking": IS_ADAPTIVE} | effort("max"),
            [(CHANGED, BUDGET)],
        ),
        (
            ADAPTIVE,
            ReasoningConfig(effort="low", budget_tokens=9000),
            {"thinking": IS_ADAPTIVE} | effort("low"),
            [(DROPPED, BUDGET)],
        ),
        # With a word that the model does not take.
        (ADAPTIVE, ReasoningConfig(effort="minimal"), {"thinking": IS_ADAPTIVE} | effort("low"), [(CHANGED, EFFORT)]),
        (
            ADAPTIVE_OR_BUDGET,
            ReasoningConfig(effort="xhigh"),
            {"thinking": IS_ADAPTIVE} | effort("high"),
            [(CHANGED, EFFORT)],
        ),
        # Not at all.
        (WITH_BUDGET, ReasoningConfig(effort="none"), {"thinking": DISABLED}, []),
        (ADAPTIVE, ReasoningConfig(effort="none"), {"thinking": DISABLED}, []),
        (CLAUDE, ReasoningConfig(effort="none"), {"thinking": DISABLED}, []),
        (WITH_BUDGET, ReasoningConfig(effort="none", budget_tokens=2000), {"thinking": DISABLED}, [(DROPPED, BUDGET)]),
        (
            ALWAYS_REASONING,
            ReasoningConfig(effort="none"),
            {"thinking": IS_ADAPTIVE} | effort("low"),
            [(CHANGED, EFFORT)],
        ),
        # By a model that does not reason.
        (OLD, ReasoningConfig(effort="high", include_text=True), {}, [(DROPPED, "reasoning")]),
        (OLD, ReasoningConfig(budget_tokens=2000), {}, [(DROPPED, "reasoning")]),
        (OLD, ReasoningConfig(effort="none"), {}, []),
        (OLD, ReasoningConfig(include_text=False), {}, []),
        # Shown or not.
        (
            ADAPTIVE,
            ReasoningConfig(effort="low", include_text=True),
            {"thinking": IS_ADAPTIVE | {"display": "summarized"}} | effort("low"),
            [],
        ),
        (
            WITH_BUDGET,
            ReasoningConfig(budget_tokens=2000, include_text=False),
            {"thinking": enabled(2000, display="omitted")},
            [],
        ),
        (
            ALWAYS_REASONING,
            ReasoningConfig(include_text=True),
            {"thinking": IS_ADAPTIVE | {"display": "summarized"}},
            [],
        ),
        (ADAPTIVE, ReasoningConfig(include_text=True), {}, [(DROPPED, TEXT)]),
        (ADAPTIVE, ReasoningConfig(include_text=False), {}, []),
    ],
)
def test_reasoning_in_the_form_that_the_model_takes(
    target: Target, wanted: ReasoningConfig, body: Any, notices: list[tuple[str, str]]
) -> None:
    encoded = encode(target, reasoning=wanted)
    assert sent(encoded) == body
    assert told(encoded) == notices


def test_model_that_can_be_turned_off_is_turned_off() -> None:
    facts = ALWAYS_REASONING.facts.reasoning
    assert facts is not None
    target = model(can_reason=True, reasoning=replace(facts, efforts=("none", *facts.efforts)))
    assert sent(encode(target, reasoning=ReasoningConfig(effort="none"))) == {"thinking": DISABLED}
    assert sent(encode(target, reasoning=ReasoningConfig(effort="minimal"))) == {"thinking": IS_ADAPTIVE} | effort(
        "low"
    )


@for_each("target", [ADAPTIVE, WITH_BUDGET])
def test_effort_that_no_model_knows_is_refused(target: Target) -> None:
    with pytest.raises(InvalidRequest) as raised:
        encode(target, reasoning=ReasoningConfig(effort="turbo"))
    assert [violation.field for violation in raised.value.violations] == [EFFORT]


@for_each("target", [WITH_BUDGET, OLD])
def test_strict_refuses_another_form(target: Target) -> None:
    with pytest.raises(InvalidRequest, match="reasoning"):
        encode(target, reasoning=ReasoningConfig(effort="low"), parameter_policy=STRICT)


@for_each(
    ("wanted", "body"),
    [
        (ReasoningConfig(effort="turbo"), {"thinking": IS_ADAPTIVE} | effort("turbo")),
        (ReasoningConfig(effort="none"), {"thinking": DISABLED}),
        (ReasoningConfig(budget_tokens=7), {"thinking": enabled(7)}),
        (ReasoningConfig(effort="low", budget_tokens=7), {"thinking": enabled(7)} | effort("low")),
        (ReasoningConfig(include_text=True), {"thinking": IS_ADAPTIVE | {"display": "summarized"}}),
        (ReasoningConfig(include_text=False), {"thinking": IS_ADAPTIVE | {"display": "omitted"}}),
        (ReasoningConfig(), {}),
    ],
)
def test_passthrough_leaves_all_to_the_provider(wanted: ReasoningConfig, body: Any) -> None:
    config = ChatConfig(temperature=0.3)
    encoded = encode(OLD, reasoning=wanted, config=config, parameter_policy=PASSTHROUGH)
    assert sent(encoded) == {"temperature": 0.3} | body
    assert told(encoded) == []


def test_passthrough_of_no_reasoning_leaves_out_a_budget_and_names_it() -> None:
    wanted = ReasoningConfig(effort="none", budget_tokens=2000)
    body = encode(WITH_BUDGET, reasoning=wanted, parameter_policy=PASSTHROUGH)
    assert sent(body) == {"thinking": DISABLED}
    assert told(body) == [(DROPPED, BUDGET)]


# -------------------------------------------------------------------------------------------------- beside a budget


@for_each(
    ("length", "asked", "budget", "is_given"),
    [
        (4000, 3999, 3999, True),
        (4000, 4000, 2000, False),
        (4000, 1, 1024, False),
        (1025, 5000, 1024, False),
        (1500, 1500, 1024, False),
    ],
)
def test_budget_lies_between_1024_and_the_length(length: int, asked: int, budget: int, is_given: bool) -> None:
    wanted = ReasoningConfig(budget_tokens=asked)
    body = encode(WITH_BUDGET, reasoning=wanted, config=ChatConfig(max_tokens=length))
    assert sent(body)["thinking"] == enabled(budget)
    assert json.loads(body.request.body)["max_tokens"] == length
    assert told(body) == ([] if is_given else [(CHANGED, BUDGET)])


@for_each("target", [WITH_BUDGET, WITH_BUDGET_AND_EFFORT])
def test_effort_is_worth_no_more_than_half_of_a_short_answer(target: Target) -> None:
    body = encode(target, reasoning=ReasoningConfig(effort="high"), config=ChatConfig(max_tokens=4000))
    assert sent(body)["thinking"] == enabled(2000)
    assert told(body) == [(CHANGED, EFFORT)]


@for_each("wanted", [ReasoningConfig(budget_tokens=2000), ReasoningConfig(effort="low")])
def test_length_without_room_for_a_budget_rules_it_out(wanted: ReasoningConfig) -> None:
    body = encode(WITH_BUDGET, reasoning=wanted, config=ChatConfig(max_tokens=1024))
    assert sent(body) == {}
    assert told(body) == [(DROPPED, "reasoning")]


@for_each(("budget", "length"), [(16_383, 16_384), (16_384, 20_480), (30_000, 34_096)])
def test_without_a_length_there_is_room_for_an_answer_beside_the_budget(budget: int, length: int) -> None:
    body = encode(WITH_BUDGET, reasoning=ReasoningConfig(budget_tokens=budget))
    assert (sent(body)["thinking"], json.loads(body.request.body)["max_tokens"]) == (enabled(budget), length)
    assert told(body) == []


def with_limit(tokens: int) -> Target:
    return replace(WITH_BUDGET, facts=replace(WITH_BUDGET.facts, max_output_tokens=tokens))


@for_each(
    ("limit", "asked", "budget", "length"),
    [
        (64_000, 59_904, 59_904, 64_000),
        (64_000, 63_999, 63_999, 64_000),
        (64_000, 64_000, 59_904, 64_000),
        (64_000, 10**6, 59_904, 64_000),
        (20_000, 19_000, 19_000, 20_000),
        (4_000, 4_000, 2_000, 4_000),
        (1_025, 2_000, 1_024, 1_025),
    ],
)
def test_room_for_a_budget_ends_where_the_model_does(limit: int, asked: int, budget: int, length: int) -> None:
    body = encode(with_limit(limit), reasoning=ReasoningConfig(budget_tokens=asked))
    assert (sent(body)["thinking"], json.loads(body.request.body)["max_tokens"]) == (enabled(budget), length)
    assert told(body) == ([] if asked == budget else [(CHANGED, BUDGET)])


def test_model_that_writes_too_little_has_no_room_for_a_budget() -> None:
    body = encode(with_limit(1024), reasoning=ReasoningConfig(budget_tokens=2000))
    assert sent(body) == {}
    assert told(body) == [(DROPPED, "reasoning")]
    assert json.loads(body.request.body)["max_tokens"] == 1024


@for_each("target", [WITH_BUDGET, ADAPTIVE_OR_BUDGET])
def test_sampling_that_does_not_go_with_thinking_is_left_out_and_named(target: Target) -> None:
    config = ChatConfig(temperature=0.5, top_k=5, top_p=0.9)
    body = encode(target, reasoning=ReasoningConfig(budget_tokens=2000), config=config)
    assert sent(body) == {"thinking": enabled(2000)}
    assert told(body) == [(DROPPED, f"config.{name}") for name in ("temperature", "top_k", "top_p")]


def test_sampling_that_goes_with_thinking_is_sent() -> None:
    body = encode(ADAPTIVE, reasoning=ReasoningConfig(effort="low"), config=ChatConfig(temperature=1, top_p=0.95))
    assert (sent(body)["temperature"], sent(body)["top_p"]) == (1, 0.95)
    assert told(body) == []


def test_sampling_that_says_nothing_needs_no_word() -> None:
    config = ChatConfig(temperature=1, top_p=1)
    assert told(encode(WITH_BUDGET, reasoning=ReasoningConfig(budget_tokens=2000), config=config)) == []


def test_sampling_without_thinking_is_sent() -> None:
    body = encode(WITH_BUDGET, reasoning=ReasoningConfig(effort="none"), config=ChatConfig(temperature=0.5))
    assert sent(body) == {"temperature": 0.5, "thinking": DISABLED}


@for_each(
    ("target", "wanted", "body", "notice"),
    [
        (WITH_BUDGET, ReasoningConfig(budget_tokens=2000), {}, DROPPED),
        (ADAPTIVE, ReasoningConfig(effort="low"), effort("low"), CHANGED),
    ],
)
@for_each("choice", [ToolChoice(tool_name="find"), ToolChoice(mode="TOOL_CHOICE_MODE_REQUIRED")])
def test_call_that_is_required_comes_before_thinking(
    target: Target, wanted: ReasoningConfig, body: Any, notice: str, choice: ToolChoice
) -> None:
    """Programs break without the call that they rely on, and not without thinking."""
    encoded = encode(target, reasoning=wanted, tools=[TOOL], tool_choice=choice, config=ChatConfig(temperature=0.5))
    left = sent(encoded)
    assert left.pop("tool_choice")["type"] in ("any", "tool")
    assert left == {"temperature": 0.5} | body
    assert told(encoded) == [(notice, "reasoning")]


@for_each(
    ("target", "wanted", "notices"),
    [
        (WITH_BUDGET, ReasoningConfig(effort="low"), [(DROPPED, "reasoning")]),
        (WITH_BUDGET, ReasoningConfig(budget_tokens=1), [(DROPPED, "reasoning")]),
        (WITH_BUDGET, ReasoningConfig(effort="low", budget_tokens=1), [(DROPPED, "reasoning")]),
        (ADAPTIVE_OR_BUDGET, ReasoningConfig(effort="low", budget_tokens=1), [(CHANGED, "reasoning")]),
        (WITH_BUDGET_AND_EFFORT, ReasoningConfig(effort="max"), [(CHANGED, EFFORT), (CHANGED, "reasoning")]),
    ],
)
def test_of_thinking_that_is_not_sent_nothing_else_is_told(
    target: Target, wanted: ReasoningConfig, notices: list[tuple[str, str]]
) -> None:
    body = encode(target, reasoning=wanted, tools=[TOOL], tool_choice=ToolChoice(tool_name="find"))
    assert "thinking" not in sent(body)
    assert told(body) == notices
    in_json = encode(target, reasoning=wanted, response_format=ResponseFormat(type="json_object"))
    assert told(in_json) == [(CHANGED, "response_format"), *notices]


def test_budget_that_there_is_no_room_for_is_told_once() -> None:
    wanted = ReasoningConfig(effort="low", budget_tokens=2000)
    body = encode(WITH_BUDGET, reasoning=wanted, config=ChatConfig(max_tokens=1024))
    assert sent(body) == {}
    assert told(body) == [(DROPPED, "reasoning")]


def test_model_that_always_thinks_also_does_before_a_call_that_is_required() -> None:
    choice = ToolChoice(tool_name="find")
    body = encode(ALWAYS_REASONING, reasoning=ReasoningConfig(effort="low"), tools=[TOOL], tool_choice=choice)
    assert sent(body)["thinking"] == IS_ADAPTIVE
    assert told(body) == []


FOUND = ChatMessage(role="tool", tool_call_id="a", content="found")
THINKING = ContentPart(provider_state=state('{"type":"thinking","thinking":"Hm","signature":"c2ln"}'))
CALL = ContentPart(tool_call=ToolCall(id="a", name="find", arguments_json="{}"))


def test_budget_does_not_begin_within_a_turn() -> None:
    """The API wants such a turn to have begun with thinking: another model, or one without a budget, began it."""
    body = encode(WITH_BUDGET, [HELLO, assistant(CALL), FOUND], reasoning=ReasoningConfig(budget_tokens=2000))
    assert sent(body) == {}
    assert told(body) == [(DROPPED, "reasoning")]


def test_budget_goes_on_within_a_turn() -> None:
    messages = [HELLO, assistant(THINKING, CALL), FOUND]
    body = encode(WITH_BUDGET, messages, reasoning=ReasoningConfig(budget_tokens=2000))
    assert sent(body) == {"thinking": enabled(2000)}


THOUGHT, CALLED = assistant(THINKING, CALL), assistant(CALL)
SO = ChatMessage(role="user", content="So?")


@for_each(
    ("messages", "began_with_thinking"),
    [
        # It thinks once in a turn, however many calls that has.
        ([HELLO, THOUGHT, FOUND, CALLED, FOUND], True),
        ([HELLO, THOUGHT, FOUND, CALLED, FOUND, CALLED, FOUND], True),
        ([HELLO, CALLED, FOUND, THOUGHT, FOUND], False),
        # A question begins the next turn, also beside results.
        ([HELLO, THOUGHT, FOUND, SO, CALLED, FOUND], False),
        ([HELLO, CALLED, FOUND, SO, THOUGHT, FOUND, CALLED, FOUND], True),
        ([HELLO, CALLED, FOUND, SO], True),
        ([HELLO, CALLED, FOUND, assistant(ContentPart(text="Found.")), SO], True),
        # System text does not.
        ([HELLO, THOUGHT, FOUND, system("Be brief."), CALLED, FOUND], True),
        ([HELLO, CALLED, FOUND, system("Be brief."), THOUGHT, FOUND], False),
    ],
)
def test_turn_that_began_with_thinking_has_a_budget(messages: list[ChatMessage], began_with_thinking: bool) -> None:
    target = replace(WITH_BUDGET, facts=replace(WITH_BUDGET.facts, system_turns=True))
    body = encode(target, messages, reasoning=ReasoningConfig(budget_tokens=2000))
    assert ("thinking" in sent(body)) == began_with_thinking
    assert told(body) == ([] if began_with_thinking else [(DROPPED, "reasoning")])
