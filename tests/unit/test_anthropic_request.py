"""ChatRequest → the body of POST /v1/messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto import models_pb2
from proto.models_pb2 import ChatConfig, ChatMessage, ContentPart, ToolCall
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.anthropic_bodies import CLAUDE, HELLO, STRICT, body_of, encode, model, sent, text, told


def turns(*messages: ChatMessage) -> Any:
    return body_of(CLAUDE, messages)["messages"]


# ------------------------------------------------------------------------------------------------------- messages


def test_system_text_within_the_conversation_is_moved_and_named() -> None:
    messages = [
        ChatMessage(role="system", content="First."),
        HELLO,
        ChatMessage(role="developer", content="Second."),
        ChatMessage(role="assistant", content="Hi."),
    ]
    body = encode(messages=messages)
    whole = json.loads(body.request.body)
    assert whole["system"] == [text("First."), text("Second.")]
    assert [turn["role"] for turn in whole["messages"]] == ["user", "assistant"]
    assert told(body) == [("SYSTEM_MESSAGE_MOVED", "messages[2]")]


def test_system_text_alone_is_refused() -> None:
    with pytest.raises(InvalidRequest) as raised:
        encode(messages=[ChatMessage(role="system", content="Be brief.")])
    assert [violation.field for violation in raised.value.violations] == ["messages"]


def test_empty_texts_are_not_sent() -> None:
    """Messages refuses them."""
    empty = ChatMessage(role="assistant", parts=[ContentPart(text=""), ContentPart(text="Hi.")])
    assert turns(HELLO, empty)[1:] == [{"role": "assistant", "content": [text("Hi.")]}]


def test_arguments_byte_for_byte() -> None:
    arguments = '{ "n":12345678901234567890123,\n "r": 1.50, "s": "\\u00e9\\/" }'
    call = ToolCall(id="a", name="find", arguments_json=arguments)
    assert arguments.encode() in encode(messages=[HELLO, ChatMessage(role="assistant", tool_calls=[call])]).request.body


@for_each(
    "arguments", ["[1, 2]", "not JSON", '"text"', '{"cut": "of', '{"half": "\\ud83d"}', '\ufeff{"n": 1}', "{\x00}\x00"]
)
@for_each("as_part", [False, True])
def test_arguments_that_are_no_object_are_wrapped_and_named(arguments: str, as_part: bool) -> None:
    call = ToolCall(id="a", name="find", arguments_json=arguments)
    message = ChatMessage(role="assistant", tool_calls=[call])
    if as_part:
        message = ChatMessage(role="assistant", parts=[ContentPart(tool_call=call)])
    found = ChatMessage(role="tool", tool_call_id="a", content="found")
    body = encode(messages=[HELLO, message, found])
    assert json.loads(body.request.body)["messages"][1]["content"][0]["input"] == {"arguments": arguments}
    field = "parts[0]" if as_part else "tool_calls[0]"
    assert told(body) == [("TOOL_ARGUMENTS_WRAPPED", f"messages[1].{field}")]


# ----------------------------------------------------------------------------------------------------- parameters


def test_what_messages_does_not_know_is_left_out_and_named() -> None:
    config = ChatConfig(seed=0, frequency_penalty=0.5, presence_penalty=0.5, temperature=1.5, top_p=0.5)
    body = encode(config=config)
    assert sent(body) == {"temperature": 1.0}
    assert told(body) == [
        ("PARAMETER_DROPPED", "config.frequency_penalty"),
        ("PARAMETER_DROPPED", "config.presence_penalty"),
        ("PARAMETER_DROPPED", "config.seed"),
        ("PARAMETER_DROPPED", "config.top_p"),
        ("PARAMETER_CHANGED", "config.temperature"),
    ]


def test_strict_refuses_and_names_each() -> None:
    config = ChatConfig(seed=0, temperature=0.5, top_p=0.5)
    with pytest.raises(InvalidRequest) as raised:
        encode(config=config, parameter_policy=STRICT)
    assert [violation.field for violation in raised.value.violations] == ["config.seed", "config.top_p"]


# ---------------------------------------------------------------------------------------------- provider's options


def test_options_reach_the_body_and_win() -> None:
    options = {
        "anthropic": '{"thinking": {"type": "adaptive"}, "max_tokens": 50, "service_tier": "auto"}',
        "openai": '{"service_tier": "flex"}',
    }
    body = body_of(config=ChatConfig(max_tokens=100), provider_options_json=options)
    assert (body["max_tokens"], body["service_tier"], body["thinking"]) == (50, "auto", {"type": "adaptive"})


def test_option_beside_the_response_format_does_not_replace_it() -> None:
    body = body_of(
        response_format=models_pb2.ResponseFormat(type="json_schema", schema_json="{}"),
        provider_options_json={"anthropic": '{"output_config": {"effort": "low"}}'},
    )
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": {}}, "effort": "low"}


@for_each(
    ("option", "streams"),
    [
        ("{}", False),
        ('{"max_tokens": 21333}', False),
        ('{"max_tokens": 21334}', True),
        ('{"max_tokens": "many"}', False),
        ('{"max_tokens": true}', False),
    ],
)
def test_whole_answer_that_may_be_long_is_asked_for_as_a_stream(option: str, streams: bool) -> None:
    encoded = encode(config=ChatConfig(max_tokens=100), provider_options_json={"anthropic": option})
    assert encoded.streams is streams
    assert json.loads(encoded.request.body).get("stream", False) is streams


def test_length_that_nobody_set_is_the_models_or_the_registrations() -> None:
    assert body_of()["max_tokens"] == 16_384
    assert body_of(model('{"max_tokens": 900}'))["max_tokens"] == 900


def test_length_that_nobody_set_is_no_longer_than_the_model_can() -> None:
    assert body_of(model(max_output_tokens=2_000))["max_tokens"] == 2_000


@for_each(("asked", "length"), [(None, 900), (5, 5)])
def test_default_length_of_a_registration_lies_under_the_requests(asked: int | None, length: int) -> None:
    body = body_of(model('{"max_tokens": 900, "top_k": 3}'), config=ChatConfig(max_tokens=asked))
    assert (body["max_tokens"], body["top_k"]) == (length, 3)
