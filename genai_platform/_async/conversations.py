"""Conversations: a session, and the fields that all of its turns share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from genai_platform._async.models import AsyncModels
from genai_platform.calls import CallOptions, Metadata
from genai_platform.field_lists import with_field_lists
from genai_platform.requests import Messages, TurnFields
from genai_platform.session_requests import TextWriter, build_turn, check_fields, format_message, open_target
from genai_platform.streams import AsyncChatStream
from genai_platform.v1.models_pb2 import ChatResponse
from genai_platform.v1.sessions_pb2 import (
    DeleteSessionRequest,
    Session,
    SessionMessage,
    TruncateMessagesRequest,
    TruncateMessagesResponse,
)

if TYPE_CHECKING:
    from genai_platform._async.sessions import AsyncSessions


@with_field_lists
class AsyncConversation:
    """A session, and the fields that its turns share.

        async with platform.sessions.create(user_id="u1", model="gpt-4o") as conversation:
            response = await conversation.chat("Hello")
            print(response.text)

    Each turn is sent with the history and stored together with its complete answer; a turn that fails, or a stream
    that is left early, stores nothing. One turn at a time: a second one raises Conflict SESSION_BUSY.

    Leaving the `async with` block deletes nothing: `sessions.open` opens the session again, `delete` removes it.
    """

    def __init__(self, sessions: AsyncSessions, models: AsyncModels, session: Session, defaults: TurnFields) -> None:
        self._sessions = sessions
        self._models = models
        self._session = session
        self._defaults = check_fields(defaults)

    @property
    def session_id(self) -> str:
        """The session's id, which `sessions.open` takes."""
        return self._session.session_id

    @property
    def user_id(self) -> str:
        """The user of the session; empty when it belongs to no user."""
        return self._session.user_id

    @property
    def session(self) -> Session:
        """The session as it was when it was created or opened."""
        return self._session

    async def chat(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[TurnFields],
    ) -> ChatResponse:
        """Sends one turn and returns the complete answer.

        `messages` is a text, or a list of messages such as the results of tools. The fields are those of `models.chat`;
        they override the ones given to `sessions.create` or `open`. `system` is stored as a part of this turn; a system
        message for the whole conversation is given to `sessions.create`.
        """
        request = build_turn(self._session, self._defaults, messages, system, request_id, fields)
        return await self._models.chat(request, timeout=timeout, metadata=metadata)

    def chat_stream(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[TurnFields],
    ) -> AsyncChatStream:
        """Sends one turn and streams the answer. Leaving the stream early cancels the turn, and nothing is stored."""
        request = build_turn(self._session, self._defaults, messages, system, request_id, fields)
        return self._models.chat_stream(request, timeout=timeout, metadata=metadata)

    def stream_text(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[TurnFields],
    ) -> AsyncIterator[str]:
        """Sends one turn and streams the answer as text. Leaving it early cancels the turn, and nothing is stored.

        Raises Unavailable SESSION_APPEND_FAILED after the whole text, if the turn could not be stored.
        """
        request = build_turn(self._session, self._defaults, messages, system, request_id, fields)
        return self._models.stream_text(request, timeout=timeout, metadata=metadata)

    def messages(self, *, descending: bool = False, **options: Unpack[CallOptions]) -> AsyncIterator[SessionMessage]:
        """The stored messages by sequence, oldest first, or newest first when `descending`."""
        return self._sessions.iterate_messages(self.session_id, user_id=self.user_id, descending=descending, **options)

    async def truncate(self, from_sequence: int, **options: Unpack[CallOptions]) -> TruncateMessagesResponse:
        """Removes the messages from a sequence on, to undo a turn or to send another one instead."""
        request = TruncateMessagesRequest(session_id=self.session_id, user_id=self.user_id, from_sequence=from_sequence)
        return await self._sessions.truncate_messages(request, **options)

    async def export(self, target: str | os.PathLike[str] | TextWriter, **options: Unpack[CallOptions]) -> int:
        """Writes the messages to a path or an open text file, one line of JSON each; see `sessions.export`."""
        count = 0
        with open_target(target) as file:
            async for message in self.messages(**options):
                file.write(format_message(message))
                count += 1
        return count

    async def delete(self, **options: Unpack[CallOptions]) -> None:
        """Removes the session and all of its messages for good."""
        request = DeleteSessionRequest(session_id=self.session_id, user_id=self.user_id)
        await self._sessions.delete_session(request, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Does nothing: the session stays stored, and the connection belongs to the client."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_id!r})"
