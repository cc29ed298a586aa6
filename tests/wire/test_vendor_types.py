"""What is sent, held against the vendors' own SDKs: their request types, their URLs, their headers.

The SDKs are imported by the tests that need them: they take seconds to load.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from pydantic import TypeAdapter

from proto.models_pb2 import (
    ChatConfig,
    ChatMessage,
    ChatRequest,
    ContentPart,
    Media,
    ProviderState,
    Reasoning,
    ReasoningConfig,
    ResponseFormat,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)
from services.models.catalog.provider_registry import Provider, ProviderRegistry
from services.models.catalog.vendors import VENDORS
from services.models.providers.anthropic.dialect import API_VERSION
from services.models.providers.base import Conversation
from services.models.providers.exchange import chat
from services.models.settings import Settings
from services.models.transport.client import HttpClient
from tests.rows import row
from tests.scripted_upstream import Received, ScriptedUpstream, json_answer
from tests.wire.dialects import HELLO, AnthropicSpeech, OpenAISpeech

ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-openai-test",
    "OPENAI_ORG_ID": "org-test",
    "OPENAI_PROJECT_ID": "proj-test",
    "ANTHROPIC_API_KEY": "sk-ant-test",
}

USER = ChatMessage(role="user", content="Hello")
FIND = ToolDefinition(name="find", description="Finds.", parameters_json='{"type": "object"}', strict=True)
CALL = ToolCall(id="call-a", name="find", arguments_json='{"n": 1}')
RESULT = ToolResult(tool_call_id="call-a", content=[ContentPart(text="found")], is_error=True)

PICTURE = ContentPart(media=Media(data=b"PNG", mime_type="image/png", detail="low"))
SEEN = ToolResult(tool_call_id="call-a", content=[ContentPart(text="seen"), PICTURE])

CONVERSATIONS: dict[str, list[ChatMessage]] = {
    "one question": [USER],
    "system and developer": [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="developer", content="Be kind.", name="ops"),
        ChatMessage(role="user", content="Hello", name="ada"),
        ChatMessage(role="assistant", content="Hi.", name="bot"),
        USER,
    ],
    "tool calls": [
        USER,
        ChatMessage(role="assistant", tool_calls=[CALL]),
        ChatMessage(role="tool", tool_call_id="call-a", content="found"),
        ChatMessage(role="assistant", content="Let me see.", tool_calls=[CALL]),
        ChatMessage(role="tool", parts=[ContentPart(tool_result=RESULT)]),
    ],
    "media": [
        ChatMessage(
            role="user",
            parts=[
                ContentPart(text="Compare:"),
                ContentPart(media=Media(url="https://example.com/a.png")),
                PICTURE,
                ContentPart(media=Media(data=b"%PDF", mime_type="application/pdf", filename="a.pdf")),
                ContentPart(media=Media(file_id="file-1", mime_type="application/pdf")),
            ],
        ),
        ChatMessage(role="assistant", tool_calls=[CALL]),
        ChatMessage(role="tool", parts=[ContentPart(tool_result=SEEN)]),
    ],
    "refusal": [USER, ChatMessage(role="assistant", parts=[ContentPart(refusal="No.")]), USER],
    "thinking": [
        USER,
        ChatMessage(
            role="assistant",
            parts=[
                ContentPart(
                    reasoning=Reasoning(text="Hm."),
                    provider_state=ProviderState(
                        provider="anthropic", data=b'{"type":"thinking","thinking":"Hm.","signature":"c2ln"}'
                    ),
                ),
                ContentPart(
                    provider_state=ProviderState(
                        provider="anthropic", data=b'{"type":"redacted_thinking","data":"b3Bh"}'
                    ),
                ),
                ContentPart(text="Hi."),
            ],
        ),
        USER,
    ],
}

EVERY_PARAMETER = ChatConfig(
    temperature=0,
    max_tokens=100,
    top_p=1,
    stop_sequences=["END"],
    seed=7,
    top_k=5,
    frequency_penalty=0.5,
    presence_penalty=-0.5,
    parallel_tool_calls=False,
)

SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "every parameter": {"config": EVERY_PARAMETER, "tools": [FIND]},
    "tools": {"tools": [FIND, ToolDefinition(name="stop")]},
    "tool choice auto": {"tools": [FIND], "tool_choice": ToolChoice(mode="TOOL_CHOICE_MODE_AUTO")},
    "tool choice none": {"tools": [FIND], "tool_choice": ToolChoice(mode="TOOL_CHOICE_MODE_NONE")},
    "tool choice required": {"tools": [FIND], "tool_choice": ToolChoice(mode="TOOL_CHOICE_MODE_REQUIRED")},
    "tool choice by name": {"tools": [FIND], "tool_choice": ToolChoice(tool_name="find")},
    "json schema": {"response_format": ResponseFormat(type="json_schema", schema_json='{"type": "object"}')},
    "strict json schema": {
        "response_format": ResponseFormat(type="json_schema", schema_json='{"type": "object"}', strict=True)
    },
    "end user": {"end_user_id": "user-7"},
    "cache key": {"prompt_cache_key": "faq"},
    "effort": {"reasoning": ReasoningConfig(effort="low", include_text=True)},
    "no effort": {"reasoning": ReasoningConfig(effort="none")},
    "budget": {"reasoning": ReasoningConfig(budget_tokens=2048)},
}

MODELS = {"openai": ["gpt-4o", "gpt-5", "gpt-5.1", "o3"], "anthropic": ["claude-3-haiku-20240307", "claude-opus-4-7"]}

# The SDK's types are of the newest API version, which has lost them; see `API_VERSION`.
OF_THE_OLDER_VERSION = {("anthropic", "temperature"), ("anthropic", "top_p"), ("anthropic", "top_k")}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of both SDKs, and no others of theirs."""
    for variable in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)


def provider(vendor: Any) -> Provider:
    return ProviderRegistry(Settings().accounts()).get(VENDORS[vendor], "any")


def body_of(vendor: str, model: str, conversation: str, settings: str, *, stream: bool) -> Any:
    target = provider(vendor).target(model)
    request = ChatRequest(model="any", **SETTINGS[settings])
    encoded = target.dialect.encode(Conversation(request, CONVERSATIONS[conversation]), target, stream=stream)
    return msgspec.json.decode(encoded.request.body)


def plain(value: Any) -> Any:
    """A validated value, with the iterables drained that pydantic validates only then."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


@functools.cache
def request_type(vendor: str, stream: bool) -> TypeAdapter[Any]:
    if vendor == "openai":
        from openai.types.chat import completion_create_params as chat_completions

        kinds = (
            chat_completions.CompletionCreateParamsNonStreaming,
            chat_completions.CompletionCreateParamsStreaming,
        )
        return TypeAdapter(kinds[stream])
    from anthropic.types import message_create_params as messages

    return TypeAdapter((messages.MessageCreateParamsNonStreaming, messages.MessageCreateParamsStreaming)[stream])


@pytest.mark.parametrize(("vendor", "model"), [(vendor, model) for vendor in MODELS for model in MODELS[vendor]])
def test_body_is_of_the_vendors_type(vendor: str, model: str) -> None:
    """Also that nothing is in it which the type does not know: validation drops such members."""
    for conversation, settings, stream in itertools.product(CONVERSATIONS, SETTINGS, (False, True)):
        with row(conversation, settings, stream):
            body = body_of(vendor, model, conversation, settings, stream=stream)
            known = {name: value for name, value in body.items() if (vendor, name) not in OF_THE_OLDER_VERSION}
            assert plain(request_type(vendor, stream).validate_python(body, strict=True)) == known


def test_sounds_are_of_openais_type() -> None:
    from openai.types.chat import ChatCompletionUserMessageParam

    target = provider("openai").target("gpt-audio")
    sound = ContentPart(media=Media(data=b"RIFF", mime_type="audio/wav"))
    asked = [ChatMessage(role="user", parts=[ContentPart(text="Who speaks?"), sound])]
    encoded = target.dialect.encode(Conversation(ChatRequest(model="any"), asked), target, stream=False)
    [message] = msgspec.json.decode(encoded.request.body)["messages"]
    assert plain(TypeAdapter(ChatCompletionUserMessageParam).validate_python(message, strict=True)) == message


@pytest.mark.parametrize(("vendor", "member"), [("openai", "messages"), ("anthropic", "max_tokens")])
def test_types_would_notice(vendor: str, member: str) -> None:
    body = body_of(vendor, MODELS[vendor][0], "tool calls", "tools", stream=False)
    del body[member]
    with pytest.raises(ValueError, match=member):
        request_type(vendor, False).validate_python(body, strict=True)


# ------------------------------------------------------------------------------------------------- URL and headers


async def ours(vendor: str, model: str) -> None:
    transport = HttpClient()
    request = ChatRequest(model=model, messages=[USER])
    await chat(transport, provider(vendor).target(model), Conversation(request, request.messages))
    await transport.close()


async def openais() -> None:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(max_retries=0) as client:
        await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}])


async def anthropics() -> None:
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic(max_retries=0) as client:
        messages: Any = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
        await client.messages.create(model="claude-sonnet-4-6", messages=messages, max_tokens=16_384)


def credentials(request: Received) -> dict[str, str]:
    names = ("authorization", "x-api-key", "openai-organization", "openai-project", "anthropic-version")
    return {name: request.headers[name] for name in names if name in request.headers}


@pytest.mark.parametrize("path", ["/v1", "/proxy/v1/", "/"])
async def test_openai_is_reached_as_by_its_sdk(
    monkeypatch: pytest.MonkeyPatch, upstream: ScriptedUpstream, path: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url + path)
    upstream.default = json_answer(OpenAISpeech().body(HELLO))
    await openais()
    await ours("openai", "gpt-4o")
    theirs, mine = upstream.requests
    assert (mine.method, mine.path) == (theirs.method, theirs.path)
    assert credentials(mine) == credentials(theirs)
    assert mine.headers["content-type"] == theirs.headers["content-type"]
    assert mine.json() == theirs.json()


@pytest.mark.parametrize("path", ["", "/", "/proxy", "/proxy/"])
async def test_anthropic_is_reached_as_by_its_sdk(
    monkeypatch: pytest.MonkeyPatch, upstream: ScriptedUpstream, path: str
) -> None:
    """But for the API version, which is ours to choose; the key has its header of that version."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", upstream.url + path)
    upstream.default = json_answer(AnthropicSpeech().body(HELLO))
    await anthropics()
    await ours("anthropic", "claude-sonnet-4-6")
    theirs, mine = upstream.requests
    assert (mine.method, mine.path) == (theirs.method, theirs.path)
    assert credentials(theirs) == {"authorization": "Bearer sk-ant-test", "anthropic-version": "2026-10-21"}
    assert credentials(mine) == {"x-api-key": "sk-ant-test", "anthropic-version": API_VERSION}
    assert mine.headers["content-type"] == theirs.headers["content-type"]
    assert mine.json() == theirs.json()


def test_addresses_are_the_vendors_own() -> None:
    from anthropic import Anthropic
    from openai import OpenAI

    with OpenAI() as openai_client, Anthropic() as anthropic_client:
        addresses = [str(openai_client.base_url), str(anthropic_client.base_url) + "/v1/"]
    mine = [provider("openai").endpoint + "/", provider("anthropic").endpoint + "/"]
    assert mine == [address.replace("//v1", "/v1") for address in addresses]


def test_length_above_which_an_answer_is_streamed_is_the_sdks() -> None:
    from anthropic import Anthropic

    from services.models.providers.anthropic.request import LONG_ANSWER_TOKENS

    with Anthropic() as client:
        client._calculate_nonstreaming_timeout(LONG_ANSWER_TOKENS, None)
        with pytest.raises(ValueError, match="treaming"):
            client._calculate_nonstreaming_timeout(LONG_ANSWER_TOKENS + 1, None)


def test_every_finish_reason_of_the_sdks_is_known() -> None:
    from typing import get_args

    from anthropic.types import StopReason
    from openai.types.chat.chat_completion import Choice

    from services.models.providers.answers.finish_reasons import FINISH_REASONS

    assert set(get_args(Choice.model_fields["finish_reason"].annotation)) <= FINISH_REASONS.keys()
    assert set(get_args(StopReason)) <= FINISH_REASONS.keys()
