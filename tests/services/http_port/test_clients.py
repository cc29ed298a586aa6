"""The vendors' own SDKs against the port: models of either vendor answer either SDK, whole and streamed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.rows import for_each
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.model_service import (
    ModelService,
    anthropic_message,
    completion,
    piece,
    streamed_completion,
    streamed_message,
)

if TYPE_CHECKING:
    import anthropic
    import openai

OPENAI_MODEL, ANTHROPIC_MODEL = "gpt-4o", "claude-sonnet-4-6"


def played(model: str, *, stream: bool) -> Any:
    if model == OPENAI_MODEL:
        return streamed_completion(piece("Hel"), piece("lo")) if stream else json_answer(completion("Hello"))
    return streamed_message("Hel", "lo") if stream else json_answer(anthropic_message("Hello"))


@contextlib.asynccontextmanager
async def openai_client(service: ModelService) -> AsyncIterator[openai.AsyncOpenAI]:
    import openai

    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="sk-any", max_retries=0) as client:
        yield client


@contextlib.asynccontextmanager
async def anthropic_client(service: ModelService) -> AsyncIterator[anthropic.AsyncAnthropic]:
    import anthropic

    async with anthropic.AsyncAnthropic(base_url=service.url, api_key="sk-any", max_retries=0) as client:
        yield client


@for_each("model", [OPENAI_MODEL, ANTHROPIC_MODEL])
async def test_chat_completions(service: ModelService, upstream: ScriptedUpstream, model: str) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    async with openai_client(service) as client:
        upstream.play(played(model, stream=False))
        answer = await client.chat.completions.create(model=model, messages=messages)
        assert (answer.choices[0].message.content, answer.model) == ("Hello", model)
        assert answer.usage
        assert answer.usage.total_tokens == 13
        upstream.play(played(model, stream=True))
        async with client.chat.completions.stream(model=model, messages=messages) as stream:
            final = await stream.get_final_completion()
        assert (final.choices[0].message.content, final.choices[0].finish_reason) == ("Hello", "stop")


@for_each("model", [OPENAI_MODEL, ANTHROPIC_MODEL])
async def test_messages(service: ModelService, upstream: ScriptedUpstream, model: str) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    async with anthropic_client(service) as client:
        upstream.play(played(model, stream=False))
        answer = await client.messages.create(model=model, messages=messages, max_tokens=10)
        assert (answer.content[0].text, answer.model) == ("Hello", model)  # type: ignore[union-attr]
        assert answer.usage.input_tokens + answer.usage.output_tokens == 13
        upstream.play(played(model, stream=True))
        async with client.messages.stream(model=model, messages=messages, max_tokens=10) as stream:
            final = await stream.get_final_message()
        assert (final.content[0].text, final.stop_reason) == ("Hello", "end_turn")  # type: ignore[union-attr]


async def test_errors_are_those_of_the_sdks(service: ModelService) -> None:
    import anthropic
    import openai

    messages: Any = [{"role": "user", "content": "Hi"}]
    async with openai_client(service) as client:
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="nothing-9", messages=messages)
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as wrong:
            await client.chat.completions.create(model=ANTHROPIC_MODEL, messages=messages, temperature="hot")  # type: ignore[call-overload]
        assert wrong.value.param == "temperature"
    async with anthropic_client(service) as other:
        with pytest.raises(anthropic.NotFoundError):
            await other.messages.create(model="nothing-9", messages=messages, max_tokens=1)
