"""Validation of a ChatRequest: all problems at once, each with its field's path."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

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
from proto.sessions_pb2 import SessionMessage
from services.models.validation.content import MAX_STATE_BYTES
from services.models.validation.request import check_chat_request, check_history
from services.shared.errors import InvalidRequest, PreconditionFailed
from tests.rows import for_each

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


@for_each("model", ["", "a b", "a\nb", "a\x00", "x" * 257])
def test_invalid_model_names(model: str) -> None:
    assert wrong_fields(ask(model=model)) == ["model"]


@for_each("model", ["gpt-4o", "openai/ft:gpt-4o:acme::1", "org/model@1", "modèle", "x" * 256])
def test_model_names(model: str) -> None:
    check_chat_request(ask(model=model))


def test_messages_are_required_with_a_prompt_too() -> None:
    assert wrong_fields(ask(messages=[])) == ["messages"]
    assert wrong_fields(ask(messages=[], system_prompt_name="greeting")) == ["messages"]


def test_messages_have_a_limit() -> None:
    assert wrong_fields(ask(messages=[HELLO] * 10_001)) == ["messages"]


@for_each(
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
def test_valid_messages(message: ChatMessage) -> None:
    check_chat_request(ask(messages=[message]))


@for_each(
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
        (ChatMessage(role="tool", parts=[ContentPart(tool_result=ToolResult())]), "parts[0].tool_result.tool_call_id"),
        (
            ChatMessage(
                role="tool",
                parts=[ContentPart(tool_result=ToolResult(tool_call_id="a", content=[ContentPart(refusal="x")]))],
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
def test_invalid_messages(message: ChatMessage, field: str) -> None:
    assert wrong_fields(ask(messages=[HELLO, message])) == [f"messages[1].{field}"]


@for_each("data", [b"", b"[]", b"{", b'{"a":"\xff"}', b'{"a":"' + b"x" * MAX_STATE_BYTES + b'"}', b"\xef\xbb\xbf{}"])
def test_invalid_provider_state(data: bytes) -> None:
    part = ContentPart(provider_state=ProviderState(provider="anthropic", data=data))
    assert wrong_fields(say(role="assistant", parts=[part])) == ["messages[0].parts[0].provider_state.data"]


# ----------------------------------------------------------------------------------------------------------- media


@for_each(
    "media",
    [
        Media(url="https://example.com/cat"),
        Media(url="HTTP://user@[::1]:8/ü?a=b#c", detail="auto"),
        Media(url="https://x/" + "y" * 8182),
        Media(data=b"\0", mime_type="image/png", detail="low", filename="cat 1.png"),
        Media(data=b"x", mime_type="application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        Media(file_id="file-1", mime_type="Text/Plain", detail="high"),
    ],
)
def test_valid_media(media: Media) -> None:
    check_chat_request(say(role="user", parts=[ContentPart(media=media)]))
    result = ToolResult(tool_call_id="a", content=[ContentPart(text=""), ContentPart(media=media)])
    check_chat_request(say(role="tool", parts=[ContentPart(tool_result=result)]))
    check_chat_request(say(role="tool", tool_call_id="a", parts=[ContentPart(media=media)]))


@for_each(
    ("media", "field"),
    [
        (Media(), ""),
        (Media(mime_type="image/png"), ""),
        (Media(url=""), ".url"),
        (Media(data=b"", mime_type="image/png"), ".data"),
        (Media(file_id=""), ".file_id"),
        (Media(url="data:image/png;base64,AAAA"), ".url"),
        (Media(url="ftp://x/y"), ".url"),
        (Media(url="https:///y"), ".url"),
        (Media(url="https://x/a b"), ".url"),
        (Media(url="https://x/\n"), ".url"),
        (Media(url="https://x/" + "y" * 8183), ".url"),
        (Media(data=b"x"), ".mime_type"),
        (Media(data=b"x", mime_type="png"), ".mime_type"),
        (Media(data=b"x", mime_type="image/"), ".mime_type"),
        (Media(data=b"x", mime_type="font/woff"), ".mime_type"),
        (Media(url="https://x", mime_type="text/plain; charset=utf-8"), ".mime_type"),
        (Media(file_id="x" * 257), ".file_id"),
        (Media(file_id="a\nb"), ".file_id"),
        (Media(url="https://x", filename="a\nb"), ".filename"),
        (Media(url="https://x", detail="High"), ".detail"),
    ],
)
def test_invalid_media(media: Media, field: str) -> None:
    assert wrong_fields(say(role="user", parts=[ContentPart(media=media)])) == [f"messages[0].parts[0].media{field}"]
    result = ToolResult(tool_call_id="a", content=[ContentPart(media=media)])
    path = "messages[0].parts[0].tool_result.content[0].media"
    assert wrong_fields(say(role="tool", parts=[ContentPart(tool_result=result)])) == [f"{path}{field}"]


@for_each("role", ["system", "developer", "assistant"])
def test_roles_without_media(role: str) -> None:
    parts = [ContentPart(text="x"), ContentPart(media=Media(url="https://x"))]
    assert wrong_fields(say(role=role, parts=parts)) == ["messages[0].parts[1]"]


def test_media_of_a_tool_answer_a_call() -> None:
    parts = [ContentPart(media=Media(url="https://x")), ContentPart(text="x")]
    assert wrong_fields(say(role="tool", parts=parts)) == ["messages[0].tool_call_id"]


def cached(seconds: int | None, nanos: int = 0) -> PromptCache:
    return PromptCache(ttl=None if seconds is None else Duration(seconds=seconds, nanos=nanos))


@for_each("cache", [cached(None), cached(0, 1), cached(300), cached(86_400)])
def test_cache_breakpoints_on_every_kind_of_part(cache: PromptCache) -> None:
    result = ToolResult(tool_call_id="a", content=[ContentPart(text="x", cache=cache)])
    messages = [
        ChatMessage(role="system", parts=[ContentPart(text="x", cache=cache)]),
        ChatMessage(role="user", parts=[ContentPart(media=Media(url="https://x"), cache=cache)]),
        ChatMessage(role="assistant", parts=[ContentPart(tool_call=CALL, cache=cache)]),
        ChatMessage(role="tool", parts=[ContentPart(tool_result=result, cache=cache)]),
    ]
    check_chat_request(ask(messages=messages))


def test_repeated_id_of_a_call() -> None:
    assert wrong_fields(say(role="assistant", tool_calls=[CALL, CALL])) == ["messages[0].tool_calls[1].id"]
    parts = [ContentPart(tool_call=CALL), ContentPart(text="x"), ContentPart(tool_call=CALL)]
    assert wrong_fields(say(role="assistant", parts=parts)) == ["messages[0].parts[2].tool_call.id"]
    check_chat_request(say(role="assistant", tool_calls=[CALL], parts=[ContentPart(tool_call=CALL)]))


def test_cache_breakpoints_on_tools() -> None:
    search = ToolDefinition(provider_tool=ProviderTool(type="web_search"), cache=cached(300))
    check_chat_request(ask(tools=[ToolDefinition(name="find", cache=cached(None)), search]))
    tools = [TOOL, ToolDefinition(name="look", cache=cached(0))]
    assert wrong_fields(ask(tools=tools)) == ["tools[1].cache.ttl"]


@for_each("cache", [cached(0), cached(-1), cached(0, -1), cached(86_400, 1), cached(2**62)])
def test_cache_breakpoints_with_an_invalid_ttl(cache: PromptCache) -> None:
    parts = [ContentPart(text="x", cache=cache)]
    assert wrong_fields(say(role="user", parts=parts)) == ["messages[0].parts[0].cache.ttl"]


def test_cache_breakpoint_alone_is_no_part() -> None:
    parts = [ContentPart(text="x"), ContentPart(cache=PromptCache())]
    assert wrong_fields(say(role="user", parts=parts)) == ["messages[0].parts[1]"]


def test_citations_are_of_assistant_messages_only() -> None:
    cited = ContentPart(text="x", citations_json="whatever the provider wrote")
    check_chat_request(say(role="assistant", parts=[cited]))
    assert wrong_fields(say(role="user", parts=[cited])) == ["messages[0].parts[0].citations_json"]


def test_state_within_a_tool_result() -> None:
    part = ContentPart(text="x", provider_state=ProviderState(data=b"{}"))
    result = ContentPart(tool_result=ToolResult(tool_call_id="a", content=[part]))
    path = "messages[0].parts[0].tool_result.content[0].provider_state"
    assert wrong_fields(say(role="tool", parts=[result])) == [path]


@for_each("role", ["system", "developer", "user"])
def test_parts_without_text_are_empty(role: str) -> None:
    assert wrong_fields(say(role=role, parts=[ContentPart(text=""), ContentPart(text="")])) == ["messages[0].parts"]


# ---------------------------------------------------------------------------------------------------------- config


@for_each(
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
        ("top_logprobs", -1),
        ("top_logprobs", 21),
        ("stop_sequences", ["x"] * 17),
    ],
)
def test_numbers_out_of_range(name: str, value: Any) -> None:
    assert wrong_fields(ask(config=ChatConfig(**{name: value}))) == [f"config.{name}"]


@for_each(
    "config",
    [
        ChatConfig(),
        ChatConfig(temperature=0, max_tokens=1, top_p=1e-9, top_k=1, seed=0),
        ChatConfig(temperature=2, top_p=1, frequency_penalty=2, presence_penalty=2, seed=-(2**63)),
        ChatConfig(frequency_penalty=-2, presence_penalty=-2, max_tokens=2**31 - 1, seed=2**63 - 1, top_logprobs=20),
        ChatConfig(stop_sequences=[" "] * 16, parallel_tool_calls=False),
    ],
)
def test_numbers_within_range(config: ChatConfig) -> None:
    check_chat_request(ask(config=config))


def test_empty_stop_sequence() -> None:
    assert wrong_fields(ask(config=ChatConfig(stop_sequences=["x", ""]))) == ["config.stop_sequences[1]"]


# ----------------------------------------------------------------------------------------------- tools and formats


@for_each("name", ["", "a b", "a/b", "é", "x" * 129])
def test_invalid_tool_names(name: str) -> None:
    assert wrong_fields(ask(tools=[ToolDefinition(name=name)])) == ["tools[0].name"]


def test_tool_names_are_unique_and_limited() -> None:
    assert wrong_fields(ask(tools=[TOOL, TOOL])) == ["tools[1].name"]
    assert wrong_fields(ask(tools=[ToolDefinition(name=f"t{n}") for n in range(1025)])) == ["tools"]
    check_chat_request(ask(tools=[ToolDefinition(name=f"{n}.{'x' * 100}") for n in range(1024)]))
    large = '{"description":"' + "x" * 200_000 + '"}'
    assert wrong_fields(ask(tools=[ToolDefinition(name=f"t{n}", parameters_json=large) for n in range(21)])) == [
        "tools"
    ]
    check_chat_request(ask(tools=[ToolDefinition(name=f"t{n}", parameters_json=large) for n in range(20)]))


def test_provider_tools() -> None:
    search = ProviderTool(type="web_search_20260209", config_json='{"max_uses": 3}')
    tools = [ToolDefinition(provider_tool=search), ToolDefinition(provider_tool=search), TOOL]
    check_chat_request(ask(tools=[*tools, ToolDefinition(name="search", provider_tool=search)]))


@for_each(
    ("tool", "field"),
    [
        (ToolDefinition(provider_tool=ProviderTool()), "provider_tool.type"),
        (ToolDefinition(provider_tool=ProviderTool(type="web search")), "provider_tool.type"),
        (ToolDefinition(provider_tool=ProviderTool(type="x", config_json="[]")), "provider_tool.config_json"),
        (ToolDefinition(provider_tool=ProviderTool(type="x", config_json='{"type":"y"}')), "provider_tool.config_json"),
        (ToolDefinition(name="a b", provider_tool=ProviderTool(type="x")), "name"),
        (ToolDefinition(name="find", provider_tool=ProviderTool(type="x")), "name"),
        (ToolDefinition(description="d", provider_tool=ProviderTool(type="x")), "description"),
        (ToolDefinition(parameters_json="{}", provider_tool=ProviderTool(type="x")), "parameters_json"),
        (ToolDefinition(strict=False, provider_tool=ProviderTool(type="x")), "strict"),
    ],
)
def test_invalid_provider_tools(tool: ToolDefinition, field: str) -> None:
    assert wrong_fields(ask(tools=[TOOL, tool])) == [f"tools[1].{field}"]


@for_each("schema", ["{", "[]", "null", '{"a":NaN}', '{"a":"\\ud83d"}', '{"a":' * 65 + "0" + "}" * 65])
def test_schemas_that_are_not_objects(schema: str) -> None:
    assert wrong_fields(ask(tools=[ToolDefinition(name="find", parameters_json=schema)])) == [
        "tools[0].parameters_json"
    ]
    assert wrong_fields(ask(response_format=ResponseFormat(type="json_schema", schema_json=schema))) == [
        "response_format.schema_json"
    ]


@for_each(
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
        ({"tags": {str(n): "" for n in range(17)}}, "tags"),
        ({"tags": {"a": "b\nc"}}, "tags[a]"),
        ({"end_user_id": "x" * 1025}, "end_user_id"),
        ({"prompt_cache_key": "x" * 65}, "prompt_cache_key"),
        ({"prompt_cache_key": "a\nb"}, "prompt_cache_key"),
        ({"provider_headers": {"authorization": "x"}}, "provider_headers[authorization]"),
        ({"provider_headers": {"anthropic-version": "2026-10-21"}}, "provider_headers[anthropic-version]"),
        ({"provider_headers": {"Anthropic-Beta": "a"}}, "provider_headers[Anthropic-Beta]"),
        ({"provider_headers": {"anthropic-beta": ""}}, "provider_headers[anthropic-beta]"),
        ({"provider_headers": {"anthropic-beta": "a\r\nx-api-key: b"}}, "provider_headers[anthropic-beta]"),
        ({"provider_headers": {"anthropic-beta": "é"}}, "provider_headers[anthropic-beta]"),
        ({"provider_headers": {"openai-beta": "x" * 4097}}, "provider_headers[openai-beta]"),
        ({"provider_headers": {"openai-beta": "a "}}, "provider_headers[openai-beta]"),
        (
            {"provider_headers": {"openai-beta": "a", "anthropic-beta": "b", "anthropic-betas": "c"}},
            "provider_headers[anthropic-betas]",
        ),
        (
            {"tools": [{"name": "f", "provider_options_json": {"openai": "1"}}]},
            "tools[0].provider_options_json[openai]",
        ),
        (
            {"tools": [{"name": "f", "provider_options_json": dict.fromkeys(map(str, range(17)), "{}")}]},
            "tools[0].provider_options_json",
        ),
        (
            {"tools": [{"provider_tool": {"type": "t"}, "provider_options_json": {"openai": "{}"}}]},
            "tools[0].provider_options_json",
        ),
        ({"reasoning": ReasoningConfig(effort="Very high")}, "reasoning.effort"),
        ({"reasoning": ReasoningConfig(effort="x" * 33)}, "reasoning.effort"),
        ({"reasoning": ReasoningConfig(budget_tokens=0)}, "reasoning.budget_tokens"),
        ({"reasoning": ReasoningConfig(budget_tokens=-(2**31))}, "reasoning.budget_tokens"),
    ],
)
def test_other_invalid_fields(fields: dict[str, Any], wrong: str) -> None:
    assert wrong_fields(ask(**fields)) == [wrong]


@for_each(
    "fields",
    [
        {"tools": [TOOL], "tool_choice": ToolChoice(tool_name="find")},
        {"tool_choice": ToolChoice(mode="TOOL_CHOICE_MODE_NONE")},
        {"response_format": ResponseFormat(type="json_object")},
        {"response_format": ResponseFormat(type="json_schema", schema_json="{}", name="a-b_C1", strict=False)},
        {"provider_options_json": {"openai": '{"logprobs": 1e999}', "anyone": "{}"}},
        {"provider_headers": {"anthropic-beta": "a-2026-01-01, b", "openai-beta": "x" * 4096}},
        {"tools": [{"name": "f", "provider_options_json": {"anthropic": '{"defer_loading":true}'}}]},
        {"reasoning": ReasoningConfig()},
        {"reasoning": ReasoningConfig(effort="x-high", budget_tokens=1, include_text=False)},
        {"prompt_cache_key": "x" * 64},
        {"tags": {str(n): "x" for n in range(16)}, "end_user_id": "x" * 256, "parameter_policy": 3},
    ],
)
def test_other_valid_fields(fields: dict[str, Any]) -> None:
    check_chat_request(ask(**fields))


ODD_MESSAGES = [
    ChatMessage(role="user", content=" \n"),
    ChatMessage(role="user", parts=[ContentPart(text="Hello")]),
    ChatMessage(role="assistant"),
    ChatMessage(role="assistant", content="\u00a0"),
    ChatMessage(role="assistant", content="Hello", tool_calls=[CALL]),
    ChatMessage(role="tool", tool_call_id="a", content="2 C"),
]


@for_each("message", ODD_MESSAGES, ids=str)
def test_conversation_is_plain_only_if_all_messages_are(message: ChatMessage) -> None:
    assert check_chat_request(ask(messages=[HELLO, HELLO])).are_plain
    assert check_history(stored(HELLO, HELLO)).are_plain
    assert not check_chat_request(ask(messages=[HELLO, message, HELLO])).are_plain
    assert not check_history(stored(HELLO, message, HELLO)).are_plain


def test_violations_come_before_unimplemented_fields() -> None:
    assert wrong_fields(ask(model="", request_id="r")) == ["model"]


# ------------------------------------------------------------------------------------------- history of a session


def stored(*messages: ChatMessage) -> list[SessionMessage]:
    return [SessionMessage(sequence=5 + index, message=message) for index, message in enumerate(messages)]


def test_history_with_valid_messages() -> None:
    picture = ContentPart(media=Media(data=b"x", mime_type="image/png"), cache=PromptCache())
    result = ContentPart(tool_result=ToolResult(tool_call_id="a", content=[picture]))
    check_history(stored(HELLO, ChatMessage(role="user", parts=[picture]), ChatMessage(role="tool", parts=[result])))


def test_invalid_message_of_a_history_is_named_by_its_sequence() -> None:
    picture = ContentPart(media=Media(url="data:image/png;base64,AAAA"))
    with pytest.raises(PreconditionFailed, match="message 6 of the session cannot be sent: must be an http") as raised:
        check_history(stored(HELLO, ChatMessage(role="user", parts=[picture])))
    assert (raised.value.reason, raised.value.metadata) == ("SESSION_HISTORY_INVALID", {"sequence": "6"})
