"""All adapters against llama.cpp's own server, which speaks three dialects and has quirks that no script has.

It closes the socket after each streamed answer despite keep-alive, and generates to the end of an answer that is not
streamed although nobody waits for it. In Responses it numbers no items of its streams, calls an answer `completed`
that ran into its limit, and overlooks `text.format`; in Messages it overlooks `output_config` and `seed`. The template
of this model knows no tools, and the server then ignores them. The model is tiny: these tests check the machinery,
not the wit.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from examples.local_model import LocalModel
from proto import models_pb2
from services.models.providers.base import Conversation, Target
from services.models.providers.chat import chat, chat_stream
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.routing.registered_target import registered_target
from services.models.transport.client import HttpClient
from services.shared.errors import InvalidRequest

pytestmark = pytest.mark.local_model

RESPONSES, MESSAGES = "responses", "anthropic"

in_chat_completions = pytest.mark.parametrize("target", ["openai-compatible"], indirect=True)
"""Where it does not matter what is said on the connection."""
in_responses = pytest.mark.parametrize("target", [RESPONSES], indirect=True)
in_messages = pytest.mark.parametrize("target", [MESSAGES], indirect=True)
except_in_responses = pytest.mark.parametrize("target", ["openai-compatible", MESSAGES], indirect=True)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "known": {"type": "boolean"}},
    "required": ["city", "known"],
    "additionalProperties": False,
}
ANSWER_BY_SCHEMA = models_pb2.ResponseFormat(type="json_schema", schema_json=json.dumps(SCHEMA))
WEATHER = models_pb2.ToolDefinition(name="weather", parameters_json=json.dumps(SCHEMA))


@pytest.fixture
async def transport() -> AsyncIterator[HttpClient]:
    transport = HttpClient()
    yield transport
    await transport.close()


@pytest.fixture(params=["openai-compatible", RESPONSES, MESSAGES])
def target(request: pytest.FixtureRequest, local_model: LocalModel) -> Target:
    """The model behind each adapter, and behind the Responses dialect, which no registration chooses."""
    adapter_type = "openai-compatible" if request.param == RESPONSES else request.param
    model = models_pb2.RegisteredModel(
        name="small",
        endpoint=local_model.url,
        adapter_type=adapter_type,
        provider="llama.cpp",
        upstream_model=local_model.model,
    )
    target = registered_target(model)
    return dataclasses.replace(target, dialect=OPENAI_RESPONSES) if request.param == RESPONSES else target


def with_options(target: Target, **options: Any) -> Target:
    """The target, with members of the body that its dialect has no field for."""
    return dataclasses.replace(target, default_options_json=json.dumps(options))


def asking(text: str, *, fields: dict[str, Any] | None = None, **config: Any) -> Conversation:
    request = models_pb2.ChatRequest(
        model="small",
        messages=[models_pb2.ChatMessage(role="user", content=text)],
        config=models_pb2.ChatConfig(**{"seed": 1, "temperature": 0, "max_tokens": 8, **config}),
        parameter_policy=models_pb2.PARAMETER_POLICY_ADAPT,
        **(fields or {}),
    )
    return Conversation(request, request.messages)


async def collect(
    transport: HttpClient, target: Target, conversation: Conversation
) -> tuple[list[models_pb2.ChatChunk], models_pb2.ChatResponse]:
    chunks = [chunk async for chunk in chat_stream(transport, target, conversation)]
    assert [chunk.HasField("response") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    return chunks[:-1], chunks[-1].response


def dropped(response: models_pb2.ChatResponse) -> set[str]:
    return {notice.field for notice in response.warnings if notice.code == "PARAMETER_DROPPED"}


def assert_follows_schema(text: str) -> None:
    value = json.loads(text)
    assert value.keys() == {"city", "known"}
    assert value["city"] in ("Paris", "Rome")
    assert isinstance(value["known"], bool)


# ------------------------------------------------------------------------------------------------- both verbs, all


async def test_both_verbs_give_the_same_answer(transport: HttpClient, target: Target) -> None:
    """The server itself writes the answer here, once as a body and once as events."""
    whole = await chat(transport, dataclasses.replace(target, streams_unary=False), asking("Count to 5."))
    chunks, streamed = await collect(transport, target, asking("Count to 5."))

    assert whole.text
    assert whole.finish_reason in ("stop", "length")
    assert whole.usage.prompt_tokens > 0
    assert 1 < whole.usage.completion_tokens <= 16
    assert not whole.usage.estimated
    assert len(chunks) > 1
    assert "".join(chunk.token for chunk in chunks) == streamed.text
    assert streamed.message == whole.message
    assert streamed.finish_reason == whole.finish_reason
    assert streamed.usage.completion_tokens == whole.usage.completion_tokens


async def test_many_turns_with_a_system_message(transport: HttpClient, target: Target) -> None:
    conversation = asking("And of Italy?")
    request = conversation.request
    request.messages.insert(0, models_pb2.ChatMessage(role="system", content="Answer with one word."))
    request.messages.insert(1, models_pb2.ChatMessage(role="user", content="The capital of France?"))
    request.messages.insert(2, models_pb2.ChatMessage(role="assistant", content="Paris"))

    response = await chat(transport, target, conversation)

    assert response.text
    assert response.usage.prompt_tokens > 20


async def test_an_answer_goes_back_untouched_as_the_next_turn(transport: HttpClient, target: Target) -> None:
    conversation = asking("The capital of France?")
    _, first = await collect(transport, target, conversation)
    conversation.request.messages.append(first.message)
    conversation.request.messages.add(role="user", content="And of Italy?")

    second = await chat(transport, target, conversation)

    assert second.text
    assert second.usage.prompt_tokens > first.usage.total_tokens


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_beyond_the_context_is_a_precise_error(
    transport: HttpClient, target: Target, stream: bool
) -> None:
    conversation = asking("word " * 4000)
    with pytest.raises(InvalidRequest) as raised:
        await (collect(transport, target, conversation) if stream else chat(transport, target, conversation))

    assert raised.value.reason == "CONTEXT_LENGTH_EXCEEDED"


@in_chat_completions
async def test_call_after_call_succeeds_although_the_server_closes_after_each_stream(
    transport: HttpClient, target: Target
) -> None:
    for _ in range(2):
        _, response = await collect(transport, target, asking("Hi", max_tokens=2))
        assert response.finish_reason in ("stop", "length")
        response = await chat(transport, target, asking("Hi", max_tokens=2))
        assert response.finish_reason in ("stop", "length")


@in_chat_completions
async def test_leaving_a_stream_frees_the_model_for_the_next_call(transport: HttpClient, target: Target) -> None:
    """The model has four slots: were streams that nobody reads generated on, the later ones would have to wait."""
    for _ in range(5):
        stream = chat_stream(transport, target, asking("Tell a very long story.", max_tokens=1500))
        async with contextlib.aclosing(stream):
            async for chunk in stream:
                if chunk.token:
                    break

    async with asyncio.timeout(20):
        response = await chat(transport, target, asking("Hi", max_tokens=2))
    assert response.finish_reason in ("stop", "length")


# ------------------------------------------------------------------------------------------------ length and stops


@except_in_responses
async def test_max_tokens_ends_the_answer_with_length(transport: HttpClient, target: Target) -> None:
    _, response = await collect(transport, target, asking("Tell a long story.", max_tokens=3))

    assert response.finish_reason == "length"
    assert response.usage.completion_tokens == 3


@in_responses
async def test_fewer_tokens_than_responses_takes_are_raised_and_named(transport: HttpClient, target: Target) -> None:
    """The server calls an answer `completed` that ran into its limit; ours says of it what the server said."""
    _, response = await collect(transport, target, asking("Tell a long story.", max_tokens=3))

    assert response.usage.completion_tokens == 16
    assert response.raw_finish_reason == "completed"
    assert "config.max_tokens" in {notice.field for notice in response.warnings if notice.code == "PARAMETER_CHANGED"}


@except_in_responses
async def test_a_stop_sequence_ends_the_answer_and_is_no_part_of_it(transport: HttpClient, target: Target) -> None:
    _, response = await collect(transport, target, asking("Count: 1, 2, 3, 4, 5, 6.", stop_sequences=["e"]))

    assert response.finish_reason == "stop"
    assert "e" not in response.text


@in_responses
async def test_a_stop_sequence_of_a_registration_reaches_responses_too(transport: HttpClient, target: Target) -> None:
    """Responses has no such field: what a request asks for is named as dropped, what the options say is sent."""
    _, response = await collect(
        transport, with_options(target, stop=["e"]), asking("Count: 1, 2, 3, 4, 5, 6.", stop_sequences=["z"])
    )

    assert "config.stop_sequences" in dropped(response)
    assert response.finish_reason == "stop"
    assert "e" not in response.text


# ------------------------------------------------------------------------------------------------------------- seed


@pytest.mark.parametrize("target", ["openai-compatible"], indirect=True)
async def test_one_seed_gives_one_text_at_any_temperature(transport: HttpClient, target: Target) -> None:
    """Without the server's cache of prompts, so that each call computes the very same."""
    target = with_options(target, cache_prompt=False)
    texts = [
        (await chat(transport, target, asking("Tell a story.", temperature=1, seed=seed, max_tokens=8))).text
        for seed in (7, 7)
    ]

    assert texts[0] == texts[1]


@in_responses
async def test_a_seed_of_a_registration_reaches_responses_too(transport: HttpClient, target: Target) -> None:
    responses = [
        await chat(
            transport,
            with_options(target, cache_prompt=False, seed=seed),
            asking("Tell a story.", temperature=1, max_tokens=16),
        )
        for seed in (7, 7)
    ]

    assert "config.seed" in dropped(responses[0])
    assert responses[0].text == responses[1].text


@in_messages
async def test_a_seed_that_messages_does_not_have_is_named(transport: HttpClient, target: Target) -> None:
    assert "config.seed" in dropped(await chat(transport, target, asking("Hi", max_tokens=2, seed=7)))


# ------------------------------------------------------------------------------------------------ schemas and tools


@pytest.mark.parametrize(("target", "stream"), [("openai", False), ("vllm", True)], indirect=["target"])
async def test_an_answer_follows_its_json_schema(transport: HttpClient, target: Target, stream: bool) -> None:
    conversation = asking("Where is Rome?", max_tokens=200, fields={"response_format": ANSWER_BY_SCHEMA})
    if stream:
        _, response = await collect(transport, target, conversation)
    else:
        response = await chat(transport, target, conversation)

    assert response.finish_reason == "stop"
    assert_follows_schema(response.text)


@in_responses
async def test_a_schema_of_a_registration_binds_where_the_servers_responses_overlook_the_request(
    transport: HttpClient, target: Target
) -> None:
    """`text.format` is sent as OpenAI documents it, and survives a server that does not read it."""
    conversation = asking("Where is Rome?", max_tokens=200, fields={"response_format": ANSWER_BY_SCHEMA})

    _, response = await collect(transport, with_options(target, json_schema=SCHEMA), conversation)

    assert_follows_schema(response.text)


@in_messages
async def test_a_schema_by_a_tool_that_the_model_does_not_call_is_named(transport: HttpClient, target: Target) -> None:
    """A server that merely speaks Messages is asked by a tool; this model's template has none, so it just talks."""
    response = await chat(transport, target, asking("Where is Rome?", fields={"response_format": ANSWER_BY_SCHEMA}))

    assert response.text
    assert not response.tool_calls
    assert "response_format" in {notice.field for notice in response.warnings if notice.code == "PARAMETER_CHANGED"}


async def test_tools_that_the_servers_template_does_not_know_are_no_error(
    transport: HttpClient, target: Target
) -> None:
    """Whatever the server makes of a required call, no call is invented for it."""
    required = models_pb2.ToolChoice(mode=models_pb2.TOOL_CHOICE_MODE_REQUIRED)
    fields = {"tools": [WEATHER], "tool_choice": required}

    _, response = await collect(transport, target, asking("How is the weather in Rome?", fields=fields))

    assert response.text
    assert not response.tool_calls
    assert response.finish_reason in ("stop", "length")


async def test_a_tool_call_and_its_result_in_the_history_are_taken(transport: HttpClient, target: Target) -> None:
    conversation = asking("How is the weather in Rome?", fields={"tools": [WEATHER]})
    call = models_pb2.ToolCall(id="call_1", name="weather", arguments_json='{"city":"Rome","known":true}')
    messages = conversation.request.messages
    messages.append(models_pb2.ChatMessage(role="assistant", content="Let me see.", tool_calls=[call]))
    messages.append(models_pb2.ChatMessage(role="tool", tool_call_id="call_1", content="Sunny, 24 degrees."))

    response = await chat(transport, target, conversation)

    assert response.text
    assert response.usage.prompt_tokens > 40
