"""ReasoningConfig → members of a chat completion's body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto import models_pb2
from proto.models_pb2 import ChatConfig, ReasoningConfig
from services.models.providers.base import Target
from services.models.providers.facts import ModelFacts, ReasoningFacts
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.providers.openai.select import OPENAI
from services.models.providers.requests.efforts import SCALE, effort_of_budget, nearest_effort
from services.models.providers.vllm import VLLM
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.openai_bodies import COMPATIBLE, GPT_4O, ON_VLLM, encode, openai_target, own_target, told

PASSTHROUGH = models_pb2.PARAMETER_POLICY_PASSTHROUGH
STRICT = models_pb2.PARAMETER_POLICY_STRICT
SAMPLING = ["temperature", "top_p", "frequency_penalty", "presence_penalty"]
SAMPLED = ChatConfig(temperature=0, top_p=0.5, frequency_penalty=-1, presence_penalty=1)


def reasoner(*efforts: str, on_by_default: bool = False) -> Target:
    """A model of OpenAI's that takes these efforts."""
    known = ReasoningFacts(efforts, on_by_default=on_by_default, excludes=frozenset([*SAMPLING, "stop_sequences"]))
    return openai_target("thinker", ModelFacts(can_reason=True, reasoning=known))


UNKNOWN = openai_target("new", ModelFacts())


def asked(target: Target, config: ChatConfig | None = None, policy: int = 0, **reasoning: Any) -> tuple[Any, Any]:
    """What is sent beside the messages, and what is told."""
    body = encode(target, config=config, reasoning=ReasoningConfig(**reasoning), parameter_policy=policy)
    sent = json.loads(body.request.body)
    return {name: value for name, value in sent.items() if name not in ("model", "messages")}, told(body)


# ---------------------------------------------------------------------------------------------------------- effort


@for_each("target", [reasoner("none", "low", "high"), UNKNOWN, COMPATIBLE])
@for_each("effort", ["none", "low", "high"])
def test_effort_that_is_taken_is_sent(target: Target, effort: str) -> None:
    assert asked(target, effort=effort) == ({"reasoning_effort": effort}, [])


@for_each("target", [UNKNOWN, reasoner(), COMPATIBLE, own_target(OPENAI_COMPATIBLE, ModelFacts())])
def test_any_word_is_sent_where_the_words_are_not_known(target: Target) -> None:
    assert asked(target, effort="ponder") == ({"reasoning_effort": "ponder"}, [])


def test_effort_that_is_not_taken_becomes_the_nearest_and_is_named() -> None:
    assert asked(reasoner("low", "medium", "high"), effort="xhigh") == (
        {"reasoning_effort": "high"},
        [("PARAMETER_CHANGED", "reasoning.effort")],
    )


def test_word_that_nobody_knows_is_left_out_and_named() -> None:
    assert asked(reasoner("low", "high"), effort="ponder") == ({}, [("PARAMETER_DROPPED", "reasoning.effort")])


def test_strict_refuses_an_effort_that_is_not_taken() -> None:
    with pytest.raises(InvalidRequest, match=r"reasoning\.effort"):
        asked(reasoner("low", "high"), policy=STRICT, effort="xhigh")


def test_passthrough_sends_an_effort_that_is_not_taken() -> None:
    assert asked(reasoner("low", "high"), policy=PASSTHROUGH, effort="ponder") == ({"reasoning_effort": "ponder"}, [])
    assert asked(GPT_4O, policy=PASSTHROUGH, effort="low") == ({"reasoning_effort": "low"}, [])


@for_each(
    ("effort", "taken", "nearest"),
    [
        ("none", ("minimal", "low"), "minimal"),
        ("minimal", ("none", "low"), "low"),
        ("low", ("none", "high"), "high"),
        ("medium", ("low", "high"), "low"),
        ("max", ("none",), "none"),
        ("max", ("high", "low"), "high"),
        ("high", (), None),
        ("high", ("deep",), None),
        ("deep", SCALE, None),
    ],
)
def test_nearest_effort_never_turns_reasoning_off_that_was_asked_for(
    effort: str, taken: tuple[str, ...], nearest: str | None
) -> None:
    assert nearest_effort(effort, taken) == nearest


# ---------------------------------------------------------------------------------------------------------- budget


def test_budget_becomes_an_effort_and_is_named() -> None:
    for target in (UNKNOWN, COMPATIBLE, reasoner(*SCALE)):
        assert asked(target, budget_tokens=4096) == (
            {"reasoning_effort": "medium"},
            [("PARAMETER_CHANGED", "reasoning.budget_tokens")],
        )


def test_budget_becomes_an_effort_that_the_model_takes() -> None:
    assert asked(reasoner("high"), budget_tokens=1024)[0] == {"reasoning_effort": "high"}


def test_more_budget_is_never_less_effort() -> None:
    efforts = [effort_of_budget(tokens) for tokens in (1, 1024, 2048, 2049, 8192, 8193, 1_000_000)]
    assert efforts == ["low", "low", "low", "medium", "medium", "high", "high"]


def test_effort_wins_over_a_budget_which_is_named() -> None:
    assert asked(UNKNOWN, effort="low", budget_tokens=4096) == (
        {"reasoning_effort": "low"},
        [("PARAMETER_DROPPED", "reasoning.budget_tokens")],
    )


# ---------------------------------------------------------------------------------------- its text, and none at all


@for_each(
    ("target", "wanted", "told"),
    [
        (UNKNOWN, True, [("PARAMETER_DROPPED", "reasoning.include_text")]),
        (UNKNOWN, False, []),
        (COMPATIBLE, True, [("PARAMETER_DROPPED", "reasoning.include_text")]),
        (COMPATIBLE, False, [("PARAMETER_DROPPED", "reasoning.include_text")]),
    ],
)
def test_text_of_reasoning_cannot_be_asked_for(target: Target, wanted: bool, told: list[tuple[str, str]]) -> None:
    """OpenAI shows none in Chat Completions, so that not to want it is nothing to tell of."""
    assert asked(target, include_text=wanted) == ({}, told)


@for_each("dialect", [OPENAI, OPENAI_COMPATIBLE, VLLM], ids=lambda dialect: dialect.name)
def test_model_that_does_not_reason_is_asked_for_none_and_all_is_named(dialect: Any) -> None:
    target = own_target(dialect, ModelFacts(can_reason=False))
    assert asked(target, effort="low", budget_tokens=2048, include_text=True) == (
        {},
        [("PARAMETER_DROPPED", f"reasoning.{name}") for name in ("effort", "budget_tokens", "include_text")],
    )
    assert asked(target, effort="none", include_text=False) == ({}, [])


# ------------------------------------------------------------------------------------------------------------ vLLM


@for_each(
    ("wanted", "sent"),
    [
        ({"effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"effort": "high"}, {"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": True}}),
        ({"budget_tokens": 512}, {"thinking_token_budget": 512}),
        ({"include_text": False}, {"include_reasoning": False}),
        ({"include_text": True}, {"include_reasoning": True}),
        (
            {"effort": "low", "budget_tokens": 2048, "include_text": True},
            {
                "reasoning_effort": "low",
                "chat_template_kwargs": {"enable_thinking": True},
                "thinking_token_budget": 2048,
                "include_reasoning": True,
            },
        ),
    ],
)
def test_vllm_is_told_all_of_it(wanted: dict[str, Any], sent: dict[str, Any]) -> None:
    assert asked(ON_VLLM, **wanted) == (sent, [])


def test_variables_of_the_chat_template_are_kept_beside_the_switch() -> None:
    target = own_target(VLLM, default_options_json='{"chat_template_kwargs": {"thinking": true}}')
    sent, _ = asked(target, effort="none")
    assert sent == {"chat_template_kwargs": {"thinking": True, "enable_thinking": False}}


# -------------------------------------------------------------------------------------------------------- sampling


@for_each(
    ("target", "effort"),
    [
        (reasoner("none", "low"), "low"),
        (reasoner("none", "low", on_by_default=True), ""),
        (reasoner("none", "low", on_by_default=True), "low"),
    ],
)
def test_what_a_model_excludes_is_left_out_while_it_reasons_and_named(target: Target, effort: str) -> None:
    sent, notices = asked(target, SAMPLED, effort=effort)
    assert sent == ({"reasoning_effort": effort} if effort else {})
    assert notices == [("PARAMETER_DROPPED", f"config.{name}") for name in SAMPLING]


@for_each(
    ("target", "effort"),
    [
        (reasoner("none", "low"), ""),
        (reasoner("none", "low"), "none"),
        (reasoner("none", "low", on_by_default=True), "none"),
        (UNKNOWN, "low"),
        (COMPATIBLE, "low"),
        (own_target(OPENAI_COMPATIBLE, ModelFacts(reasoning=ReasoningFacts(on_by_default=True))), "low"),
    ],
)
def test_sampling_is_sent_while_the_model_does_not_reason_or_excludes_nothing(target: Target, effort: str) -> None:
    sent, notices = asked(target, SAMPLED, effort=effort)
    assert [name for name in SAMPLING if name in sent] == SAMPLING
    assert notices == []


def test_stop_sequences_are_excluded_where_the_facts_say_so() -> None:
    config = ChatConfig(stop_sequences=["END"], seed=7)
    sent, notices = asked(reasoner("none", "low"), config, effort="low")
    assert sent == {"reasoning_effort": "low", "seed": 7}
    assert notices == [("PARAMETER_DROPPED", "config.stop_sequences")]
    sent, notices = asked(reasoner("none", "low"), config, effort="none")
    assert (sent["stop"], notices) == (["END"], [])


def test_values_that_say_what_is_so_anyway_are_left_out_without_a_word() -> None:
    """Libraries send them without being asked to; STRICT has nothing against them."""
    config = ChatConfig(temperature=1, top_p=1, frequency_penalty=0, presence_penalty=0)
    assert asked(reasoner("low"), config, STRICT, effort="low") == ({"reasoning_effort": "low"}, [])


def test_effort_that_was_changed_decides_about_sampling() -> None:
    """A model that cannot but reason refuses sampling, whatever was asked."""
    sent, notices = asked(reasoner("low", on_by_default=True), ChatConfig(temperature=0), effort="none")
    assert sent == {"reasoning_effort": "low"}
    assert notices == [("PARAMETER_CHANGED", "reasoning.effort"), ("PARAMETER_DROPPED", "config.temperature")]


def test_passthrough_sends_sampling_to_a_model_that_reasons() -> None:
    sent, notices = asked(reasoner("low"), ChatConfig(temperature=0), PASSTHROUGH, effort="low")
    assert sent == {"temperature": 0, "reasoning_effort": "low"}
    assert notices == []
