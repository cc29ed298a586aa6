"""Every adapter with its server, and a caller of both verbs that checks what each of them promises."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import pytest

from proto import models_pb2
from services.models.providers.base import Conversation, Dialect
from services.models.providers.chat import chat, chat_stream
from services.models.providers.stream import STREAM_TIMEOUTS, StreamTimeouts
from services.models.transport.client import HttpClient, HttpTimeouts
from services.shared import errors
from tests.scripted_upstream import (
    Received,
    Script,
    ScriptedUpstream,
    Step,
    answer,
    event_stream,
)
from tests.wire.adapter import CANARY, Adapter
from tests.wire.dialects import Sample, Speech, encode
from tests.wire.speeches import all_adapters
from tests.wire.speeches.chat_completions import OpenAISpeech
from tests.wire.speeches.messages import AnthropicSpeech
from tests.wire.speeches.responses import ResponsesSpeech

SECONDS_TO_CLOSE = 1.0

Verb = Literal["chat", "chat_stream"]


ADAPTERS = list(all_adapters())
OPENAI_LIKE = [adapter for adapter in ADAPTERS if isinstance(adapter.speech, OpenAISpeech)]
ANTHROPIC_LIKE = [adapter for adapter in ADAPTERS if isinstance(adapter.speech, AnthropicSpeech)]
RESPONSES_LIKE = [adapter for adapter in ADAPTERS if isinstance(adapter.speech, ResponsesSpeech)]


def each_of(adapters: Iterable[Adapter]) -> pytest.MarkDecorator:
    """Runs a test with each of the adapters."""
    return pytest.mark.parametrize("adapter", list(adapters), ids=lambda adapter: adapter.name)


every_adapter = each_of(ADAPTERS)
every_anthropic_like = each_of(ANTHROPIC_LIKE)
every_responses_like = each_of(RESPONSES_LIKE)
every_dialect = each_of(adapter for adapter in ADAPTERS if adapter.stands_for_dialect)
"""Where it does not matter who has registered the server."""
one_openai_like = each_of(OPENAI_LIKE[:1])
one_anthropic_like = each_of(ANTHROPIC_LIKE[:1])
every_reader = each_of({type(adapter.speech): adapter for adapter in reversed(ADAPTERS)}.values())
"""Where an answer is read, which each dialect does alike for all of its servers."""
one_adapter = each_of(ADAPTERS[:1])
"""Where it does not matter what the server says, but how it comes."""
both_verbs = pytest.mark.parametrize("verb", ["chat", "chat_stream"])


class Outcome(NamedTuple):
    """What a caller got: the chunks that came, and how it ended."""

    chunks: list[models_pb2.ChatChunk]
    response: models_pb2.ChatResponse | None
    error: errors.PlatformError | None


class Subject:
    """An adapter, its server, and a caller of both verbs."""

    def __init__(self, adapter: Adapter, upstream: ScriptedUpstream, timeouts: HttpTimeouts | None = None) -> None:
        self.speech: Any = adapter.speech
        self.adapter = adapter
        self.upstream = upstream
        self.transport = HttpClient(timeouts)
        self.target = adapter.target(upstream.url)

    async def ask(
        self, verb: Verb, timeouts: StreamTimeouts = STREAM_TIMEOUTS, opens: asyncio.Event | None = None, **fields: Any
    ) -> Outcome:
        chunks: list[models_pb2.ChatChunk] = []
        conversation = talk(**fields)
        try:
            if verb == "chat":
                return Outcome([], await chat(self.transport, self.target, conversation, timeouts), None)
            async with contextlib.aclosing(chat_stream(self.transport, self.target, conversation, timeouts)) as stream:
                async for chunk in stream:
                    chunks += [chunk]
                    if opens and "".join(chunk.token for chunk in chunks) == "one two":
                        opens.set()
        except errors.PlatformError as error:
            return Outcome(chunks, None, error)
        return Outcome(chunks, chunks[-1].response, None)

    async def answered(self, sample: Sample) -> models_pb2.ChatResponse:
        """The response to `sample`, after showing that both verbs give the same one."""
        return await self.answered_with(encode(self.speech.body(sample)), self.speech.events(sample))

    async def answered_with(self, body: bytes, events: Sequence[Step]) -> models_pb2.ChatResponse:
        self.upstream.default = serve(answer(body, headers=JSON), event_stream(*events))
        whole = await self.ask("chat")
        streamed = await self.ask("chat_stream")
        assert whole.error is streamed.error is None
        assert whole.response is not None
        check_chunks(streamed.chunks)
        assert streamed.response == whole.response
        assert whole.response.provider == self.adapter.provider
        return whole.response

    async def refused(self, verb: Verb, timeouts: StreamTimeouts = STREAM_TIMEOUTS) -> errors.PlatformError:
        """The error of a call that fails before the first piece."""
        outcome = await self.ask(verb, timeouts)
        assert outcome.error is not None
        assert outcome.chunks == []
        check_nothing_leaks(outcome.error)
        assert outcome.error.metadata["provider"] == self.adapter.provider
        return outcome.error


JSON = {"Content-Type": "application/json"}


def talk(**fields: Any) -> Conversation:
    defaults = {"model": "any", "messages": [models_pb2.ChatMessage(role="user", content="Hello there")]}
    request = models_pb2.ChatRequest(**(defaults | fields))
    return Conversation(request, request.messages)


def serve(whole: Script, stream: Script) -> Callable[[Received], Script]:
    """Plays what was asked for."""
    return lambda received: stream if asks_for_stream(received) else whole


def speech_of(dialect: Dialect) -> Speech:
    """A speech of the dialect."""
    return next(adapter.speech for adapter in ADAPTERS if adapter.target("http://localhost").dialect is dialect)


def asks_for_stream(request: Received) -> bool:
    """Whether a request asks for a stream, in any dialect."""
    return any(adapter.speech.asks_for_stream(request) for adapter in ADAPTERS)


def check_chunks(chunks: list[models_pb2.ChatChunk]) -> None:
    """One stream's promises: counted from 0, one last chunk, and pieces that join to what the last chunk says."""
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert [bool(chunk.finish_reason) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [chunk.HasField("response") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [chunk.HasField("usage") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    last = chunks[-1]
    response = last.response
    assert (last.finish_reason, last.usage) == (response.finish_reason, response.usage)
    assert "".join(chunk.token for chunk in chunks) == response.text
    thoughts = [part.reasoning.text for part in response.message.parts if part.HasField("reasoning")]
    assert "".join(chunk.reasoning for chunk in chunks) == "".join(thoughts)
    check_call_deltas([chunk.tool_call_delta for chunk in chunks if chunk.HasField("tool_call_delta")], response)


def check_call_deltas(deltas: list[models_pb2.ToolCallDelta], response: models_pb2.ChatResponse) -> None:
    calls: dict[int, models_pb2.ToolCall] = {}
    for delta in deltas:
        if delta.index not in calls:
            assert delta.index == len(calls), "indices are dense"
            assert delta.id
            calls[delta.index] = models_pb2.ToolCall(id=delta.id, name=delta.name)
        else:
            assert (delta.id, delta.name) == ("", ""), "id and name come on the first piece only"
        calls[delta.index].arguments_json += delta.arguments_json
    assert list(calls.values()) == list(response.tool_calls)
    assert len({call.id for call in response.tool_calls}) == len(response.tool_calls)


def check_nothing_leaks(error: errors.PlatformError) -> None:
    words = error.metadata.get(errors.PROVIDER_MESSAGE, "")
    facts = {name: value for name, value in error.metadata.items() if name != errors.PROVIDER_MESSAGE}
    told = f"{error} {error.args} {error.message} {error.reason} {facts} {error.violations} {error.__cause__}"
    # What the provider says is told as that, and nowhere else.
    assert CANARY not in (told.replace(f"; it says: {words}", "") if words else told)
    assert f"sk-{CANARY}" not in words
    assert "Hello there" not in told
