"""What a model takes, and what becomes of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from proto import models_pb2
from proto.models_pb2 import ChatConfig, ChatMessage, ChatRequest, ContentPart, Reasoning
from services.models.providers.anthropic.dialect import ANTHROPIC
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.encoding import encode
from services.models.providers.facts import ModelFacts
from services.models.providers.openai.select import OPENAI
from services.models.providers.requests.options import merge_options
from services.models.providers.requests.parameters import fit
from services.shared.errors import InvalidRequest
from tests.rows import for_each

ADAPT = models_pb2.PARAMETER_POLICY_ADAPT
STRICT = models_pb2.PARAMETER_POLICY_STRICT
PASSTHROUGH = models_pb2.PARAMETER_POLICY_PASSTHROUGH

CHOOSY = ModelFacts(
    unsupported=frozenset({"seed", "stop_sequences"}), exclusive=("temperature", "top_p"), max_temperature=1.0
)


def fitted(config: ChatConfig, facts: ModelFacts = CHOOSY, **fields: Any) -> tuple[dict[str, Any], list[Any]]:
    given, warnings = fit(ChatRequest(config=config, **fields), facts, "m")
    return given, [(warning.code, warning.field) for warning in warnings]


def test_nothing_set_is_nothing_sent() -> None:
    assert fit(ChatRequest(), CHOOSY, "m") == ({}, [])
    assert fitted(ChatConfig()) == ({}, [])


def test_zero_is_set() -> None:
    config = ChatConfig(temperature=0, seed=0, frequency_penalty=0, presence_penalty=0, top_p=0)
    assert fitted(config, ModelFacts())[0] == {
        "temperature": 0,
        "top_p": 0,
        "seed": 0,
        "frequency_penalty": 0,
        "presence_penalty": 0,
    }


@for_each("policy", [models_pb2.PARAMETER_POLICY_UNSPECIFIED, ADAPT])
def test_every_change_is_told(policy: models_pb2.ParameterPolicy) -> None:
    config = ChatConfig(seed=1, stop_sequences=["x"], temperature=1.5, top_p=0.5, max_tokens=9)
    assert fitted(config, parameter_policy=policy) == (
        {"temperature": 1.0, "max_tokens": 9},
        [
            ("PARAMETER_DROPPED", "config.seed"),
            ("PARAMETER_DROPPED", "config.stop_sequences"),
            ("PARAMETER_DROPPED", "config.top_p"),
            ("PARAMETER_CHANGED", "config.temperature"),
        ],
    )


def test_what_fits_is_not_touched() -> None:
    assert fitted(ChatConfig(temperature=1.0, top_k=3)) == ({"temperature": 1.0, "top_k": 3}, [])
    assert fitted(ChatConfig(top_p=0.5)) == ({"top_p": 0.5}, [])


def encoded(config: ChatConfig, **fields: Any) -> Encoded:
    """The body of a chat with a choosy model, by way of what every dialect goes through."""
    messages = [ChatMessage(role="user", content="Hello")]
    request = ChatRequest(config=config, messages=messages, **fields)
    target = Target(OPENAI, "openai", "m", "http://x/v1", {}, CHOOSY)
    return encode(Conversation(request, request.messages), target, stream=False)


def test_strict_refuses_all_at_once() -> None:
    with pytest.raises(InvalidRequest) as raised:
        encoded(ChatConfig(seed=1, temperature=1.5, frequency_penalty=1), parameter_policy=STRICT)
    assert raised.value.reason == "PARAMETER_UNSUPPORTED"
    assert [violation.field for violation in raised.value.violations] == ["config.seed", "config.temperature"]


def test_strict_takes_what_needs_no_change() -> None:
    body = encoded(ChatConfig(temperature=0.5), parameter_policy=STRICT)
    assert b'"temperature":0.5' in body.request.body
    assert not body.notices


def test_strict_holds_for_the_request_and_not_for_the_history_of_its_session() -> None:
    image = models_pb2.Media(url="https://x/a.png", detail="low", mime_type="application/pdf")
    shown = ChatMessage(role="user", parts=[ContentPart(media=image)])
    request = ChatRequest(messages=[ChatMessage(role="user", content="x")], parameter_policy=STRICT)
    target = Target(ANTHROPIC, "anthropic", "m", "", {}, ModelFacts(default_max_tokens=9))
    body = encode(Conversation(request, [shown, *request.messages], added=["session_id"]), target, stream=False)
    assert [notice.code for notice in body.notices] == ["PARAMETER_DROPPED"]


def test_notices_of_other_kinds_are_no_refusal() -> None:
    """STRICT is about what the caller set for the model; a warning from elsewhere is for reading."""
    with_state = ChatMessage(
        role="assistant", parts=[ContentPart(text="x"), ContentPart(reasoning=Reasoning(text="r"))]
    )
    request = ChatRequest(parameter_policy=STRICT, messages=[with_state, ChatMessage(role="user", content="Hello")])
    target = Target(OPENAI, "openai", "m", "http://x/v1", {}, CHOOSY)
    body = encode(Conversation(request, request.messages), target, stream=False)
    assert [notice.field for notice in body.notices] == ["messages[0].parts[1]"]


def test_strict_has_nothing_against_what_fits() -> None:
    assert fitted(ChatConfig(temperature=0.5), parameter_policy=STRICT) == ({"temperature": 0.5}, [])


def test_passthrough_leaves_it_to_the_provider() -> None:
    config = ChatConfig(seed=1, temperature=1.5, top_p=0.5, parallel_tool_calls=True)
    assert fitted(config, parameter_policy=PASSTHROUGH) == (
        {"seed": 1, "temperature": 1.5, "top_p": 0.5, "parallel_tool_calls": True},
        [],
    )


def test_request_is_not_changed() -> None:
    request = ChatRequest(config=ChatConfig(seed=1, temperature=1.5))
    before = request.SerializeToString(deterministic=True)
    fit(request, CHOOSY, "m")
    assert request.SerializeToString(deterministic=True) == before


# --------------------------------------------------------------------------------------------------------- options


def merged(body: dict[str, Any], defaults: str = "", options: str = "") -> dict[str, Any]:
    merge_options(body, defaults, options)
    return {name: value if isinstance(value, dict) else plain(value) for name, value in body.items()}


def plain(value: Any) -> Any:
    return value if isinstance(value, str | int) else bytes(value).decode()


def test_defaults_that_are_null_take_their_members_out() -> None:
    body = {"a": 1, "b": {"c": 2, "d": 3}}
    assert merged(body, defaults='{"a": null, "b": {"c": null}}') == {"b": {"d": 3}}
    assert merged({"b": 5}, defaults='{"b": {"c": null}}') == {"b": 5}


def test_defaults_lie_under_the_body_and_options_over_it() -> None:
    assert merged({"a": 1, "b": 1}, '{"b": 2, "c": 2, "d": 2}', '{"a": 3, "d": 3.0}') == {
        "a": "3",
        "b": 1,
        "c": "2",
        "d": "3.0",
    }


def test_objects_are_merged_one_level_deep() -> None:
    body = {"o": {"mine": {"x": 1}, "both": 1}, "n": 1}
    result = merged(body, '{"o": {"both": 2, "theirs": {"y": 2}}}', '{"o": {"mine": null}, "n": {"z": 3}}')
    assert {name: plain(value) for name, value in result["o"].items()} == {
        "both": 1,
        "theirs": '{"y": 2}',
        "mine": "null",
    }
    assert result["n"] == '{"z": 3}'


@for_each("value", ["null", "7", "[1]", '"text"'])
def test_what_is_no_object_replaces_one(value: str) -> None:
    assert merged({"o": {"mine": 1}}, options=f'{{"o": {value}}}') == {"o": value}
    below = merged({"o": {"mine": 1}}, defaults=f'{{"o": {value}}}')
    # A registration takes a member out of every body so.
    assert below == ({} if value == "null" else {"o": {"mine": 1}})
