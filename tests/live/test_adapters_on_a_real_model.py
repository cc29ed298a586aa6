"""All adapters against llama.cpp's own server, which speaks both vendors' dialects and has quirks that no script has.

It closes the socket after each streamed answer despite keep-alive, and generates to the end of an answer that is not
streamed although nobody waits for it. The model is tiny: these tests check the machinery, not the wit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from examples.local_model import LocalModel
from proto import models_pb2
from services.models.providers.base import Conversation, Target
from services.models.providers.exchange import chat, chat_stream
from services.models.providers.transport import Transport
from services.models.routing import registered_target
from services.shared.errors import InvalidRequest

pytestmark = pytest.mark.local_model

ADAPTERS = ("openai", "openai-compatible", "vllm", "anthropic")


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport()
    yield transport
    await transport.close()


@pytest.fixture(params=ADAPTERS)
def target(request: pytest.FixtureRequest, local_model: LocalModel) -> Target:
    model = models_pb2.RegisteredModel(
        name="small",
        endpoint=local_model.url,
        adapter_type=request.param,
        provider="llama.cpp",
        upstream_model=local_model.model,
    )
    return registered_target(model)


def asking(text: str, **config: Any) -> Conversation:
    request = models_pb2.ChatRequest(
        model="small",
        messages=[models_pb2.ChatMessage(role="user", content=text)],
        config=models_pb2.ChatConfig(**{"seed": 1, "temperature": 0, "max_tokens": 24, **config}),
        parameter_policy=models_pb2.PARAMETER_POLICY_ADAPT,
    )
    return Conversation(request, request.messages)


async def collect(
    transport: Transport, target: Target, conversation: Conversation
) -> tuple[list[models_pb2.ChatChunk], models_pb2.ChatResponse]:
    chunks = [chunk async for chunk in chat_stream(transport, target, conversation)]
    assert [chunk.HasField("response") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    return chunks[:-1], chunks[-1].response


async def test_chat_gives_text_usage_and_finish_reason(transport: Transport, target: Target) -> None:
    response = await chat(transport, target, asking("Say hello."))

    assert response.text
    assert response.finish_reason in ("stop", "length")
    assert response.usage.prompt_tokens > 0
    assert 0 < response.usage.completion_tokens <= 24
    assert not response.usage.estimated


async def test_stream_gives_several_tokens_that_are_the_whole_text(transport: Transport, target: Target) -> None:
    chunks, response = await collect(transport, target, asking("Count to 10."))

    assert len(chunks) > 1
    assert "".join(chunk.token for chunk in chunks) == response.text
    assert response.usage.completion_tokens > 1


async def test_many_turns_with_a_system_message(transport: Transport, target: Target) -> None:
    conversation = asking("And of Italy?")
    request = conversation.request
    request.messages.insert(0, models_pb2.ChatMessage(role="system", content="Answer with one word."))
    request.messages.insert(1, models_pb2.ChatMessage(role="user", content="The capital of France?"))
    request.messages.insert(2, models_pb2.ChatMessage(role="assistant", content="Paris"))

    response = await chat(transport, target, conversation)

    assert response.text
    assert response.usage.prompt_tokens > 20


async def test_max_tokens_ends_the_answer_with_length(transport: Transport, target: Target) -> None:
    _, response = await collect(transport, target, asking("Tell a long story.", max_tokens=3))

    assert response.finish_reason == "length"
    assert response.usage.completion_tokens == 3


async def test_a_stop_sequence_ends_the_answer_and_is_no_part_of_it(transport: Transport, target: Target) -> None:
    _, response = await collect(transport, target, asking("Count: 1, 2, 3, 4, 5, 6.", stop_sequences=["e"]))

    assert response.finish_reason == "stop"
    assert "e" not in response.text


async def test_call_after_call_succeeds_although_the_server_closes_after_each_stream(
    transport: Transport, target: Target
) -> None:
    for _ in range(4):
        _, response = await collect(transport, target, asking("Hi", max_tokens=2))
        assert response.finish_reason in ("stop", "length")
        response = await chat(transport, target, asking("Hi", max_tokens=2))
        assert response.finish_reason in ("stop", "length")


async def test_a_prompt_beyond_the_context_is_a_precise_error(transport: Transport, target: Target) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await chat(transport, target, asking("word " * 4000))

    assert raised.value.reason == "CONTEXT_LENGTH_EXCEEDED"


async def test_leaving_a_stream_frees_the_model_for_the_next_call(transport: Transport, target: Target) -> None:
    """The model has four slots: were streams that nobody reads generated on, the later ones would have to wait."""
    for _ in range(8):
        stream = chat_stream(transport, target, asking("Tell a very long story.", max_tokens=1500))
        async with contextlib.aclosing(stream):
            async for chunk in stream:
                if chunk.token:
                    break

    async with asyncio.timeout(20):
        response = await chat(transport, target, asking("Hi", max_tokens=2))
    assert response.finish_reason in ("stop", "length")
