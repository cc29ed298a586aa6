"""Chat in every dialect: `chat` for a whole answer, `chat_stream` for a streamed one."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, Mapping

from proto import models_pb2
from services.models.providers.answers.answer import Answer
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.client import Exchange
from services.models.providers.completion import Completion, Interrupted
from services.models.providers.encoding import prepare
from services.models.providers.framing import read_body
from services.models.providers.stream import STREAM_TIMEOUTS, StreamReader, StreamTimeouts
from services.models.providers.usage import add_cost_of_answer, estimate_usage, usage_fields, with_counted_prompt
from services.models.transport.base import Transport
from services.shared.call_metrics import Waiting
from services.shared.errors import PlatformError
from services.shared.intake import Reservation
from services.shared.offload import run_in_thread_if_large


async def chat(
    transport: Transport,
    target: Target,
    conversation: Conversation,
    timeouts: StreamTimeouts = STREAM_TIMEOUTS,
    interrupted: Interrupted | None = None,
    reservation: Reservation | None = None,
    waiting: Waiting | None = None,
) -> models_pb2.ChatResponse:
    """The whole answer. Raises the errors of `faults.MEANINGS` and of the transport.

    `reservation` is the memory of the request; it shrinks as its copies are released. `waiting` is the call
    that waits for the provider.
    """
    target, encoded = await run_in_thread_if_large(conversation.work(), prepare, conversation, target, stream=False)
    if encoded.streams:
        return await _last_response(
            chat_stream(transport, target, conversation, timeouts, interrupted, reservation, waiting, encoded)
        )
    async with Exchange(transport, target, reservation, waiting=waiting) as exchange:
        response = await exchange.post(encoded.request)
        read = functools.partial(read_answer, target, encoded.tool_names)
        answer = await exchange.read(response, response.body, read)
        return await Completion(target, conversation, encoded.notices, interrupted).response(answer)


async def chat_stream(
    transport: Transport,
    target: Target,
    conversation: Conversation,
    timeouts: StreamTimeouts = STREAM_TIMEOUTS,
    interrupted: Interrupted | None = None,
    reservation: Reservation | None = None,
    waiting: Waiting | None = None,
    encoded: Encoded | None = None,
) -> AsyncGenerator[models_pb2.ChatChunk, None]:
    """Yields the chunks of the answer, and last the chunk with the whole response. Raises as `chat` does; the error of
    an interrupted answer has its usage in the metadata.

    Chunks are yielded after each read: pieces that arrived together are yielded together, and none waits for later
    ones. `encoded` is the request for `target` where it has been encoded already.
    """
    if encoded is None:
        prepared = await run_in_thread_if_large(conversation.work(), prepare, conversation, target, stream=True)
        target, encoded = prepared
    async with Exchange(transport, target, reservation, waiting=waiting) as exchange:
        response = await exchange.stream(encoded.request)
        reader = StreamReader(exchange, response, target.dialect, timeouts)
        name_owner(reader.answer, target, encoded.tool_names)
        with Interruption(exchange, reader, target, conversation, interrupted):
            while reader.state != "ended":
                for chunk in await reader.read():
                    yield chunk
                    exchange.chunks_sent += 1
            for chunk in await reader.finish():
                yield chunk
                exchange.chunks_sent += 1
        yield await Completion(target, conversation, encoded.notices, interrupted).last_chunk(reader.answer)
        await reader.drain()


async def _last_response(stream: AsyncGenerator[models_pb2.ChatChunk, None]) -> models_pb2.ChatResponse:
    async with contextlib.aclosing(stream) as chunks:
        # Read to the end of the body, after which the connection can be used again.
        async for chunk in chunks:
            last = chunk
    return last.response


def read_answer(target: Target, tool_names: Mapping[str, str], body: bytes) -> Answer:
    answer = read_body(target.dialect, body)
    name_owner(answer, target, tool_names)
    answer.complete()
    return answer


def name_owner(answer: Answer, target: Target, tool_names: Mapping[str, str]) -> None:
    """Sets the owner of the answer's opaque state, and the caller's names of its tools."""
    answer.state_owner, answer.tool_names = target.state_owner, tool_names


class Interruption:
    """A block that reports the usage of an answer that is interrupted within it, in the error and to `interrupted`."""

    def __init__(
        self,
        exchange: Exchange,
        reader: StreamReader,
        target: Target,
        conversation: Conversation,
        interrupted: Interrupted | None,
    ) -> None:
        self._exchange = exchange
        self._reader = reader
        self._target = target
        self._conversation = conversation
        self._interrupted = interrupted

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or self._costs_nothing(error):
            return
        usage = self._usage()
        self._exchange.error_metadata |= {name: str(value).lower() for name, value in usage_fields(usage).items()}
        if self._interrupted:
            self._interrupted(usage)

    def _costs_nothing(self, error: BaseException) -> bool:
        """Whether the provider refused the request in its stream."""
        is_error = isinstance(error, PlatformError)
        return is_error and not self._exchange.chunks_sent and self._reader.answer.usage is None

    def _usage(self) -> models_pb2.TokenUsage:
        answer = self._reader.answer
        usage = estimate_usage(answer, self._conversation)
        if answer.usage is not None and self._reader.decoder.finished:
            # Only its caller left before all of it was read.
            usage = answer.usage
        elif answer.usage is not None:
            usage = with_counted_prompt(usage, answer.usage)
        add_cost_of_answer(usage, answer, self._target)
        return usage
