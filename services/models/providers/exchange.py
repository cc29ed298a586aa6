"""The two verbs over every dialect: `chat` and `chat_stream`.

Here a request meets the network: sent once, its answer read whole or as it comes, its end judged. Nothing here knows
a provider, and nothing in the dialects knows the network.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import NamedTuple

from proto import models_pb2
from services.models.providers.answer import Answer
from services.models.providers.base import Body, Conversation, Decoder, Target
from services.models.providers.encoding import encode, encode_for_whole_answer
from services.models.providers.estimates import estimate_prompt_tokens
from services.models.providers.event_stream import EventStream
from services.models.providers.faults import Fault, error_for
from services.models.providers.transport import StreamedAnswer, Transport
from services.shared import errors
from services.shared.beside_loop import run_beside_if_large

OK = 200
JSON = {"content-type": "application/json"}

MAX_ERROR_BYTES = 1024 * 1024
MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Of one streamed answer, as sent: far above what any model writes, so only a provider gone wrong comes here."""


class Patience(NamedTuple):
    """How long a stream may say nothing, in seconds."""

    content: float = 300.0
    """Between two pieces of the answer: a provider that only sends pings has stopped.

    Long, because reasoning may be silent.
    """
    usage: float = 2.0
    """From the end of the answer to its usage, which is nice to have."""
    close: float = 0.1
    """From the provider's last word to the end of the body, after which the connection can be used again."""


PATIENCE = Patience()

Interrupted = Callable[[models_pb2.TokenUsage], None]
"""Is told what a stream had used that did not come to its end, before the error is raised. Never numbers of the
provider alone: it counts at the end."""


async def chat(
    transport: Transport,
    target: Target,
    conversation: Conversation,
    patience: Patience = PATIENCE,
    interrupted: Interrupted | None = None,
) -> models_pb2.ChatResponse:
    """Asks for the whole answer. Raises the errors of `faults.MEANINGS` and of `Transport`."""
    body = await run_beside_if_large(conversation.work(), encode_for_whole_answer, conversation, target)
    if body.streams:
        return await _whole_answer(_streamed(transport, target, conversation, patience, interrupted, body))
    with _Attribution(target):
        answered = await transport.post(_url(target), {**target.headers, **JSON}, body.data)
        if answered.status != OK:
            raise _refusal(target, answered.status, answered.headers, answered.body)
        answer = _read(target, answered.headers, answered.body)
        answer.complete()
        return _response(answer, target, conversation, body)


async def _whole_answer(stream: AsyncGenerator[models_pb2.ChatChunk, None]) -> models_pb2.ChatResponse:
    async with contextlib.aclosing(stream) as chunks:
        # To the very end, after which the connection can be used again.
        async for chunk in chunks:
            last = chunk
    return last.response


def chat_stream(
    transport: Transport,
    target: Target,
    conversation: Conversation,
    patience: Patience = PATIENCE,
    interrupted: Interrupted | None = None,
) -> AsyncGenerator[models_pb2.ChatChunk, None]:
    """Yields the answer as it comes, then the last chunk, which has it whole. Raises as `chat` does; what an answer had
    used that broke off is in the error's metadata too.

    Chunks leave as the reads arrive: what came together leaves together, and nothing waits for what comes next.
    """
    return _streamed(transport, target, conversation, patience, interrupted)


async def _streamed(
    transport: Transport,
    target: Target,
    conversation: Conversation,
    patience: Patience,
    interrupted: Interrupted | None,
    encoded: Body | None = None,
) -> AsyncGenerator[models_pb2.ChatChunk, None]:
    body = encoded
    if body is None:
        body = await run_beside_if_large(conversation.work(), encode, conversation, target, stream=True)
    chunks_sent = 0
    with _Attribution(target) as facts:
        async with transport.stream(_url(target), {**target.headers, **JSON}, body.data) as answered:
            if answered.status != OK:
                raise _refusal(target, answered.status, answered.headers, await answered.read_all(MAX_ERROR_BYTES))
            if answered.headers.get("content-type", "").startswith("application/json"):
                # Some servers do not stream, whatever they are asked.
                answer = _read(target, answered.headers, await answered.read_all())
                answer.complete()
                for chunk in answer.take_chunks():
                    yield chunk
            else:
                decoder = target.dialect.decoder()
                answer = decoder.answer
                answer.state_owner = target.state_owner
                with _Interruption(decoder, target, conversation, facts, interrupted):
                    async with contextlib.aclosing(_decoded(answered, decoder, target, patience)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                            chunks_sent += 1
                            facts["phase"], facts["chunks"] = "mid_stream", str(chunks_sent)
            response = _response(answer, target, conversation, body)
            yield answer.last_chunk(response)
            await _drain(answered, patience)


async def _decoded(
    answered: StreamedAnswer, decoder: Decoder, target: Target, patience: Patience
) -> AsyncGenerator[models_pb2.ChatChunk, None]:
    """Yields the chunks of a stream until the provider has said that it is whole, and raises when it never does."""
    events = EventStream()
    loop = asyncio.get_running_loop()
    newest_content = loop.time()
    usage_due: float | None = None
    size = 0
    fault: Fault | None = None
    while not decoder.ended:
        data = await _read_on(answered, usage_due)
        if not data:
            break
        size += len(data)
        try:
            decoder.feed(events.feed(data))
        except Fault as raised:
            fault = raised
        except RecursionError:
            fault = Fault("UPSTREAM_PROTOCOL_ERROR")
        # What came before a fault is delivered before it.
        chunks = decoder.answer.take_chunks()
        for chunk in chunks:
            yield chunk
        if decoder.finished:
            # The answer is whole: whatever happens now, only its usage can be lost.
            if fault:
                break
            usage_due = usage_due or loop.time() + patience.usage
        elif fault:
            raise error_for(fault, target.provider, status=answered.status, headers=answered.headers)
        elif chunks:
            newest_content = loop.time()
        elif loop.time() - newest_content > patience.content:
            raise error_for(Fault("UPSTREAM_IDLE"), target.provider)
        if size > MAX_STREAM_BYTES:
            raise error_for(Fault("OUTPUT_LIMIT"), target.provider)
    if not decoder.finished:
        raise error_for(_fault_of_early_end(answered, size), target.provider)
    decoder.answer.complete()
    for chunk in decoder.answer.take_chunks():
        yield chunk


def _fault_of_early_end(answered: StreamedAnswer, size: int) -> Fault:
    """Tells a stream that was cut from what never was one: nothing at all, or a page of HTML with status 200."""
    is_stream = size and answered.headers.get("content-type", "text/event-stream").startswith("text/event-stream")
    return Fault("UPSTREAM_STREAM_TRUNCATED" if is_stream else "UPSTREAM_PROTOCOL_ERROR")


async def _read_on(answered: StreamedAnswer, usage_due: float | None) -> bytes:
    if usage_due is None:
        return await answered.read()
    try:
        async with asyncio.timeout_at(usage_due):
            return await answered.read()
    except (TimeoutError, errors.PlatformError):
        return b""


async def _drain(answered: StreamedAnswer, patience: Patience) -> None:
    """Reads the end of the body, so that the connection can be used again; without it, it is closed."""
    with contextlib.suppress(TimeoutError, errors.PlatformError):
        async with asyncio.timeout(patience.close):
            await answered.read()


def _url(target: Target) -> str:
    return target.endpoint + target.dialect.path


class _Attribution:
    """A block that adds to every error which provider it came from, and how far the answer had come."""

    def __init__(self, target: Target) -> None:
        self._facts = {"provider": target.provider, "phase": "pre_stream"}

    def __enter__(self) -> dict[str, str]:
        return self._facts

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, errors.PlatformError):
            error.metadata = {**self._facts, **error.metadata}


class _Interruption:
    """A block that accounts for a stream which is left before its end, by an error or because nobody listens."""

    def __init__(
        self,
        decoder: Decoder,
        target: Target,
        conversation: Conversation,
        facts: dict[str, str],
        interrupted: Interrupted | None,
    ) -> None:
        self._decoder = decoder
        self._target = target
        self._conversation = conversation
        self._facts = facts
        self._interrupted = interrupted

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        answer = self._decoder.answer
        was_refused = isinstance(error, errors.PlatformError) and "chunks" not in self._facts and answer.usage is None
        if error is None or self._decoder.finished or was_refused:
            return
        usage = _estimate(answer, self._conversation)
        if answer.usage is not None:
            usage = _with_told_prompt(usage, answer.usage)
        _add_cost(usage, answer, self._target)
        self._facts.update({name: str(value).lower() for name, value in usage_facts(usage).items()})
        if self._interrupted:
            self._interrupted(usage)


def _refusal(target: Target, status: int, headers: Mapping[str, str], body: bytes) -> errors.PlatformError:
    return error_for(target.dialect.fault(status, body), target.provider, status=status, headers=headers)


def _read(target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
    try:
        answer = target.dialect.read(body)
    except Fault as fault:
        raise error_for(fault, target.provider, status=OK, headers=headers) from None
    except RecursionError:
        # Nested so deep that it could only just be read, and cannot be written again.
        raise error_for(Fault("UPSTREAM_PROTOCOL_ERROR"), target.provider, status=OK, headers=headers) from None
    answer.state_owner = target.state_owner
    return answer


def _response(answer: Answer, target: Target, conversation: Conversation, body: Body) -> models_pb2.ChatResponse:
    """The finished response. A provider that did not name its model served the one that was asked.

    Raises when it calls a tool without a name: nobody could run it, and no provider takes it back.
    """
    answer.model = answer.model or target.model
    if answer.usage is None:
        answer.usage = _estimate(answer, conversation)
    _add_cost(answer.usage, answer, target)
    response = answer.response()
    if not all(call.name for call in response.tool_calls):
        raise error_for(Fault("UPSTREAM_PROTOCOL_ERROR"), target.provider)
    response.provider = target.provider
    if target.warnings or body.warnings:
        response.warnings.extend([*target.warnings, *body.warnings])
    return response


def _with_told_prompt(estimate: models_pb2.TokenUsage, told: models_pb2.TokenUsage) -> models_pb2.TokenUsage:
    """What a provider tells at the beginning is true of the prompt and its cache, and not yet of the answer."""
    usage = models_pb2.TokenUsage()
    usage.CopyFrom(told)
    usage.ClearField("reasoning_tokens")
    usage.completion_tokens = estimate.completion_tokens
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens
    usage.estimated = True
    return usage


def usage_facts(usage: models_pb2.TokenUsage) -> dict[str, int | bool]:
    """What is logged of a usage, and told beside an error."""
    facts: dict[str, int | bool] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }
    if usage.estimated:
        facts["usage_estimated"] = True
    if usage.HasField("cost_nano_usd"):
        facts["cost_nano_usd"] = usage.cost_nano_usd
    return facts


def _add_cost(usage: models_pb2.TokenUsage, answer: Answer, target: Target) -> None:
    cost = target.price(usage) if target.price and answer.at_standard_rates else None
    if cost is not None:
        usage.cost_nano_usd = cost


def _estimate(answer: Answer, conversation: Conversation) -> models_pb2.TokenUsage:
    prompt = estimate_prompt_tokens(conversation)
    completion = answer.estimated_completion_tokens()
    return models_pb2.TokenUsage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, estimated=True
    )
