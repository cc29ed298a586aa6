"""ChatRequest → the body of a chat completion."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from proto import models_pb2
from proto.models_pb2 import ChatConfig, ChatMessage, ToolDefinition
from services.models.providers.base import Target
from services.models.providers.facts import ModelFacts
from services.models.providers.openai.select import OPENAI
from services.models.providers.vllm import VLLM
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.openai_bodies import (
    COMPATIBLE,
    GPT_4O,
    GPT_5,
    ON_VLLM,
    body_of,
    encode,
    openai_target,
    own_target,
    told,
)

# ----------------------------------------------------------------------------------------------------- parameters

EVERYTHING = ChatConfig(
    temperature=0.7,
    max_tokens=100,
    top_p=0.9,
    stop_sequences=["END", "\n\n"],
    seed=-7,
    top_k=40,
    frequency_penalty=-0.5,
    presence_penalty=1.5,
    parallel_tool_calls=False,
)
TOOL = ToolDefinition(name="find")
REFUSED_BY_GPT_5 = ["frequency_penalty", "presence_penalty", "stop_sequences", "temperature", "top_k", "top_p"]


def parameters(target: Target, config: ChatConfig, **fields: Any) -> Any:
    body = body_of(target, config=config, tools=[TOOL], **fields)
    return {name: value for name, value in body.items() if name not in ("model", "messages", "tools")}


@for_each(
    ("model", "name"),
    [
        ("gpt-4o", "max_tokens"),
        ("gpt-4.1-mini", "max_tokens"),
        ("gpt-3.5-turbo", "max_tokens"),
        ("chatgpt-4o-latest", "max_tokens"),
        ("ft:gpt-4o-mini:acme::id", "max_tokens"),
        ("o1", "max_completion_tokens"),
        ("o3", "max_completion_tokens"),
        ("o4-mini", "max_completion_tokens"),
        ("gpt-5", "max_completion_tokens"),
        ("gpt-5.1", "max_completion_tokens"),
        ("gpt-6-luna", "max_completion_tokens"),
    ],
)
def test_max_tokens_under_the_name_that_the_model_takes(model: str, name: str) -> None:
    target = openai_target(model)
    assert parameters(target, ChatConfig(max_tokens=5)) == {name: 5}


def test_reasoning_models_are_not_sent_what_they_refuse_and_the_caller_is_told() -> None:
    body = encode(GPT_5, config=EVERYTHING, tools=[TOOL])
    sent = json.loads(body.request.body)
    assert sent.keys() == {
        "model",
        "messages",
        "tools",
        "max_completion_tokens",
        "seed",
        "parallel_tool_calls",
    }
    assert told(body) == [("PARAMETER_DROPPED", f"config.{name}") for name in REFUSED_BY_GPT_5]


def test_o3_takes_no_stop_sequences() -> None:
    body = encode(openai_target("o3"), config=ChatConfig(stop_sequences=["END"]))
    assert "stop" not in json.loads(body.request.body)
    assert told(body) == [("PARAMETER_DROPPED", "config.stop_sequences")]


def test_strict_refuses_and_names_each() -> None:
    with pytest.raises(InvalidRequest) as raised:
        encode(GPT_5, config=EVERYTHING, tools=[TOOL], parameter_policy=models_pb2.PARAMETER_POLICY_STRICT)
    assert raised.value.reason == "PARAMETER_UNSUPPORTED"
    assert [violation.field for violation in raised.value.violations] == [f"config.{name}" for name in REFUSED_BY_GPT_5]


def test_parallel_tool_calls_without_tools_are_left_out_and_named() -> None:
    """OpenAI answers 400 to them."""
    body = encode(config=ChatConfig(parallel_tool_calls=True))
    assert "parallel_tool_calls" not in json.loads(body.request.body)
    assert told(body) == [("PARAMETER_DROPPED", "config.parallel_tool_calls")]


def test_end_user_with_an_id_longer_than_openai_takes() -> None:
    assert body_of(GPT_4O, end_user_id="u" * 64)["safety_identifier"] == "u" * 64
    body = encode(GPT_4O, end_user_id="u" * 65)
    assert told(body) == [("PARAMETER_CHANGED", "end_user_id")]
    assert json.loads(body.request.body)["safety_identifier"] == hashlib.sha256(b"u" * 65).hexdigest()
    assert body_of(COMPATIBLE, end_user_id="u" * 1024)["user"] == "u" * 1024


def test_tags_and_names_of_ours_are_not_sent() -> None:
    assert body_of(tags={"team": "a"}).keys() == {"model", "messages"}


# ---------------------------------------------------------------------------------------------------------- tools

SCHEMA = '{ "type":"object",\n "properties": {"n": {"maximum": 12345678901234567890123, "const": 1.50}} }'
STRICT_SCHEMA = (
    '{ "type":"object", "properties": {"n": {"type": "number", "const": 1.50}},'
    ' "required": ["n"], "additionalProperties":false }'
)


def test_tools_with_their_schema_byte_for_byte() -> None:
    tools = [
        ToolDefinition(name="find", description="Finds.", parameters_json=SCHEMA, strict=False),
        ToolDefinition(name="keep", parameters_json=STRICT_SCHEMA, strict=True),
        TOOL,
    ]
    body = encode(tools=tools)
    assert SCHEMA.encode() in body.request.body
    assert STRICT_SCHEMA.encode() in body.request.body
    assert told(body) == []
    assert json.loads(body.request.body)["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "find",
                "description": "Finds.",
                "parameters": json.loads(SCHEMA),
                "strict": False,
            },
        },
        {
            "type": "function",
            "function": {"name": "keep", "parameters": json.loads(STRICT_SCHEMA), "strict": True},
        },
        {"type": "function", "function": {"name": "find"}},
    ]


@for_each("place", ["tools[1].parameters_json", "response_format.schema_json"])
@for_each("target", [ON_VLLM, COMPATIBLE], ids=["vllm", "openai-compatible"])
def test_strict_schemas_are_sent_to_other_servers_as_they_are(target: Target, place: str) -> None:
    body = encode(target, **strict_schema(place))
    assert SCHEMA.encode() in body.request.body
    assert told(body) == []


@for_each("place", ["tools[1].parameters_json", "response_format.schema_json"])
def test_passthrough_sends_strict_schemas_as_they_are(place: str) -> None:
    body = encode(GPT_4O, parameter_policy=models_pb2.PARAMETER_POLICY_PASSTHROUGH, **strict_schema(place))
    assert SCHEMA.encode() in body.request.body
    assert told(body) == []


def test_passthrough_sends_arguments_of_any_type_as_they_are() -> None:
    tool = ToolDefinition(name="keep", parameters_json='{"type":"array"}')
    body = encode(GPT_4O, parameter_policy=models_pb2.PARAMETER_POLICY_PASSTHROUGH, tools=[tool])
    assert b'"parameters":{"type":"array"}' in body.request.body


def strict_schema(place: str) -> dict[str, Any]:
    if place.startswith("tools"):
        return {"tools": [TOOL, ToolDefinition(name="keep", parameters_json=SCHEMA, strict=True)]}
    return {"response_format": models_pb2.ResponseFormat(type="json_schema", schema_json=SCHEMA, strict=True)}


@for_each("choice", [models_pb2.ToolChoice(), models_pb2.ToolChoice(mode="TOOL_CHOICE_MODE_UNSPECIFIED")])
def test_tool_choice_that_chooses_nothing_is_not_sent(choice: models_pb2.ToolChoice) -> None:
    assert "tool_choice" not in body_of(tools=[TOOL], tool_choice=choice)


def test_tool_choice_without_tools_is_not_sent() -> None:
    """OpenAI answers 400 to it, and without tools none is called anyway."""
    choice = models_pb2.ToolChoice(mode="TOOL_CHOICE_MODE_NONE")
    assert body_of(tool_choice=choice).keys() == {"model", "messages"}


FORCED = [models_pb2.ToolChoice(mode="TOOL_CHOICE_MODE_REQUIRED"), models_pb2.ToolChoice(tool_name="find")]


@for_each("choice", FORCED, ids=["required", "named"])
def test_model_that_cannot_be_made_to_call_a_tool_is_left_to_choose(choice: models_pb2.ToolChoice) -> None:
    target = own_target(OPENAI, ModelFacts(forced_tool_choice=False))
    body = encode(target, tools=[TOOL], tool_choice=choice)
    assert json.loads(body.request.body)["tool_choice"] == "auto"
    assert told(body) == [("PARAMETER_CHANGED", "tool_choice")]
    as_given = encode(
        target, tools=[TOOL], tool_choice=choice, parameter_policy=models_pb2.PARAMETER_POLICY_PASSTHROUGH
    )
    assert json.loads(as_given.request.body)["tool_choice"] != "auto"


# -------------------------------------------------------------------------------------------------- response format


# ---------------------------------------------------------------------------------------------- provider's options


def test_options_reach_their_provider_only() -> None:
    options = {"openai": '{"service_tier": "flex"}', "vllm": '{"min_p": 0.10}', "anthropic": '{"speed": "fast"}'}
    assert body_of(GPT_4O, provider_options_json=options)["service_tier"] == "flex"
    on_vllm = encode(ON_VLLM, provider_options_json=options)
    assert b'"min_p":0.10' in on_vllm.request.body
    assert json.loads(on_vllm.request.body).keys() == {"model", "messages", "min_p"}
    assert body_of(COMPATIBLE, provider_options_json=options).keys() == {"model", "messages"}


def test_options_win_over_the_request_and_defaults_lie_under_it() -> None:
    defaults = '{"temperature": 1, "top_k": 5, "min_p": 0.1, "n_probs": 2}'
    target = own_target(VLLM, default_options_json=defaults)
    sent = body_of(
        target,
        config=ChatConfig(temperature=0, top_k=7),
        provider_options_json={"vllm": '{"top_k": 9, "min_p": 0.2}'},
    )
    del sent["messages"]
    assert sent == {"model": "qwen", "temperature": 0, "top_k": 9, "min_p": 0.2, "n_probs": 2}


def test_lists_of_options_are_joined_to_those_of_the_request() -> None:
    options = {"vllm": '{"stop": ["\\n\\n", "\\u0041"], "tools": [{ "type":"other" }], "allowed": [1.50, 1.50]}'}
    body = encode(
        ON_VLLM, config=ChatConfig(stop_sequences=["END", "\n\n"]), tools=[TOOL], provider_options_json=options
    )
    assert b'"stop":["END","\\n\\n","\\u0041"]' in body.request.body
    assert body.request.body.endswith(b',"allowed":[1.50, 1.50]}')
    assert [tool["type"] for tool in json.loads(body.request.body)["tools"]] == ["function", "other"]


@for_each("value", ["null", '"none"', "{}"])
def test_what_is_no_list_replaces_one(value: str) -> None:
    sent = body_of(
        GPT_4O, config=ChatConfig(stop_sequences=["END"]), provider_options_json={"openai": f'{{"stop":{value}}}'}
    )
    assert sent["stop"] == json.loads(value)


def test_lists_of_defaults_give_way() -> None:
    target = own_target(VLLM, default_options_json='{"stop": ["a"], "bad_words": ["a"]}')
    sent = body_of(
        target,
        config=ChatConfig(stop_sequences=["b"]),
        provider_options_json={"vllm": '{"bad_words": ["b"]}'},
    )
    assert (sent["stop"], sent["bad_words"]) == (["b"], ["b"])


def test_options_for_a_stream_do_not_lose_its_usage() -> None:
    options = {"openai": '{"stream_options": {"include_obfuscation": false}}'}
    sent = body_of(stream=True, provider_options_json=options)
    assert sent["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_facts_decide_what_is_sent_not_the_dialect() -> None:
    facts = ModelFacts(unsupported=frozenset({"seed"}), max_temperature=1.0, developer_role=False)
    body = encode(
        own_target(OPENAI, facts),
        [ChatMessage(role="developer", content="x")],
        config=ChatConfig(seed=1, temperature=1.5),
    )
    assert json.loads(body.request.body) == {
        "model": "qwen",
        "messages": [{"role": "system", "content": "x"}],
        "temperature": 1.0,
    }
    assert told(body) == [("PARAMETER_DROPPED", "config.seed"), ("PARAMETER_CHANGED", "config.temperature")]
