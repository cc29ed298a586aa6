"""Tools, the choice between them, and answers that follow a schema, in Messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto import models_pb2
from proto.models_pb2 import (
    ChatConfig,
    PromptCache,
    ProviderTool,
    ReasoningConfig,
    ResponseFormat,
    ToolChoice,
    ToolDefinition,
)
from services.models.providers.base import Target
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.anthropic_bodies import (
    ADAPTIVE,
    CLAUDE,
    OLD,
    PASSTHROUGH,
    STRICT,
    TOOL,
    UNFORCED,
    body_of,
    encode,
    model,
    sent,
    told,
)

SCHEMA = '{ "type":"object",\n "properties": {"n": {"maximum": 12345678901234567890123, "const": 1.50}} }'
CLOSED = '{ "type":"object",\n "properties": {"n": {"type": "integer"}}, "additionalProperties": false }'


def fields_of(raised: pytest.ExceptionInfo[InvalidRequest]) -> list[str]:
    return [violation.field for violation in raised.value.violations]


# ---------------------------------------------------------------------------------------------------------- tools


@for_each("policy", [models_pb2.PARAMETER_POLICY_ADAPT, STRICT, PASSTHROUGH])
def test_strict_tool_without_parameters_takes_none(policy: models_pb2.ParameterPolicy) -> None:
    """Nobody set a schema, so none was changed."""
    body = encode(tools=[ToolDefinition(name="stop", strict=True)], parameter_policy=policy)
    assert (
        b'"input_schema":{"type":"object","properties":{},"additionalProperties":false},"strict":true'
        in body.request.body
    )
    assert body.notices == []


@for_each("empty", ['{"type":"object"}', '{"type":"object","properties":{}}'])
def test_strict_tool_with_an_empty_object_takes_none(empty: str) -> None:
    [tool] = json.loads(encode(tools=[ToolDefinition(name="stop", parameters_json=empty, strict=True)]).request.body)[
        "tools"
    ]
    assert tool["input_schema"] == {"type": "object", "properties": {}, "additionalProperties": False}
    assert tool["strict"] is True


def test_schema_that_can_be_enforced_stays_byte_for_byte() -> None:
    body = encode(tools=[ToolDefinition(name="find", parameters_json=CLOSED, strict=True)])
    assert CLOSED.encode() in body.request.body
    assert body.notices == []


def test_model_that_enforces_no_schema_gets_no_strict_tool() -> None:
    body = encode(OLD, tools=[ToolDefinition(name="find", parameters_json=SCHEMA, strict=True)])
    assert json.loads(body.request.body)["tools"] == [{"name": "find", "input_schema": json.loads(SCHEMA)}]
    assert told(body) == [("PARAMETER_DROPPED", "tools[0].strict")]


def test_passthrough_sends_strict_tools_as_given() -> None:
    tool = ToolDefinition(name="find", parameters_json=SCHEMA, strict=True)
    body = encode(OLD, tools=[tool], parameter_policy=PASSTHROUGH)
    assert SCHEMA.encode() in body.request.body
    assert json.loads(body.request.body)["tools"][0]["strict"] is True
    assert body.notices == []


@for_each(
    ("kind", "name"),
    [
        ("web_search_20260318", "web_search"),
        ("web_fetch_20250910", "web_fetch"),
        ("code_execution_20260521", "code_execution"),
        ("bash_20250124", "bash"),
        ("memory_20250818", "memory"),
        ("text_editor_20250124", "str_replace_editor"),
        ("text_editor_20250728", "str_replace_based_edit_tool"),
        ("tool_search_tool_bm25", "tool_search_tool_bm25"),
        ("browser_toolset_20260801", None),
    ],
)
def test_providers_own_tools_have_the_names_that_the_api_requires(kind: str, name: str | None) -> None:
    (tool,) = body_of(tools=[ToolDefinition(provider_tool=ProviderTool(type=kind))])["tools"]
    assert tool == {"type": kind} | ({"name": name} if name else {})


def test_settings_of_a_providers_tool_byte_for_byte() -> None:
    settings = '{"max_uses": 5, "user_location": {"type":"approximate",  "city":"Gr\\u00e4felfing"}}'
    tool = ToolDefinition(
        name="search", strict=True, provider_tool=ProviderTool(type="web_search_20250305", config_json=settings)
    )
    body = encode(tools=[tool, TOOL], tool_choice=ToolChoice(tool_name="search"))
    location = '"user_location":{"type":"approximate",  "city":"Gr\\u00e4felfing"}}'
    encoded = '{"type":"web_search_20250305","name":"search","strict":true,"max_uses":5,' + location
    assert encoded.encode() in body.request.body
    assert sent(body) == {"tool_choice": {"type": "tool", "name": "search"}}
    assert body.notices == []


@for_each(
    ("kind", "sent", "notices"),
    [
        ("mcp_toolset", {"type": "mcp_toolset", "mcp_server_name": "mine"}, []),
        ("computer_toolset_20260801", {"type": "computer_toolset_20260801"}, [("NAME_DROPPED", "tools[0].name")]),
    ],
)
def test_name_of_a_set_of_tools(kind: str, sent: dict[str, str], notices: list[tuple[str, str]]) -> None:
    body = encode(tools=[ToolDefinition(name="mine", provider_tool=ProviderTool(type=kind))])
    assert json.loads(body.request.body)["tools"] == [sent]
    assert told(body) == notices


def test_description_of_a_providers_tool_is_left_out_and_named() -> None:
    tool = ToolDefinition(provider_tool=ProviderTool(type="bash_20250124"), description="Runs.", parameters_json="{}")
    dropped = [("PARAMETER_DROPPED", f"tools[0].{field}") for field in ("description", "parameters_json")]
    assert told(encode(tools=[tool])) == dropped


def test_mark_stands_once() -> None:
    own = ProviderTool(type="bash_20250124", config_json='{"cache_control": {"type": "ephemeral"}}')
    with pytest.raises(InvalidRequest) as raised:
        encode(tools=[ToolDefinition(provider_tool=own, cache=PromptCache())])
    assert fields_of(raised) == ["tools[0].provider_tool.config_json"]
    (tool,) = body_of(tools=[ToolDefinition(provider_tool=own)])["tools"]
    assert tool["cache_control"] == {"type": "ephemeral"}


def test_settings_do_not_change_the_kind_of_a_providers_tool() -> None:
    tool = ToolDefinition(provider_tool=ProviderTool(type="bash_20250124", config_json='{"type": "x"}'))
    with pytest.raises(InvalidRequest) as raised:
        encode(tools=[TOOL, tool])
    assert fields_of(raised) == ["tools[1].provider_tool.config_json"]


# --------------------------------------------------------------------------------------------------------- choice

NAMED = ToolChoice(tool_name="find")
AUTO = ToolChoice(mode="TOOL_CHOICE_MODE_AUTO")
NONE = ToolChoice(mode="TOOL_CHOICE_MODE_NONE")
REQUIRED = ToolChoice(mode="TOOL_CHOICE_MODE_REQUIRED")


def test_without_tools_nothing_is_said_of_them() -> None:
    body = encode(tool_choice=NONE, config=ChatConfig(parallel_tool_calls=True))
    assert sent(body) == {}
    assert told(body) == [("PARAMETER_DROPPED", "config.parallel_tool_calls")]


@for_each("choice", [NAMED, REQUIRED])
def test_model_that_cannot_be_made_to_call_is_left_to_decide(choice: ToolChoice) -> None:
    body = encode(UNFORCED, tools=[TOOL], tool_choice=choice, config=ChatConfig(parallel_tool_calls=False))
    assert sent(body) == {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    assert told(body) == [("PARAMETER_CHANGED", "tool_choice")]


def test_passthrough_leaves_the_choice_to_the_provider() -> None:
    body = encode(UNFORCED, tools=[TOOL], tool_choice=NAMED, parameter_policy=PASSTHROUGH)
    assert sent(body) == {"tool_choice": {"type": "tool", "name": "find"}}
    assert body.notices == []


# -------------------------------------------------------------------------------------------------- response format


def wanted(schema_json: str = CLOSED, **fields: Any) -> ResponseFormat:
    return ResponseFormat(type="json_schema", schema_json=schema_json, **fields)


def test_schema_of_the_answer_byte_for_byte() -> None:
    body = encode(response_format=wanted(name="answer", strict=True))
    assert CLOSED.encode() in body.request.body
    assert sent(body) == {"output_config": {"format": {"type": "json_schema", "schema": json.loads(CLOSED)}}}
    assert body.notices == []


def test_passthrough_sends_the_schema_as_given() -> None:
    body = encode(OLD, response_format=wanted(SCHEMA), parameter_policy=PASSTHROUGH)
    assert b'"output_config":{"format":{"type":"json_schema","schema":' + SCHEMA.encode() in body.request.body
    assert body.notices == []


def test_effort_stands_beside_the_schema() -> None:
    body = body_of(ADAPTIVE, response_format=wanted(), reasoning=ReasoningConfig(effort="low"))
    assert body["output_config"].keys() == {"effort", "format"}


@for_each("target", [CLAUDE, OLD])
def test_json_without_a_schema_is_not_passed_through(target: Target) -> None:
    """There is nothing to pass."""
    with pytest.raises(InvalidRequest) as raised:
        encode(target, response_format=ResponseFormat(type="json_object"), parameter_policy=PASSTHROUGH)
    assert fields_of(raised) == ["response_format.type"]


# ---------------------------------------------------------------------------------------------- answers by a tool

CHANGED = [("PARAMETER_CHANGED", "response_format")]
ANSWER = "genai_platform_answer_response"


def test_model_that_enforces_no_schema_answers_by_a_tool_that_it_must_call() -> None:
    body = encode(OLD, response_format=wanted(SCHEMA, name="weather"))
    assert SCHEMA.encode() in body.request.body
    (tool,) = json.loads(body.request.body)["tools"]
    assert (tool["name"], tool["input_schema"]) == ("genai_platform_answer_weather", json.loads(SCHEMA))
    choice = {"type": "tool", "name": "genai_platform_answer_weather", "disable_parallel_tool_use": True}
    assert sent(body) == {"tool_choice": choice}
    assert told(body) == CHANGED


def test_name_of_the_tool_is_no_longer_than_the_api_takes() -> None:
    (tool,) = json.loads(encode(OLD, response_format=wanted(name="n" * 64)).request.body)["tools"]
    assert len(tool["name"]) == 64


def test_strict_refuses_an_answer_by_a_tool() -> None:
    with pytest.raises(InvalidRequest, match="response_format"):
        encode(OLD, response_format=wanted(), parameter_policy=STRICT)


@for_each(
    ("choice", "names", "encoded", "notices"),
    [
        (None, ["find", ANSWER], {"type": "any"}, CHANGED),
        (AUTO, ["find", ANSWER], {"type": "any"}, CHANGED),
        (NONE, ["find", ANSWER], {"type": "tool", "name": ANSWER, "disable_parallel_tool_use": True}, CHANGED),
        # A call that is required is no answer yet.
        (REQUIRED, ["find"], {"type": "any"}, []),
        (NAMED, ["find"], {"type": "tool", "name": "find"}, []),
    ],
)
def test_tool_of_the_answer_stands_beside_others(
    choice: ToolChoice | None, names: list[str], encoded: Any, notices: list[tuple[str, str]]
) -> None:
    body = encode(OLD, tools=[TOOL], tool_choice=choice, response_format=wanted())
    assert [tool["name"] for tool in json.loads(body.request.body)["tools"]] == names
    assert sent(body) == {"tool_choice": encoded}
    assert told(body) == notices


def test_model_that_cannot_be_made_to_call_is_asked_to_answer_by_the_tool() -> None:
    body = encode(model(schema_output="tool", forced_tool_choice=False), response_format=wanted())
    assert sent(body) == {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    assert told(body) == CHANGED


def test_answer_by_a_tool_comes_before_thinking() -> None:
    target = model(schema_output="tool", can_reason=True)
    body = encode(target, response_format=wanted(), reasoning=ReasoningConfig(budget_tokens=2000))
    assert sent(body).keys() == {"tool_choice"}
    assert told(body) == [*CHANGED, ("PARAMETER_DROPPED", "reasoning")]


@for_each("target", [CLAUDE, OLD, ADAPTIVE])
def test_json_without_a_schema_is_an_answer_by_a_tool_on_every_model(target: Target) -> None:
    body = encode(target, response_format=ResponseFormat(type="json_object"))
    (tool,) = json.loads(body.request.body)["tools"]
    assert tool["name"] == ANSWER
    assert b'"input_schema":{"type":"object","additionalProperties":true}' in body.request.body
    choice = {"type": "tool", "name": ANSWER, "disable_parallel_tool_use": True}
    assert sent(body) == {"tool_choice": choice}
    assert told(body) == CHANGED


def test_json_without_a_schema_from_a_model_that_cannot_be_made_to_call() -> None:
    body = encode(UNFORCED, tools=[TOOL], response_format=ResponseFormat(type="json_object"))
    assert [tool["name"] for tool in json.loads(body.request.body)["tools"]] == ["find", ANSWER]
    assert sent(body) == {"tool_choice": {"type": "auto"}}
    assert told(body) == CHANGED


def test_strict_refuses_json_without_a_schema() -> None:
    with pytest.raises(InvalidRequest, match="response_format"):
        encode(response_format=ResponseFormat(type="json_object"), parameter_policy=STRICT)


@for_each("schema_json", ['{"type": "array"}', "{}"])
def test_answer_by_a_tool_must_be_an_object(schema_json: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        encode(OLD, response_format=wanted(schema_json))
    assert fields_of(raised) == ["response_format.schema_json"]


def test_names_of_such_tools_are_the_platforms() -> None:
    with pytest.raises(InvalidRequest) as raised:
        encode(tools=[models_pb2.ToolDefinition(name=ANSWER)])
    assert fields_of(raised) == ["tools[0].name"]
