"""A request that is wrong is refused by its field before anything is sent, whatever bytes it is made of."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from proto import models_pb2
from services.models.main import SERVICE
from services.shared.error_details import DETAILS_KEY, MAX_VIOLATIONS
from tests.rows import row
from tests.scripted_upstream import ScriptedUpstream
from tests.services.model_service import ModelService, chat_request, refusal_of
from tests.support.errors import explain, failure_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = f"/{SERVICE.full_name}/Chat"
CHAT_STREAM = f"/{SERVICE.full_name}/ChatStream"

Message = models_pb2.ChatMessage
Media = models_pb2.Media
Part = models_pb2.ContentPart
Tool = models_pb2.ToolDefinition
Config = models_pb2.ChatConfig
State = models_pb2.ProviderState
Format = models_pb2.ResponseFormat
Choice = models_pb2.ToolChoice
Call = models_pb2.ToolCall
Result = models_pb2.ToolResult


@pytest.fixture
def service(shared_service: ModelService) -> ModelService:
    return shared_service


@pytest.fixture
def upstream(shared_upstream: ScriptedUpstream) -> ScriptedUpstream:
    return shared_upstream


# ------------------------------------------------------------------------------------------- what the fields say


def config(**fields: Any) -> dict[str, Any]:
    return {"config": Config(**fields)}


def message(role: str, *parts: models_pb2.ContentPart, **fields: Any) -> dict[str, Any]:
    return {"messages": [Message(role=role, parts=parts, **fields)]}


def tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [Tool(**{"name": "weather", **fields})]}


def options(text: str) -> dict[str, Any]:
    return {"provider_options_json": {"openai": text}}


DEEP = "[" * 100_000 + "]" * 100_000
SOMEWHAT_DEEP = '{"a":' * 65 + "1" + "}" * 65

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": ""}, "model"),
    "model with a blank": ({"model": "gpt 4o"}, "model"),
    "model with a line break": ({"model": "gpt-4o\n"}, "model"),
    "long model": ({"model": "m" * 257}, "model"),
    "no messages": ({"messages": []}, "messages"),
    "only a system prompt": ({"messages": [], "model": "gpt-4o"}, "messages"),
    "no role": ({"messages": [Message(content="x")]}, "messages[0].role"),
    "role of nobody": ({"messages": [Message(role="robot", content="x")]}, "messages[0].role"),
    "role in capitals": ({"messages": [Message(role="User", content="x")]}, "messages[0].role"),
    "empty message": ({"messages": [Message(role="user")]}, "messages[0].content"),
    "second message": (
        {"messages": [Message(role="user", content="x"), Message(role="system")]},
        "messages[1].content",
    ),
    "empty part": (message("user", Part()), "messages[0].parts[0]"),
    "tool call of a user": (message("user", Part(tool_call=Call(id="c", name="n"))), "messages[0].parts[0]"),
    "tool calls of a user": (
        message("user", content="x", tool_calls=[Call(id="c", name="n")]),
        "messages[0].tool_calls",
    ),
    "refusal of a system": (message("system", Part(refusal="no")), "messages[0].parts[0]"),
    "content and parts that differ": (message("user", Part(text="a"), content="b"), "messages[0].content"),
    "tool calls and parts that differ": (
        message("assistant", Part(text="a"), tool_calls=[Call(id="c", name="n")]),
        "messages[0].tool_calls",
    ),
    "tool answer to nothing": (message("tool", content="x"), "messages[0].tool_call_id"),
    "tool answer of a user": (message("user", content="x", tool_call_id="c"), "messages[0].tool_call_id"),
    "tool result to nothing": (
        message("tool", Part(tool_result=Result())),
        "messages[0].parts[0].tool_result.tool_call_id",
    ),
    "tool result within a tool result": (
        message("tool", Part(tool_result=Result(tool_call_id="c", content=[Part(tool_result=Result())]))),
        "messages[0].parts[0].tool_result.content[0]",
    ),
    "tool call without an id": (message("assistant", tool_calls=[Call(name="n")]), "messages[0].tool_calls[0].id"),
    "tool call without a name": (
        message("assistant", Part(tool_call=Call(id="c"))),
        "messages[0].parts[0].tool_call.name",
    ),
    "state of a user": (message("user", Part(text="x", provider_state=State())), "messages[0].parts[0].provider_state"),
    "state that is no JSON": (
        message("assistant", Part(provider_state=State(provider="anthropic", data=b"{"))),
        "messages[0].parts[0].provider_state.data",
    ),
    "state that is no UTF-8": (
        message("assistant", Part(provider_state=State(provider="anthropic", data=b'{"a":"\xff"}'))),
        "messages[0].parts[0].provider_state.data",
    ),
    "state that is a system message": (
        message("assistant", Part(provider_state=State(provider="openai", data=b'{"type":"message","role":"system"}'))),
        "messages[0].parts[0].provider_state.data",
    ),
    "state that answers a call": (
        message("assistant", Part(provider_state=State(provider="openai", data=b'{"type":"function_call_output"}'))),
        "messages[0].parts[0].provider_state.data",
    ),
    "large state": (
        message("assistant", Part(provider_state=State(data=b" " * 300_000))),
        "messages[0].parts[0].provider_state.data",
    ),
    "media of nowhere": (message("user", Part(media=Media())), "messages[0].parts[0].media"),
    "media by a data URL": (
        message("user", Part(media=Media(url="data:image/png;base64,AA"))),
        "messages[0].parts[0].media.url",
    ),
    "bytes of no type": (message("user", Part(media=Media(data=b"x"))), "messages[0].parts[0].media.mime_type"),
    "detail of nobody": (
        message("user", Part(media=Media(url="https://x/y.png", detail="huge"))),
        "messages[0].parts[0].media.detail",
    ),
    "media of a tool by a file path": (
        message("tool", Part(tool_result=Result(tool_call_id="c", content=[Part(media=Media(url="file:///x"))]))),
        "messages[0].parts[0].tool_result.content[0].media.url",
    ),
    "media of an assistant": (message("assistant", Part(media=Media(url="https://x"))), "messages[0].parts[0]"),
    "cache that ends at once": (
        message("user", Part(text="x", cache=models_pb2.PromptCache(ttl=Duration()))),
        "messages[0].parts[0].cache.ttl",
    ),
    "cache for no valid time": (
        message("user", Part(text="x", cache=models_pb2.PromptCache(ttl=Duration(nanos=10**9)))),
        "messages[0].parts[0].cache.ttl",
    ),
    "many parts": (message("user", *[Part(text="x")] * 2001), "messages[0].parts"),
    "name that shows another": ({"model": "gpt-\u202e4o"}, "model"),
    "citations of a user": (
        message("user", Part(text="x", citations_json="[]")),
        "messages[0].parts[0].citations_json",
    ),
    "effort in two words": ({"reasoning": models_pb2.ReasoningConfig(effort="very high")}, "reasoning.effort"),
    "no tokens to think": ({"reasoning": models_pb2.ReasoningConfig(budget_tokens=0)}, "reasoning.budget_tokens"),
    "provider's tool of no type": (
        {"tools": [Tool(provider_tool=models_pb2.ProviderTool(config_json="{}"))]},
        "tools[0].provider_tool.type",
    ),
    "long cache key": ({"prompt_cache_key": "x" * 65}, "prompt_cache_key"),
    "temperature below 0": (config(temperature=-0.1), "config.temperature"),
    "temperature above 2": (config(temperature=2.1), "config.temperature"),
    "temperature that is no number": (config(temperature=math.nan), "config.temperature"),
    "endless temperature": (config(temperature=math.inf), "config.temperature"),
    "huge temperature": (config(temperature=1e308), "config.temperature"),
    "top_p of 0": (config(top_p=0), "config.top_p"),
    "top_p that is no number": (config(top_p=math.nan), "config.top_p"),
    "negative max_tokens": (config(max_tokens=-1), "config.max_tokens"),
    "max_tokens of 0": (config(max_tokens=0), "config.max_tokens"),
    "least max_tokens": (config(max_tokens=-(2**31)), "config.max_tokens"),
    "top_k of 0": (config(top_k=0), "config.top_k"),
    "endless penalty": (config(frequency_penalty=-math.inf), "config.frequency_penalty"),
    "presence penalty": (config(presence_penalty=2.5), "config.presence_penalty"),
    "empty stop sequence": (config(stop_sequences=["END", ""]), "config.stop_sequences[1]"),
    "many stop sequences": (config(stop_sequences=["x"] * 17), "config.stop_sequences"),
    "tool without a name": (tool(name=""), "tools[0].name"),
    "tool with a bad name": (tool(name="what's the weather?"), "tools[0].name"),
    "two tools of one name": ({"tools": [Tool(name="a"), Tool(name="a")]}, "tools[1].name"),
    "many tools": ({"tools": [Tool(name=f"t{number}") for number in range(129)]}, "tools"),
    "schema that is no JSON": (tool(parameters_json="{'a': 1}"), "tools[0].parameters_json"),
    "schema that is cut": (tool(parameters_json='{"type": "object"'), "tools[0].parameters_json"),
    "schema that is a list": (tool(parameters_json="[]"), "tools[0].parameters_json"),
    "schema with NaN": (tool(parameters_json='{"a": NaN}'), "tools[0].parameters_json"),
    "schema that is deep": (tool(parameters_json=DEEP), "tools[0].parameters_json"),
    "schema that is somewhat deep": (tool(parameters_json=SOMEWHAT_DEEP), "tools[0].parameters_json"),
    "choice of no tool": ({"tool_choice": Choice(tool_name="weather")}, "tool_choice.tool_name"),
    "choice of another tool": (tool() | {"tool_choice": Choice(tool_name="clock")}, "tool_choice.tool_name"),
    "a tool required of none": ({"tool_choice": Choice(mode=models_pb2.TOOL_CHOICE_MODE_REQUIRED)}, "tool_choice.mode"),
    "unknown choice": ({"tool_choice": Choice(mode=99)}, "tool_choice.mode"),
    "unknown policy": ({"parameter_policy": 99}, "parameter_policy"),
    "negative policy": ({"parameter_policy": -1}, "parameter_policy"),
    "format of nothing": ({"response_format": Format()}, "response_format.type"),
    "unknown format": ({"response_format": Format(type="xml")}, "response_format.type"),
    "format without its schema": ({"response_format": Format(type="json_schema")}, "response_format.schema_json"),
    "format whose schema is broken": (
        {"response_format": Format(type="json_schema", schema_json="{")},
        "response_format.schema_json",
    ),
    "format with a bad name": ({"response_format": Format(type="text", name="a b")}, "response_format.name"),
    "options that are no JSON": (options("nope"), "provider_options_json[openai]"),
    "options that are deep": (options('{"a":' + DEEP + "}"), "provider_options_json[openai]"),
    "options with half a character": (options('{"a": "\\ud800"}'), "provider_options_json[openai]"),
    "options that name another model": (options('{"model": "x"}'), "provider_options_json[openai]"),
    "many tags": ({"tags": {str(number): "x" for number in range(17)}}, "tags"),
    "long tag": ({"tags": {"team": "x" * 257}}, "tags[team]"),
    "tag with a line break": ({"tags": {"team": "a\nb"}}, "tags[team]"),
    "long end user": ({"end_user_id": "x" * 1025}, "end_user_id"),
}


async def test_wrong_field_is_named_and_nothing_is_sent(service: ModelService, upstream: ScriptedUpstream) -> None:
    for fields, path in WRONG.values():
        with row(fields, path):
            failure = await refusal_of(service, chat_request(**fields).SerializeToString())
            assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
            assert failure.reason == "INVALID_REQUEST"
            assert path in failure.fields
            assert failure.message.startswith(f"{path}: ")
            assert not upstream.requests


async def test_all_that_is_wrong_is_told_at_once(service: ModelService) -> None:
    request = chat_request(
        model="", messages=[Message(role="robot")], config=Config(top_p=2, max_tokens=0), tools=[Tool()]
    )
    failure = await refusal_of(service, request.SerializeToString())
    assert list(failure.fields) == ["model", "messages[0].role", "config.max_tokens", "config.top_p", "tools[0].name"]
    assert failure.message == "model: is required (and 4 more)"


async def test_empty_request_is_refused_by_its_fields(service: ModelService, upstream: ScriptedUpstream) -> None:
    failure = await refusal_of(service, b"")
    assert list(failure.fields) == ["model", "messages"]
    assert not upstream.requests


async def test_extremes_that_are_allowed_are_sent_as_they_are(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    limits = Config(temperature=2, max_tokens=2**31 - 1, top_p=1, seed=-(2**63), frequency_penalty=-2)
    request = chat_request(config=limits, text="x\x00\U0010ffff")
    async for _ in service.stub.ChatStream(request):
        pass
    body = upstream.requests[0].json()
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (2, 2**31 - 1, -(2**63))
    assert body["messages"][0]["content"] == "x\x00\U0010ffff"


# --------------------------------------------------------------------------------------------- the errors' size


MANY: dict[str, Callable[[], dict[str, Any]]] = {
    "a thousand wrong messages": lambda: {"messages": [Message(role="robot" * 20)] * 1000},
    "a thousand wrong tools": lambda: {"tools": [Tool(name="\U0001f600" * 100)] * 1000},
    "a map with a huge key": lambda: {"provider_options_json": {"\U0001f600" * 100_000: "{"}},
    "a huge model name": lambda: {"model": "\U0001f600" * 100_000},
    "a huge prompt name": lambda: {"system_prompt_name": "%\n" * 100_000},
    "tags with huge names": lambda: {"tags": {"\U0001f600" * 10_000 + str(number): "" for number in range(16)}},
}


@pytest.mark.parametrize("fields", MANY.values(), ids=MANY.keys())
async def test_details_fit_into_trailers_however_much_is_wrong(
    service: ModelService, upstream: ScriptedUpstream, fields: Callable[[], dict[str, Any]]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Chat(chat_request(**fields()))
    failure = explain(caught.value)
    assert failure.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert len(failure.fields) <= MAX_VIOLATIONS
    # As they travel: the message percent-encoded, the details in base64.
    details = dict(caught.value.trailing_metadata())[DETAILS_KEY]
    encoded = sum(1 if " " <= c <= "~" and c != "%" else 3 * len(c.encode()) for c in failure.message)
    assert encoded + len(details) * 4 / 3 < 7 * 1024
    assert not upstream.requests


async def test_request_of_a_million_empty_messages_is_refused_without_holding_up_others(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    request = chat_request(messages=[Message()] * 1_000_000).SerializeToString()
    call = service.channel.unary_unary(CHAT)(request)
    failure = await asyncio.wait_for(failure_of(call), 5)
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "messages" in failure.fields
    assert not upstream.requests


async def test_request_that_is_too_large_is_refused(service: ModelService, upstream: ScriptedUpstream) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Chat(chat_request(text="x" * (32 * 1024 * 1024)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not upstream.requests
