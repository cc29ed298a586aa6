"""What is sent, held against the vendors' own SDKs: their URLs, their headers, and types beside those of test_bodies.

The SDKs are imported by the tests that need them: they take seconds to load.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import TypeAdapter

from proto.models_pb2 import ChatMessage, ChatRequest, ContentPart, Media
from services.models.catalog.provider_registry import Provider, ProviderRegistry
from services.models.catalog.vendors import VENDORS
from services.models.providers.anthropic.dialect import API_VERSION
from services.models.providers.base import Conversation
from services.models.providers.chat import chat
from services.models.settings import Settings
from services.models.transport.client import HttpClient
from tests.scripted_upstream import Received, ScriptedUpstream, json_answer
from tests.wire.dialects import HELLO
from tests.wire.speeches.chat_completions import OpenAISpeech
from tests.wire.speeches.messages import AnthropicSpeech
from tests.wire.vendor_types import plain

ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-openai-test",
    "OPENAI_ORG_ID": "org-test",
    "OPENAI_PROJECT_ID": "proj-test",
    "ANTHROPIC_API_KEY": "sk-ant-test",
}

USER = ChatMessage(role="user", content="Hello")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of both SDKs, and no others of theirs."""
    for variable in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)


def provider(vendor: Any) -> Provider:
    return ProviderRegistry(Settings().accounts()).get(VENDORS[vendor], "any")


def test_sounds_are_of_openais_type() -> None:
    from openai.types.chat import ChatCompletionUserMessageParam

    target = provider("openai").target("gpt-audio")
    sound = ContentPart(media=Media(data=b"RIFF", mime_type="audio/wav"))
    asked = [ChatMessage(role="user", parts=[ContentPart(text="Who speaks?"), sound])]
    encoded = target.dialect.encode(Conversation(ChatRequest(model="any"), asked), target, stream=False)
    [message] = msgspec.json.decode(encoded.request.body)["messages"]
    assert plain(TypeAdapter(ChatCompletionUserMessageParam).validate_python(message, strict=True)) == message


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
