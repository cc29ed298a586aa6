"""The two verbs over every dialect: `chat` and `chat_stream`.

Here a request meets the network: sent once, its answer read whole or as it comes, its end judged. Nothing here knows
a provider, and nothing in the dialects knows the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from proto import models_pb2
from services.models.providers.answers.answer import Answer
from services.models.providers.answers.framing import MAX_EVENTS, Framing, feed_rest, read_body
from services.models.providers.answers.memory import FREE_BYTES, PROCESS_ANSWERS, HeldAnswer
from services.models.providers.base import Conversation, Decoder, Encoded, Target
from services.models.providers.encoding import prepare
from services.models.providers.errors.faults import Fault, error_for
from services.models.providers.estimates import estimate_usage, with_told_prompt
from services.models.transport.api_roots import RootSearch
from services.models.transport.base import StreamedResponse, Transport
from services.models.transport.failures import UPSTREAM_HOST
from services.models.transport.payload import KEPT_BYTES, Payload
from services.models.transport.sse import Event
from services.shared import errors
from services.shared.intake import Reservation
from services.shared.json_text import LIGHT_BYTES, decoding_work
from services.shared.message_sizes import MAX_MESSAGE_BYTES
from services.shared.offload import LARGE_BYTES, run_in_thread_if_large, wait_for_time_slice

SUCCESSES = range(200, 300)
"""Frameworks answer a POST with 201 where nobody says otherwise."""

ENCODED_FORMS = 3
"""In which a request is held while it is sent: parsed, and as a body, which is larger by a third with media in it."""

PARSED_FORM = 1
"""In which a request is held while its answer is awaited."""

JSON = {"content-type": "application/json"}

FEW_BYTES = 4096
"""Of a stream, what is decoded at once: many tokens that have come together."""

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Of one streamed answer, as sent: far above what any model writes, so only a provider gone wrong comes here."""
MAX_RESPONSE_BYTES = MAX_MESSAGE_BYTES - 64 * 1024
"""With room for what the service adds to a response, and for the chunk that a stream's comes in."""
MAX_CHARACTERS = 16 * 1024 * 1024
"""Of an answer, whose text its response says twice."""


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

Ending = TypeVar("Ending")

Interrupted = Callable[[models_pb2.TokenUsage], None]
"""Is told what a stream had used that did not come to its end, before the error is raised. Never numbers of the
provider alone: it counts at the end."""


async def chat(
    transport: Transport,
    target: Target,
    conversation: Conversation,
    patience: Patience = PATIENCE,
    interrupted: Interrupted | None = None,
    room: Reservation | None = None,
) -> models_pb2.ChatResponse:
    """Asks for the whole answer. Raises the errors of `faults.MEANINGS` and of `Transport`.

    `room`, which the request has, is given back as its forms are no longer held.
    """
    target, body = await run_in_thread_if_large(conversation.work(), prepare, conversation, target, stream=False)
    if room:
        room.shrink_to(ENCODED_FORMS)
    if body.streams:
        stream = _streamed(transport, target, conversation, patience, interrupted, room, body)
        del body
        return await _whole_answer(stream)
    with _Attribution(target), PROCESS_ANSWERS.begin() as held:
        headers = _headers(target, body)
        payload, body = _take_payload(body, room)
        search = RootSearch(target.api_roots, body.request.path)
        while True:
            answered = await transport.post(search.url, headers, payload, held.grow)
            if answered.status in SUCCESSES:
                break
            error = await _refusal(target, answered.status, answered.headers, answered.body, search)
            if not _goes_on(search, error, payload):
                raise error
        search.confirm()
        answer = await _read(target, answered.status, answered.headers, answered.body, body.tool_names)
        return await _end(_response, answer, target, conversation, body, interrupted)


async def _ask(
    exchange: contextlib.AsyncExitStack, transport: Transport, target: Target, body: Encoded, payload: Payload
) -> StreamedResponse:
    """The answer of whichever place of the target has the path, in an exchange that ends with the block. Raises where
    the provider refuses."""
    search = RootSearch(target.api_roots, body.request.path)
    headers = _headers(target, body)
    while True:
        opened = transport.stream(search.url, headers, payload)
        answered = await exchange.enter_async_context(opened)
        if answered.status in SUCCESSES:
            search.confirm()
            return answered
        error_body = await answered.read_start()
        error = await _refusal(target, answered.status, answered.headers, error_body, search)
        if not _goes_on(search, error, payload):
            raise error
        await exchange.aclose()


def _goes_on(search: RootSearch, error: errors.PlatformError, payload: Payload) -> bool:
    """Whether what was refused is sent to another place: where there is no such path, nobody has begun to answer."""
    if error.reason != "UPSTREAM_PATH_NOT_FOUND":
        search.confirm()
        return False
    if not search.try_next():
        return False
    if not payload.is_kept:
        # For the next call.
        search.confirm()
    return payload.is_kept


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
    room: Reservation | None = None,
) -> AsyncGenerator[models_pb2.ChatChunk, None]:
    """Yields the answer as it comes, then the last chunk, which has it whole. Raises as `chat` does; what an answer had
    used that broke off is in the error's metadata too.

    Chunks leave as the reads arrive: what came together leaves together, and nothing waits for what comes next.
    """
    return _streamed(transport, target, conversation, patience, interrupted, room)


async def _streamed(
    transport: Transport,
    target: Target,
    conversation: Conversation,
    patience: Patience,
    interrupted: Interrupted | None,
    room: Reservation | None,
    encoded: Encoded | None = None,
) -> AsyncGenerator[models_pb2.ChatChunk, None]:
    if encoded:
        body = encoded
    else:
        target, body = await run_in_thread_if_large(conversation.work(), prepare, conversation, target, stream=True)
        if room:
            room.shrink_to(ENCODED_FORMS)
    del encoded
    chunks_sent = 0
    with _Attribution(target) as facts, PROCESS_ANSWERS.begin() as held:
        payload, body = _take_payload(body, room)
        async with contextlib.AsyncExitStack() as exchange:
            answered = await _ask(exchange, transport, target, body, payload)
            # What was asked is where it belongs.
            del payload
            if room:
                room.shrink_to(PARSED_FORM)
            decoder = target.dialect.decoder()
            decoder.answer.state_owner, decoder.answer.tool_names = target.state_owner, body.tool_names
            with _Interruption(decoder, target, conversation, facts, interrupted):
                async with contextlib.aclosing(_decoded(answered, decoder, target, patience, held)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                        chunks_sent += 1
                        facts["phase"], facts["chunks"] = "mid_stream", str(chunks_sent)
            yield await _end(_last_chunk, decoder.answer, target, conversation, body, interrupted)
            await _drain(answered, patience)


async def _decoded(
    answered: StreamedResponse, decoder: Decoder, target: Target, patience: Patience, held: HeldAnswer
) -> AsyncGenerator[models_pb2.ChatChunk, None]:
    """Yields the chunks of a stream until the provider has said that it is whole, and raises when it never does."""
    framing = Framing()
    loop = asyncio.get_running_loop()
    newest_content = loop.time()
    usage_due: float | None = None
    size = count = 0
    fault: Fault | None = None
    while not decoder.ended:
        data = await _read_on(answered, usage_due)
        if not data:
            break
        size += len(data)
        if len(data) > FEW_BYTES:
            await wait_for_time_slice()
        is_large = framing.held_bytes > LIGHT_BYTES
        if size > FREE_BYTES:
            held.grow(framing.held_bytes + decoder.answer.size)
            is_large = is_large or decoder.answer.waiting_bytes > LARGE_BYTES
        try:
            complete = framing.feed(data)
            if is_large:
                await _feed_large(decoder, complete)
            else:
                decoder.feed(complete)
                count += len(complete)
        except Fault as raised:
            fault = raised
        except RecursionError:
            fault = Fault("UPSTREAM_PROTOCOL_ERROR")
        if not decoder.awaits_usage:
            usage_due = None
        if answered.goes_on and not fault:
            continue
        # What came before a fault is delivered before it.
        chunks = decoder.answer.take_chunks()
        for chunk in chunks:
            yield chunk
        if fault:
            raise _failure(fault, answered, target)
        if decoder.awaits_usage:
            usage_due = usage_due or loop.time() + patience.usage
        elif chunks or decoder.ended:
            newest_content = loop.time()
        elif loop.time() - newest_content > patience.content:
            raise error_for(Fault("UPSTREAM_IDLE"), target.provider)
        if size > MAX_STREAM_BYTES or count > MAX_EVENTS or decoder.answer.characters > MAX_CHARACTERS:
            raise error_for(Fault("OUTPUT_LIMIT"), target.provider)
    if not decoder.ended:
        await _read_end(decoder, framing, answered, target)
    if not decoder.finished:
        raise _failure(_fault_of_early_end(answered, size), answered, target)
    try:
        await run_in_thread_if_large(decoder.answer.size, decoder.answer.complete)
    except Fault as raised:
        raise error_for(raised, target.provider) from None
    except RecursionError:
        raise error_for(Fault("UPSTREAM_PROTOCOL_ERROR"), target.provider) from None
    for chunk in decoder.answer.take_chunks():
        yield chunk


async def _feed_large(decoder: Decoder, events: Sequence[Event]) -> None:
    """Feeds what may end a large event, or a block that is large, and holds nothing of it any longer than it takes."""
    work = decoder.answer.waiting_bytes + sum(decoding_work(event.data) for event in events)
    await run_in_thread_if_large(work, _feed_and_flush, decoder, events)


async def _read_end(decoder: Decoder, framing: Framing, answered: StreamedResponse, target: Target) -> None:
    """Reads what only the end of the body ends: a last event without its blank line, or all of it, in one document."""
    document = framing.document
    if document is not None:
        decoder.answer = await _read(target, answered.status, answered.headers, document, decoder.answer.tool_names)
        decoder.finished = decoder.ended = True
        return
    events = framing.end()
    work = decoder.answer.waiting_bytes + sum(decoding_work(event.data) for event in events)
    try:
        await run_in_thread_if_large(work, feed_rest, decoder, events)
    except Fault as fault:
        raise _failure(fault, answered, target) from None


def _failure(fault: Fault, answered: StreamedResponse, target: Target) -> errors.PlatformError:
    return error_for(fault, target.provider, status=answered.status, headers=answered.headers, keys=target.keys)


def _feed_and_flush(decoder: Decoder, events: Sequence[Event]) -> None:
    decoder.feed(events)
    decoder.answer.flush()


def _fault_of_early_end(answered: StreamedResponse, size: int) -> Fault:
    """Tells a stream that was cut from what never was one: nothing at all, or a page of HTML with status 200."""
    is_stream = size and answered.headers.get("content-type", "text/event-stream").startswith("text/event-stream")
    return Fault("UPSTREAM_STREAM_TRUNCATED" if is_stream else "UPSTREAM_PROTOCOL_ERROR")


async def _read_on(answered: StreamedResponse, usage_due: float | None) -> bytes:
    if usage_due is None:
        return await answered.read()
    try:
        async with asyncio.timeout_at(usage_due):
            return await answered.read()
    except (TimeoutError, errors.PlatformError):
        return b""


async def _drain(answered: StreamedResponse, patience: Patience) -> None:
    """Reads the end of the body, so that the connection can be used again; without it, it is closed."""
    with contextlib.suppress(TimeoutError, errors.PlatformError):
        async with asyncio.timeout(patience.close):
            await answered.read()


def _take_payload(body: Encoded, room: Reservation | None) -> tuple[Payload, Encoded]:
    """What is sent, and the rest of a body: nothing else refers to one that is let go of once it is sent."""
    request = body.request
    if len(request.body) <= KEPT_BYTES:
        return Payload(request.body), body
    on_written = functools.partial(room.shrink_to, PARSED_FORM) if room else None
    return Payload(request.body, on_written), body._replace(request=request._replace(body=b""))


def _headers(target: Target, body: Encoded) -> dict[str, str]:
    return {**target.headers, **body.request.headers, **JSON}


class _Attribution:
    """A block that adds to every error which provider it came from, and how far the answer had come, and for the log at
    which host."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._facts = {"provider": target.provider, "phase": "pre_stream"}

    def __enter__(self) -> dict[str, str]:
        return self._facts

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, errors.PlatformError):
            error.metadata = {**self._facts, **error.metadata}
            error.logged = {UPSTREAM_HOST: urlsplit(self._target.endpoint).netloc, **error.logged}


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
        was_left_whole = self._decoder.finished and not isinstance(error, errors.PlatformError)
        if error is None or was_left_whole or was_refused:
            return
        usage = estimate_usage(answer, self._conversation)
        if answer.usage is not None:
            usage = with_told_prompt(usage, answer.usage)
        _add_cost(usage, answer, self._target)
        self._facts.update({name: str(value).lower() for name, value in usage_facts(usage).items()})
        if self._interrupted:
            self._interrupted(usage)


async def _refusal(
    target: Target, status: int, headers: Mapping[str, str], body: bytes, search: RootSearch
) -> errors.PlatformError:
    fault = await run_in_thread_if_large(decoding_work(body), target.dialect.fault, status, body)
    paths = search.paths() if fault.reason == "UPSTREAM_PATH_NOT_FOUND" else ()
    return error_for(fault, target.provider, status=status, headers=headers, keys=target.keys, paths=paths)


async def _read(
    target: Target, status: int, headers: Mapping[str, str], body: bytes, tool_names: Mapping[str, str]
) -> Answer:
    """The answer in the body of a success, complete."""
    try:
        return await run_in_thread_if_large(decoding_work(body), _read_whole, target, body, tool_names)
    except Fault as fault:
        raise error_for(fault, target.provider, status=status, headers=headers, keys=target.keys) from None
    except RecursionError:
        # Nested so deep that it could only just be read, and cannot be written again.
        raise error_for(Fault("UPSTREAM_PROTOCOL_ERROR"), target.provider, status=status, headers=headers) from None


def _read_whole(target: Target, body: bytes, tool_names: Mapping[str, str]) -> Answer:
    answer = read_body(target.dialect, body)
    answer.state_owner, answer.tool_names = target.state_owner, tool_names
    answer.complete()
    return answer


async def _end(
    ending: Callable[[Answer, Target, Conversation, Encoded], Ending],
    answer: Answer,
    target: Target,
    conversation: Conversation,
    body: Encoded,
    interrupted: Interrupted | None,
) -> Ending:
    """What `ending` makes of a complete answer, or raises; what one had used that is too large is told."""
    try:
        return await run_in_thread_if_large(answer.size, ending, answer, target, conversation, body)
    except errors.LimitExceeded:
        if interrupted and answer.usage:
            interrupted(answer.usage)
        raise


def _response(answer: Answer, target: Target, conversation: Conversation, body: Encoded) -> models_pb2.ChatResponse:
    """The finished response. Raises as `_check` does."""
    _settle(answer, target, conversation, body)
    response = answer.response()
    _check(response, target, body)
    return response


def _last_chunk(answer: Answer, target: Target, conversation: Conversation, body: Encoded) -> models_pb2.ChatChunk:
    """The last chunk, with the finished response. Raises as `_check` does."""
    _settle(answer, target, conversation, body)
    chunk = answer.last_chunk()
    _check(chunk.response, target, body)
    return chunk


def _settle(answer: Answer, target: Target, conversation: Conversation, body: Encoded) -> None:
    """Adds to an answer what its provider left open: one that did not name its model served the one that was asked."""
    answer.model = answer.model or target.model
    if answer.usage is None or (answer.has_begun and not answer.usage.total_tokens):
        # Servers that do not count may tell zeros.
        answer.usage = estimate_usage(answer, conversation)
    elif answer.has_begun and not answer.usage.completion_tokens:
        # Something was written, which costs something.
        answer.counts_agree = False
    _add_cost(answer.usage, answer, target)
    if conversation.request.config.logprobs and not answer.has_logprobs:
        _tell_of_missing_logprobs(answer, body)
    if answer.characters > MAX_CHARACTERS:
        raise error_for(Fault("OUTPUT_LIMIT"), target.provider)


def _tell_of_missing_logprobs(answer: Answer, body: Encoded) -> None:
    """Says that a provider passed them over, unless they were not asked of it."""
    if not any(notice.field.endswith("logprobs") for notice in [*body.notices, *answer.warnings]):
        problem = "the provider did not tell how likely the tokens were"
        answer.warn("LOGPROBS_MISSING", problem, field="config.logprobs")


def _check(response: models_pb2.ChatResponse, target: Target, body: Encoded) -> None:
    """Adds to a response where it comes from, and what its caller should know.

    Raises when it calls a tool without a name: nobody could run it, and no provider takes it back. And when it is too
    large for its caller, so that nobody keeps an answer that was never received.
    """
    if not all(call.name for call in response.tool_calls):
        raise error_for(Fault("UPSTREAM_PROTOCOL_ERROR"), target.provider)
    response.provider = target.provider
    if target.warnings or body.notices:
        response.warnings.extend([*target.warnings, *body.notices])
    if response.ByteSize() > MAX_RESPONSE_BYTES:
        raise error_for(Fault("OUTPUT_LIMIT"), target.provider)


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
    can_be_told = answer.at_standard_rates and answer.counts_agree
    cost = target.price(usage) if target.price and can_be_told else None
    if cost is not None:
        usage.cost_nano_usd = cost
