"""A ChatRequest is checked before anything is sent: every problem at once, each by its field's path."""

from __future__ import annotations

import math
from typing import Any

import pytest

from proto.models_pb2 import (
    ChatConfig,
    ChatMessage,
    ChatRequest,
    ContentPart,
    Media,
    PromptCache,
    ProviderState,
    ProviderTool,
    Reasoning,
    ReasoningConfig,
    ResponseFormat,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)
from services.models.validation import UNIMPLEMENTED_FIELDS, check_chat_request
from services.shared.errors import InvalidRequest, Unimplemented

HELLO = ChatMessage(role="user", content="Hello")
TOOL = ToolDefinition(name="find")
UNKNOWN: Any = 99
CALL = ToolCall(id="a", name="find", arguments_json="{}")


def wrong_fields(request: ChatRequest) -> list[str]:
    with pytest.raises(InvalidRequest) as raised:
        check_chat_request(request)
    return [violation.field for violation in raised.value.violations]


def ask(**fields: Any) -> ChatRequest:
    return ChatRequest(**({"model": "gpt-4o", "messages": [HELLO]} | fields))


def say(**fields: Any) -> ChatRequest:
    return ask(messages=[ChatMessage(**fields)])


def test_smallest_request_is_fine() -> None:
    check_chat_request(ask())


def test_every_problem_is_named_at_once() -> None:
    request = ChatRequest(
        messages=[ChatMessage(role="user"), ChatMessage(role="robot")],
        config=ChatConfig(temperature=3, max_tokens=0),
        tools=[ToolDefinition(parameters_json="{")],
        response_format=ResponseFormat(type="xml"),
    )
    assert wrong_fields(request) == [
        "model",
        "messages[0].content",
        "messages[1].role",
        "config.temperature",
        "config.max_tokens",
        "tools[0].name",
        "tools[0].parameters_json",
        "response_format.type",
    ]


@pytest.mark.parametrize("model", ["", "a b", "a\nb", "a\x00", "x" * 257])
def test_model_names_that_are_none(model: str) -> None:
    assert wrong_fields(ask(model=model)) == ["model"]


@pytest.mark.parametrize("model", ["gpt-4o", "openai/ft:gpt-4o:acme::1", "org/model@1", "modèle", "x" * 256])
def test_model_names(model: str) -> None:
    check_chat_request(ask(model=model))


def test_messages_are_required_also_beside_a_prompt() -> None:
    assert wrong_fields(ask(messages=[])) == ["messages"]
    assert wrong_fields(ask(messages=[], system_prompt_name="greeting")) == ["messages"]


def test_messages_have_a_limit() -> None:
    assert wrong_fields(ask(messages=[HELLO] * 10_001)) == ["messages"]


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(role="system", content="x"),
        ChatMessage(role="developer", content="x"),
        ChatMessage(role="user", content="x", name="ada"),
        ChatMessage(role="assistant"),
        ChatMessage(role="assistant", content="x", tool_calls=[CALL]),
        ChatMessage(role="tool", tool_call_id="a"),
        ChatMessage(role="tool", tool_call_id="a", parts=[ContentPart(text="x")]),
        ChatMessage(role="tool", parts=[ContentPart(tool_result=ToolResult(tool_call_id="a"))]),
        ChatMessage(role="user", content="xy", parts=[ContentPart(text="x"), ContentPart(text="y")]),
        ChatMessage(
            role="assistant",
            content="x",
            tool_calls=[CALL],
            parts=[
                ContentPart(reasoning=Reasoning(text="r"), provider_state=ProviderState(data=b'{"a":1}')),
                ContentPart(provider_state=ProviderState(data=b"{}")),
                ContentPart(text="x"),
                ContentPart(refusal="no"),
                ContentPart(tool_call=CALL),
            ],
        ),
    ],
)
def test_messages_that_are_fine(message: ChatMessage) -> None:
    check_chat_request(ask(messages=[message]))


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (ChatMessage(content="x"), "role"),
        (ChatMessage(role="User", content="x"), "role"),
        (ChatMessage(role="user"), "content"),
        (ChatMessage(role="system"), "content"),
        (ChatMessage(role="tool", content="x"), "tool_call_id"),
        (ChatMessage(role="tool", parts=[ContentPart(text="x")]), "tool_call_id"),
        (ChatMessage(role="user", content="x", tool_call_id="a"), "tool_call_id"),
        (ChatMessage(role="user", content="x", tool_calls=[CALL]), "tool_calls"),
        (ChatMessage(role="assistant", tool_calls=[ToolCall(name="find")]), "tool_calls[0].id"),
        (ChatMessage(role="assistant", tool_calls=[CALL, ToolCall(id="b")]), "tool_calls[1].name"),
        (ChatMessage(role="user", parts=[ContentPart()]), "parts[0]"),
        (ChatMessage(role="user", parts=[ContentPart(text="x"), ContentPart(refusal="x")]), "parts[1]"),
        (ChatMessage(role="user", parts=[ContentPart(tool_call=CALL)]), "parts[0]"),
        (ChatMessage(role="system", parts=[ContentPart(reasoning=Reasoning())]), "parts[0]"),
        (ChatMessage(role="assistant", parts=[ContentPart()]), "parts[0]"),
        (ChatMessage(role="assistant", parts=[ContentPart(tool_call=ToolCall(id="a"))]), "parts[0].tool_call.name"),
        (
            ChatMessage(role="tool", parts=[ContentPart(tool_result=ToolResult())]),
            "parts[0].tool_result.tool_call_id",
        ),
        (
            ChatMessage(
                role="tool",
                parts=[
                    ContentPart(tool_result=ToolResult(tool_call_id="a", content=[ContentPart(refusal="x")])),
                ],
            ),
            "parts[0].tool_result.content[0]",
        ),
        (ChatMessage(role="user", content="y", parts=[ContentPart(text="x")]), "content"),
        (ChatMessage(role="assistant", tool_calls=[CALL], parts=[ContentPart(text="x")]), "tool_calls"),
        (
            ChatMessage(role="user", parts=[ContentPart(text="x", provider_state=ProviderState(data=b"{}"))]),
            "parts[0].provider_state",
        ),
    ],
)
def test_messages_that_are_not(message: ChatMessage, field: str) -> None:
    assert wrong_fields(ask(messages=[HELLO, message])) == [f"messages[1].{field}"]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"a":"\xff"}', b'{"a":"' + b"x" * (256 * 1024) + b'"}', b"\xef\xbb\xbf{}"]
)
def test_state_that_no_provider_gave(data: bytes) -> None:
    part = ContentPart(provider_state=ProviderState(provider="anthropic", data=data))
    assert wrong_fields(say(role="assistant", parts=[part])) == ["messages[0].parts[0].provider_state.data"]


# ---------------------------------------------------------------------------------------------------------- config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("top_k", 0),
        ("frequency_penalty", -2.1),
        ("presence_penalty", 2.1),
        ("presence_penalty", -math.inf),
        ("stop_sequences", ["x"] * 17),
    ],
)
def test_numbers_out_of_range(name: str, value: Any) -> None:
    assert wrong_fields(ask(config=ChatConfig(**{name: value}))) == [f"config.{name}"]


@pytest.mark.parametrize(
    "config",
    [
        ChatConfig(),
        ChatConfig(temperature=0, max_tokens=1, top_p=1e-9, top_k=1, seed=0),
        ChatConfig(temperature=2, top_p=1, frequency_penalty=2, presence_penalty=2, seed=-(2**63)),
        ChatConfig(frequency_penalty=-2, presence_penalty=-2, max_tokens=2**31 - 1, seed=2**63 - 1),
        ChatConfig(stop_sequences=[" "] * 16, parallel_tool_calls=False),
    ],
)
def test_numbers_within_range(config: ChatConfig) -> None:
    check_chat_request(ask(config=config))


def test_empty_stop_sequence() -> None:
    assert wrong_fields(ask(config=ChatConfig(stop_sequences=["x", ""]))) == ["config.stop_sequences[1]"]


# ----------------------------------------------------------------------------------------------- tools and formats


@pytest.mark.parametrize("name", ["", "a b", "a.b", "é", "x" * 65])
def test_tool_names_that_are_none(name: str) -> None:
    assert wrong_fields(ask(tools=[ToolDefinition(name=name)])) == ["tools[0].name"]


def test_tools_have_names_of_their_own_and_a_limit() -> None:
    assert wrong_fields(ask(tools=[TOOL, TOOL])) == ["tools[1].name"]
    assert wrong_fields(ask(tools=[ToolDefinition(name=f"t{n}") for n in range(129)])) == ["tools"]


@pytest.mark.parametrize("schema", ["{", "[]", "null", '{"a":NaN}', '{"a":"\\ud83d"}', '{"a":' * 65 + "0" + "}" * 65])
def test_schemas_that_are_no_object(schema: str) -> None:
    assert wrong_fields(ask(tools=[ToolDefinition(name="find", parameters_json=schema)])) == [
        "tools[0].parameters_json"
    ]
    assert wrong_fields(ask(response_format=ResponseFormat(type="json_schema", schema_json=schema))) == [
        "response_format.schema_json"
    ]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"tool_choice": ToolChoice(tool_name="stop"), "tools": [TOOL]}, "tool_choice.tool_name"),
        ({"tool_choice": ToolChoice(tool_name="")}, "tool_choice.tool_name"),
        ({"tool_choice": ToolChoice(mode="TOOL_CHOICE_MODE_REQUIRED")}, "tool_choice.mode"),
        ({"tool_choice": ToolChoice(mode=UNKNOWN), "tools": [TOOL]}, "tool_choice.mode"),
        ({"response_format": ResponseFormat()}, "response_format.type"),
        ({"response_format": ResponseFormat(type="json_schema")}, "response_format.schema_json"),
        ({"response_format": ResponseFormat(type="text", name="a b")}, "response_format.name"),
        ({"parameter_policy": 99}, "parameter_policy"),
        ({"provider_options_json": {"openai": "[]"}}, "provider_options_json[openai]"),
        ({"provider_options_json": {"openai": '{"\\ud83d": 1}'}}, "provider_options_json[openai]"),
        ({"provider_options_json": {"openai": '{"model": "x"}'}}, "provider_options_json[openai]"),
        ({"provider_options_json": {"openai": '{"stream": false}'}}, "provider_options_json[openai]"),
        ({"tags": {str(n): "" for n in range(17)}}, "tags"),
        ({"tags": {"a": "b\nc"}}, "tags[a]"),
        ({"end_user_id": "x" * 257}, "end_user_id"),
    ],
)
def test_other_fields_that_are_wrong(fields: dict[str, Any], wrong: str) -> None:
    assert wrong_fields(ask(**fields)) == [wrong]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL], "tool_choice": ToolChoice(tool_name="find")},
        {"tool_choice": ToolChoice(mode="TOOL_CHOICE_MODE_NONE")},
        {"response_format": ResponseFormat(type="json_object")},
        {"response_format": ResponseFormat(type="json_schema", schema_json="{}", name="a-b_C1", strict=False)},
        {"provider_options_json": {"openai": '{"logprobs": 1e999}', "anyone": "{}"}},
        {"tags": {str(n): "x" for n in range(16)}, "end_user_id": "x" * 256, "parameter_policy": 3},
    ],
)
def test_other_fields_that_are_fine(fields: dict[str, Any]) -> None:
    check_chat_request(ask(**fields))


# ------------------------------------------------------------------------------------------------- not served yet


def test_fields_that_do_nothing_yet_exist() -> None:
    assert set(ChatRequest.DESCRIPTOR.fields_by_name) >= UNIMPLEMENTED_FIELDS


@pytest.mark.parametrize(
    ("request_", "feature"),
    [
        (ask(reasoning=ReasoningConfig(effort="low")), "reasoning"),
        (ask(request_id="r"), "request_id"),
        (ask(fallback_models=["x"]), "fallback_models"),
        (ask(tools=[TOOL, ToolDefinition(provider_tool=ProviderTool(type="web_search"))]), "tools[1].provider_tool"),
        (say(role="user", parts=[ContentPart(text="x", cache=PromptCache())]), "messages[0].parts[0].cache"),
        (say(role="user", parts=[ContentPart(media=Media(url="https://x"))]), "messages[0].parts[0].media"),
        (
            say(
                role="tool",
                parts=[
                    ContentPart(tool_result=ToolResult(tool_call_id="a", content=[ContentPart(media=Media(url="x"))]))
                ],
            ),
            "messages[0].parts[0].tool_result.content[0].media",
        ),
    ],
)
def test_what_is_declared_and_does_nothing_yet_says_so(request_: ChatRequest, feature: str) -> None:
    with pytest.raises(Unimplemented) as raised:
        check_chat_request(request_)
    assert raised.value.metadata == {"feature": feature}


def test_wrong_is_told_before_not_served() -> None:
    assert wrong_fields(ask(model="", reasoning=ReasoningConfig(effort="low"))) == ["model"]
