"""TurnFactory of chats in a session: they read the history, and append the request's messages with the answer.

Errors of the session are raised before the provider is called. A complete answer is appended together with the messages
that it answers; a turn that fails or is cancelled appends nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TypeVar

from proto import models_pb2, sessions_pb2, turns_pb2
from services.models.providers.base import Conversation
from services.models.sessions.client import SessionClient, build_append
from services.models.sessions.history import (
    default_window,
    history_notices,
    history_work,
    truncation_notice,
    with_history,
)
from services.models.sessions.lease import Lease
from services.shared.call import Call, new_request_id
from services.shared.errors import LimitExceeded, PlatformError, Unavailable
from services.shared.identity import check_scope
from services.shared.offload import run_in_thread_if_large
from services.shared.serialized_messages import SerializedMessage
from services.shared.time_slices import TimeSlices

APPEND_SECONDS = 2.0
APPEND_BYTES_PER_SECOND = 8 * 1024 * 1024
"""Time limit for appending a complete answer; large turns get additional time for their bytes."""

APPEND_PAUSE_SECONDS = 0.1
"""Pause between two attempts, while the Session Service or its storage is unavailable."""

LARGE_HISTORY_BYTES = 1024 * 1024
MAX_HISTORY_BYTES = 128 * 1024 * 1024
"""Limit for all large histories in memory: each has several copies, as messages and as the provider's text."""
HISTORY_RETRY_SECONDS = 1.0

SESSIONS_SCOPE = "sessions"

HistoryRequest = TypeVar("HistoryRequest", sessions_pb2.GetContextRequest, turns_pb2.BeginTurnRequest)
Capabilities = Callable[[models_pb2.GetCapabilitiesRequest], models_pb2.ModelCapabilities]


class Turn:
    """The turn of a chat without a session: it sends the conversation, and does nothing with the answer."""

    answer: models_pb2.ChatResponse | None = None
    """The answer that the session has already; None if the model must answer."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation

    async def complete(self, response: models_pb2.ChatResponse) -> None:
        """Stores a complete answer, and sets the session's fields in it. Call it once, before the answer is sent."""


class RepeatedTurn(Turn):
    """The turn of a repeated chat that its session already has: the process of the first one was killed before it could
    answer."""

    def __init__(self, conversation: Conversation, appended: turns_pb2.AppendedTurn, call: Call) -> None:
        super().__init__(conversation)
        call.log_fields["session_append"] = "REPEATED"
        message = appended.answer
        self.answer = models_pb2.ChatResponse(
            text=message.content,
            tool_calls=message.tool_calls,
            message=message,
            finish_reason="tool_calls" if message.tool_calls else "other",
            response_id=new_request_id(),
            session_id=conversation.request.session_id,
            session_next_sequence=appended.next_sequence,
        )
        text = "this is the first call's answer as its session has it, without usage and finish reason"
        self.answer.warnings.add(code="ANSWER_REPEATED", field="request_id", message=text)


class ReadOnlyTurn(Turn):
    """The turn of a chat that reads its session and does not append. `conversation` contains the history."""

    def __init__(self, conversation: Conversation, context: sessions_pb2.GetContextResponse, call: Call) -> None:
        super().__init__(conversation)
        self._context = context
        call.log_fields["session_messages"] = len(context.messages)

    async def complete(self, response: models_pb2.ChatResponse) -> None:
        self._describe(response)
        response.session_next_sequence = self._context.next_sequence

    def _describe(self, response: models_pb2.ChatResponse) -> None:
        request = self.conversation.request
        response.session_id = request.session_id
        notices = list(history_notices(response.warnings))
        if self._context.dropped_messages and not request.session.HasField("window"):
            notices.append(truncation_notice(self._context, request.model))
        del response.warnings[:]
        response.warnings.extend(notices)


class AppendingTurn(ReadOnlyTurn):
    """The turn of a chat whose messages and answer are appended to its session."""

    def __init__(
        self,
        conversation: Conversation,
        context: sessions_pb2.GetContextResponse,
        lease: Lease,
        client: SessionClient,
        call: Call,
        append_id: str,
    ) -> None:
        super().__init__(conversation, context, call)
        self._append_id = append_id
        self._lease = lease
        self._client = client
        self._call = call

    async def complete(self, response: models_pb2.ChatResponse) -> None:
        self._describe(response)
        appending = asyncio.create_task(self._append(response))
        try:
            await asyncio.shield(appending)
        except asyncio.CancelledError:
            # The answer is complete and paid for: it is stored although its caller has just left.
            await asyncio.wait({appending})
            raise

    async def _append(self, response: models_pb2.ChatResponse) -> None:
        request = self.conversation.request
        header = sessions_pb2.AppendMessagesRequest(
            session_id=request.session_id,
            user_id=self._lease.user_id,
            # Makes a repeated attempt safe: an earlier one may have appended although its response was lost.
            request_id=self._append_id or self._lease.turn_id,
            expected_next_sequence=self._context.next_sequence,
            turn_id=self._lease.turn_id,
            omit_messages=True,
        )
        append = await build_append(header, [*request.messages, response.message])
        try:
            appended = await self._append_in_time(append)
        except PlatformError as error:
            self._call.log_fields["session_append"] = error.reason
            response.warnings.add(
                code="SESSION_APPEND_FAILED",
                field="session_id",
                message=f"neither messages nor answer were appended to the session: {error.message}",
            )
            return
        self._lease.is_appended = True
        self._call.log_fields["session_append"] = "OK"
        response.session_next_sequence = appended.next_sequence

    async def _append_in_time(self, append: SerializedMessage) -> sessions_pb2.AppendMessagesResponse:
        """Appends, again and again while that may help. Half of the caller's time is left to the answer itself."""
        remaining = self._call.remaining_seconds()
        seconds = APPEND_SECONDS + append.ByteSize() / APPEND_BYTES_PER_SECOND
        if remaining is not None:
            seconds = min(seconds, remaining / 2)
        failure = Unavailable("the Session Service did not answer in time", reason="SESSIONS_UNAVAILABLE")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        return await self._client.append_messages(append, self._call.request_id)
                    except Unavailable as error:
                        failure = error
                    await asyncio.sleep(APPEND_PAUSE_SECONDS)
        raise failure


class TurnFactory:
    """Opens the turns of chats. `capabilities` returns those of a model, with its context window."""

    def __init__(self, client: SessionClient, capabilities: Capabilities) -> None:
        self._client = client
        self._capabilities = capabilities
        self._history_bytes = 0

    def open(
        self, conversation: Conversation, call: Call, append_id: str = ""
    ) -> contextlib.AbstractAsyncContextManager[Turn]:
        """The turn of a chat, as a context manager. Without `complete`, the session stays unchanged.

        `append_id` is the same when the chat is repeated, if its caller has said so by a request_id.
        Raises, before anything is sent to a provider: PermissionDenied SCOPE_MISSING, NotFound SESSION_NOT_FOUND,
        Conflict SESSION_BUSY or SEQUENCE_CONFLICT, LimitExceeded SESSION_FULL or HISTORIES_TOO_LARGE, Unavailable
        SESSIONS_UNAVAILABLE, and as `with_history` does.
        """
        if conversation.request.session_id:
            # Now, and not by the Session Service when the answer is appended, which has been paid for by then.
            if call.identity:
                check_scope(call.identity, SESSIONS_SCOPE)
            return self._open_in_session(conversation, call, append_id)
        return contextlib.nullcontext(Turn(conversation))

    @contextlib.asynccontextmanager
    async def _open_in_session(self, conversation: Conversation, call: Call, append_id: str) -> AsyncIterator[Turn]:
        request = conversation.request
        call.log_fields["session_id"] = request.session_id
        if request.session.skip_append:
            query = self._fill_in(sessions_pb2.GetContextRequest(), conversation)
            context, size = await self._client.get_context(query, call.request_id)
            with self._counted_history(size):
                conversation = await _with_history(conversation, context, size)
                yield ReadOnlyTurn(conversation, context, call)
            return
        lease = Lease(self._client, request.session_id, request.session.user_id, call.request_id)
        begin = self._fill_in(turns_pb2.BeginTurnRequest(), conversation)
        begin.append_messages = len(request.messages) + 1
        begin.append_bytes = await _count_bytes(request.messages)
        begin.append_id = append_id
        async with lease.hold(begin) as (begun, size):
            if begun.HasField("appended"):
                yield RepeatedTurn(conversation, begun.appended, call)
                return
            with self._counted_history(size):
                conversation = await _with_history(conversation, begun.context, size)
                yield AppendingTurn(conversation, begun.context, lease, self._client, call, append_id)

    def _fill_in(self, query: HistoryRequest, conversation: Conversation) -> HistoryRequest:
        """Sets the session, the window and the expected sequence in a request for the history."""
        request = conversation.request
        query.session_id = request.session_id
        query.user_id = request.session.user_id
        window = request.session.window if request.session.HasField("window") else self._default_window(conversation)
        if window is not None:
            query.window.CopyFrom(window)
        if request.session.HasField("expected_next_sequence"):
            query.expected_next_sequence = request.session.expected_next_sequence
        return query

    def _default_window(self, conversation: Conversation) -> models_pb2.WindowPolicy | None:
        model = conversation.request.model
        return default_window(conversation, self._capabilities(models_pb2.GetCapabilitiesRequest(model=model)))

    @contextlib.contextmanager
    def _counted_history(self, size: int) -> Iterator[None]:
        """Counts a large history in memory inside the block. Raises LimitExceeded HISTORIES_TOO_LARGE."""
        if size < LARGE_HISTORY_BYTES:
            yield
            return
        if self._history_bytes + size > MAX_HISTORY_BYTES:
            raise LimitExceeded(
                "other chats with large histories take all the memory there is for these; try again, or choose a"
                " smaller session.window",
                reason="HISTORIES_TOO_LARGE",
                retry_after=HISTORY_RETRY_SECONDS,
            )
        self._history_bytes += size
        try:
            yield
        finally:
            self._history_bytes -= size


async def _with_history(
    conversation: Conversation, context: sessions_pb2.GetContextResponse, size: int
) -> Conversation:
    return await run_in_thread_if_large(history_work(context, size), with_history, conversation, context)


async def _count_bytes(messages: Sequence[models_pb2.ChatMessage]) -> int:
    slices = TimeSlices()
    size = 0
    for message in messages:
        size += message.ByteSize()
        await slices.yield_if_over()
    return size
