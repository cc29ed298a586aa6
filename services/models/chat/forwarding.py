"""Forwarded chats: the sequence of a chat whose request and answer go through as they are, where the server speaks the
dialect of the client. All that holds for chats holds for them: attempts, limits, the ledger, metrics, the log.

An attempt at a server with another dialect translates: the request is then read, and the answer is a ChatResponse.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import NamedTuple, Protocol, TypedDict

from proto import models_pb2
from services.models.access.required_tags import check_required_tags
from services.models.attempts.attempts import Attempt
from services.models.chat.chat import ChatService
from services.models.chat.ending import RunningChat
from services.models.chat.system_prompt import Prompted
from services.models.providers.base import Conversation, Forwarded, Native, Target
from services.models.providers.chat import chat, chat_stream
from services.models.providers.completion import Interrupted
from services.models.providers.forwarding import (
    EMBEDDINGS,
    ForwardedAnswer,
    Piece,
    can_forward,
    forward,
    forward_stream,
)
from services.models.transport.base import Transport
from services.models.validation.request import check_model_name
from services.shared.call import Call
from services.shared.call_metrics import Waiting
from services.shared.errors import PlatformError
from services.shared.intake import Reservation


class Readable(Protocol):
    """A request that was read."""

    request: models_pb2.ChatRequest


class Forwardable(NamedTuple):
    """A request that may be forwarded."""

    request: models_pb2.ChatRequest
    """Its model, and what bounds the answer; no messages."""
    forwarded: Forwarded
    streams: bool
    read: Callable[[], Awaitable[Readable]]
    """Reads the whole request, for a server with another dialect. Raises InvalidRequest."""


class Forwarding:
    """Forwards chats, as `ChatService` answers them."""

    def __init__(self, chats: ChatService) -> None:
        self._chats = chats

    def is_native(self, forwardable: Forwardable, call: Call) -> bool:
        """Whether the first server that would be asked takes the body as it is."""
        if any(check_model_name("model", forwardable.request.model)):
            return False
        if forwardable.forwarded.wire != EMBEDDINGS and self._chats.may_capture(call):
            return False
        try:
            target = self._chats.upcoming_target(forwardable.request, call)
        except PlatformError:
            # Another model may answer, or the error is raised again by who asks for an answer.
            return False
        return can_forward(_conversation(forwardable), target, stream=forwardable.streams) is not None

    async def answer(self, forwardable: Forwardable, call: Call) -> ForwardedAnswer:
        """The whole answer; its body is empty if it was translated. Raises as `ChatService.answer` does."""
        async with await self._begin(forwardable, call) as running:
            while attempt := await running.next_attempt():
                with attempt:
                    answer = await self._answer(running, attempt, forwardable, call)
                    await running.complete(answer.response, attempt, None)
        return answer

    async def _answer(
        self, running: RunningChat, attempt: Attempt, forwardable: Forwardable, call: Call
    ) -> ForwardedAnswer:
        """The answer of one attempt."""
        native = await self._prepare_attempt(running, attempt, forwardable)
        sent = _Sent(self._chats.transport_to(attempt.target), attempt.target, running, attempt, call)
        if native:
            return await forward(*sent.to, native, running.conversation, **sent.watched)
        return ForwardedAnswer(b"", await chat(*sent.to, running.conversation, **sent.watched))

    async def stream(self, forwardable: Forwardable, call: Call) -> AsyncGenerator[Piece | models_pb2.ChatChunk, None]:
        """The answer in pieces, or in chunks where it is translated. Raises as `ChatService.stream` does."""
        async with await self._begin(forwardable, call) as running:
            while attempt := await running.next_attempt():
                with attempt:
                    pieces = await self._stream_of(running, attempt, forwardable, call)
                    async with contextlib.aclosing(pieces):
                        async for piece in pieces:
                            if not isinstance(piece, Piece) or piece.has_output:
                                running.note_output(attempt)
                            if response := _response_in(piece):
                                await running.complete(response, attempt, None)
                            yield piece

    async def _stream_of(
        self, running: RunningChat, attempt: Attempt, forwardable: Forwardable, call: Call
    ) -> AsyncGenerator[Piece, None] | AsyncGenerator[models_pb2.ChatChunk, None]:
        """The stream of one attempt."""
        native = await self._prepare_attempt(running, attempt, forwardable)
        sent = _Sent(self._chats.transport_to(attempt.target), attempt.target, running, attempt, call)
        if native:
            return _from_first_output(forward_stream(*sent.to, native, running.conversation, **sent.watched))
        return chat_stream(*sent.to, running.conversation, **sent.watched)

    async def _begin(self, forwardable: Forwardable, call: Call) -> RunningChat:
        request = forwardable.request
        check_required_tags(request.tags, call)
        call.log_fields["model"] = request.model
        call.log_fields["call_id"] = call.call_id
        return await self._chats.begin(request, call, Prompted(_conversation(forwardable), None))

    async def _prepare_attempt(self, running: RunningChat, attempt: Attempt, forwardable: Forwardable) -> Native | None:
        """Admits an attempt by the limits, and returns the dialect that its body is forwarded in; the conversation is
        read where it must be translated."""
        native = can_forward(running.conversation, attempt.target, stream=forwardable.streams)
        if native is None and running.conversation.forwarded:
            asked = await forwardable.read()
            prompted = await self._chats.prepare(asked.request, running.call)
            running.conversation = prompted.conversation
        await running.admit(attempt)
        return native


class _Sent:
    """An attempt as the arguments of what sends it."""

    def __init__(
        self, transport: Transport, target: Target, running: RunningChat, attempt: Attempt, call: Call
    ) -> None:
        self.to = transport, target
        self.watched: _Watched = {
            "interrupted": functools.partial(running.note_interruption, attempt),
            "reservation": call.reservation,
            "waiting": call,
        }


class _Watched(TypedDict):
    interrupted: Interrupted
    reservation: Reservation | None
    waiting: Waiting


async def _from_first_output(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """The pieces, with the signs of life before the first output joined to that: if the attempt fails before, the error
    has a status still, or the next attempt begins the answer."""
    async with contextlib.aclosing(pieces):
        held = b""
        async for piece in pieces:
            held += piece.data
            if piece.has_output:
                yield piece._replace(data=held)
                break
        async for piece in pieces:
            yield piece


def _response_in(piece: Piece | models_pb2.ChatChunk) -> models_pb2.ChatResponse | None:
    """The whole answer, which the last piece has."""
    if isinstance(piece, Piece):
        return piece.response
    return piece.response if piece.HasField("response") else None


def _conversation(forwardable: Forwardable) -> Conversation:
    return Conversation(forwardable.request, (), forwarded=forwardable.forwarded)
