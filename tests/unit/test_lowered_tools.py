"""OpenAI's kinds of tools: in their own form to its Responses, as functions to all others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto.models_pb2 import (
    PARAMETER_POLICY_STRICT,
    TOOL_CHOICE_MODE_AUTO,
    ChatMessage,
    ChatRequest,
    ContentPart,
    PromptCache,
    ProviderState,
    ProviderTool,
    ToolCall,
    ToolChoice,
    ToolDefinition,
)
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.encoding import prepare
from services.models.providers.lowered_tools import HOSTED, LOWERED
from services.models.providers.openai.responses.tools import NAMELESS
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.unit.anthropic_bodies import CLAUDE
from tests.unit.openai_bodies import COMPATIBLE, GPT_5, ON_VLLM

HELLO = ChatMessage(role="user", content="Hello")
OTHERS = [CLAUDE, COMPATIBLE, ON_VLLM]


def provider_tool(kind: str, name: str = "", **config: Any) -> ToolDefinition:
    own = ProviderTool(type=kind, config_json=json.dumps(config) if config else "")
    return ToolDefinition(name=name, provider_tool=own)


FIND = ToolDefinition(name="find", parameters_json='{"type":"object"}')
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /x+/"}
PATCH = provider_tool("custom", "patch", description="Edits files.", format=GRAMMAR)
READ = {"type": "function", "name": "read", "description": "Reads.", "parameters": {"type": "object"}, "strict": False}
FILES = provider_tool("namespace", name="files", description="Files.", tools=[READ, {"type": "custom", "name": "edit"}])


def encode(target: Target, *messages: ChatMessage, **fields: Any) -> Encoded:
    conversation = Conversation(ChatRequest(model="any", **fields), messages or [HELLO])
    return prepare(conversation, target, stream=False)[1]


def body_of(target: Target, *messages: ChatMessage, **fields: Any) -> Any:
    return json.loads(encode(target, *messages, **fields).request.body)


def functions_of(body: Any) -> dict[str, Any]:
    """The functions in a body of any dialect, each with its schema."""
    told = [tool.get("function", tool) for tool in body["tools"]]
    return {tool["name"]: tool.get("parameters") or tool.get("input_schema") for tool in told}


def test_openai_gets_them_in_their_own_form() -> None:
    body = body_of(GPT_5, tools=[PATCH, FILES])
    assert [tool["type"] for tool in body["tools"]] == ["custom", "namespace"]
    assert body["tools"][0]["format"] == GRAMMAR
    assert (body["tools"][1]["name"], len(body["tools"][1]["tools"])) == ("files", 2)


@for_each("target", OTHERS, ids=lambda target: target.dialect.name)
def test_others_get_functions(target: Target) -> None:
    encoded = encode(target, tools=[FIND, PATCH, FILES])
    body = json.loads(encoded.request.body)
    functions = functions_of(body)
    assert list(functions) == ["find", "patch", "files__read", "files__edit"]
    assert functions["patch"] == functions["files__edit"]
    assert functions["patch"]["required"] == ["input"]
    assert functions["files__read"]["type"] == "object"
    assert "lark grammar:\\nstart: /x+/" in json.dumps(body["tools"][1])
    told = [(notice.code, notice.field) for notice in encoded.notices]
    assert told == [("PARAMETER_CHANGED", "tools[1]"), ("PARAMETER_CHANGED", "tools[2]")]


@for_each("target", OTHERS, ids=lambda target: target.dialect.name)
def test_tools_that_openai_runs_are_left_out(target: Target) -> None:
    encoded = encode(
        target, tools=[provider_tool("web_search"), FIND], tool_choice=ToolChoice(mode=TOOL_CHOICE_MODE_AUTO)
    )
    assert list(functions_of(json.loads(encoded.request.body))) == ["find"]
    assert [(notice.code, notice.field) for notice in encoded.notices] == [("PARAMETER_DROPPED", "tools[0]")]
    alone = body_of(target, tools=[provider_tool("web_search")], tool_choice=ToolChoice(mode=TOOL_CHOICE_MODE_AUTO))
    assert not alone.keys() & {"tools", "tool_choice"}


def test_strict_refuses_each_change() -> None:
    with pytest.raises(InvalidRequest) as raised:
        encode(CLAUDE, tools=[provider_tool("web_search"), PATCH], parameter_policy=PARAMETER_POLICY_STRICT)
    assert [violation.field for violation in raised.value.violations] == ["tools[0]", "tools[1]"]


def test_a_choice_of_a_tool_that_is_left_out_is_refused() -> None:
    with pytest.raises(InvalidRequest) as raised:
        encode(CLAUDE, tools=[provider_tool("shell", "sh"), FIND], tool_choice=ToolChoice(tool_name="sh"))
    assert [violation.field for violation in raised.value.violations] == ["tool_choice.tool_name"]
    body = body_of(CLAUDE, tools=[PATCH], tool_choice=ToolChoice(tool_name="patch"))
    assert body["tool_choice"] == {"type": "tool", "name": "patch"}


def test_tools_of_other_providers_stay_as_they_are() -> None:
    search = provider_tool("web_search_20250305", max_uses=3)
    mine = provider_tool("custom", "mine", input_schema={"type": "object"}, input_examples=[{}])
    body = body_of(CLAUDE, tools=[search, mine])
    assert [tool["type"] for tool in body["tools"]] == ["web_search_20250305", "custom"]
    assert body["tools"][1]["input_examples"] == [{}]


def test_a_breakpoint_goes_to_the_last_function() -> None:
    cached = ToolDefinition(provider_tool=FILES.provider_tool, cache=PromptCache())
    body = body_of(CLAUDE, tools=[cached])
    assert ["cache_control" in tool for tool in body["tools"]] == [False, True]


def test_the_text_for_a_custom_tool_becomes_the_argument_of_its_function() -> None:
    item = b'{"type":"custom_tool_call","call_id":"c1","name":"patch","input":"*** x"}'
    state = ProviderState(provider="openai", data=item)
    text, lowered = ("c1", "*** x"), ("c2", '{"input":"*** y"}')
    calls = [ToolCall(id=call_id, name="patch", arguments_json=given) for call_id, given in (text, lowered)]
    history = [
        HELLO,
        ChatMessage(
            role="assistant",
            parts=[ContentPart(tool_call=calls[0], provider_state=state), ContentPart(tool_call=calls[1])],
        ),
        ChatMessage(role="tool", tool_call_id="c1", content="done"),
        ChatMessage(role="tool", tool_call_id="c2", content="done"),
    ]
    body = body_of(CLAUDE, *history, tools=[PATCH])
    assert [block["input"] for block in body["messages"][1]["content"]] == [{"input": "*** x"}, {"input": "*** y"}]
    body = body_of(COMPATIBLE, *history, tools=[PATCH])
    assert [call["function"]["arguments"] for call in body["messages"][1]["tool_calls"]] == [
        '{"input":"*** x"}',
        '{"input":"*** y"}',
    ]
    own = body_of(GPT_5, *history[:2], history[2], tools=[PATCH])["input"]
    assert own[1] == json.loads(item)
    assert own[-1]["type"] in ("custom_tool_call_output", "function_call_output")


@for_each(
    ("tool", "field"),
    [
        (provider_tool("custom", "x", format=3), "tools[0].provider_tool.config_json"),
        (provider_tool("namespace", name="x", tools=[3]), "tools[0].provider_tool.config_json.tools[0]"),
    ],
)
def test_what_is_no_tool_of_openais_is_refused(tool: ToolDefinition, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        encode(CLAUDE, tools=[tool])
    assert [violation.field for violation in raised.value.violations] == [field]


def test_what_is_said_of_a_tool_names_it_by_the_callers_count() -> None:
    many = [provider_tool("web_search"), FILES, ToolDefinition(name="bad", parameters_json='{"type":"string"}')]
    with pytest.raises(InvalidRequest, match=r"tools\[2\]\.parameters_json: ") as raised:
        encode(CLAUDE, tools=many)
    assert [violation.field for violation in raised.value.violations] == ["tools[2].parameters_json"]
    wrong = provider_tool("namespace", name="files", tools=[READ | {"parameters": {"type": "string"}}])
    with pytest.raises(InvalidRequest) as raised:
        encode(CLAUDE, tools=[provider_tool("web_search"), wrong])
    assert [violation.field for violation in raised.value.violations] == ["tools[1].provider_tool"]
    encoded = encode(CLAUDE, tools=[FILES, ToolDefinition(name="a.b"), provider_tool("custom", "a.c")])
    told = [(notice.code, notice.field) for notice in encoded.notices]
    assert told == [
        ("TOOL_NAME_CHANGED", "tools[1].name"),
        ("TOOL_NAME_CHANGED", "tools[2].provider_tool"),
        ("PARAMETER_CHANGED", "tools[0]"),
        ("PARAMETER_CHANGED", "tools[2]"),
    ]


def test_functions_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="files__read") as raised:
        encode(CLAUDE, tools=[ToolDefinition(name="files__read"), FILES])
    assert [violation.field for violation in raised.value.violations] == ["tools[1]"]


def test_the_kinds_that_are_left_out_are_those_that_openai_has() -> None:
    assert NAMELESS | {"mcp"} == HOSTED
    assert {"custom", "namespace"} == LOWERED - HOSTED
