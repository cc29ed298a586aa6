"""One conversation: a session, and what its turns have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from genai_platform.calls import CallOptions, Metadata
from genai_platform.models import Models
from genai_platform.pages import read_pages
from genai_platform.requests import Messages, TurnFields
from genai_platform.session_requests import PAGE_SIZE, TextWriter, build_turn, check_fields, format_message, open_target
from genai_platform.streams import ChatStream
from proto.models_pb2 import ChatResponse
from proto.sessions_pb2 import (
    DeleteSessionRequest,
    ListMessagesRequest,
    Session,
    SessionMessage,
    TruncateMessagesRequest,
    TruncateMessagesResponse,
)

if TYPE_CHECKING:
    from genai_platform.sessions import Sessions


class Conversation:
    """A session to talk in.

        with platform.sessions.create(user_id="u1", model="gpt-4o") as conversation:
            print(conversation.chat("Hello").text)

    Each turn is sent with the history, and kept with its answer when that is whole: of a turn that fails, or a stream
    that is left early, nothing is kept. One turn at a time: a second one raises Conflict SESSION_BUSY.

    Leaving the `with` block deletes nothing: `sessions.open` finds the session again, `delete` removes it.
    """

    def __init__(self, sessions: Sessions, models: Models, session: Session, defaults: TurnFields) -> None:
        self._sessions = sessions
        self._models = models
        self._session = session
        self._defaults = check_fields(defaults)

    @property
    def session_id(self) -> str:
        """What `sessions.open` finds it by."""
        return self._session.session_id

    @property
    def user_id(self) -> str:
        """Whose it is; empty when it is nobody's in particular."""
        return self._session.user_id

    @property
    def session(self) -> Session:
        """The session as it was when it was created or opened."""
        return self._session

    def chat(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[TurnFields],
    ) -> ChatResponse:
        """Says something and returns the whole answer: a text, or a list of messages such as results of tools.

        The fields are those of `models.chat`; they win over the ones that the conversation was opened with. `system` is
        kept with the turn: what holds for the whole conversation is given to `sessions.create`.
        """
        request = build_turn(self._session, self._defaults, messages, system, request_id, fields)
        return self._models.chat(request, timeout=timeout, metadata=metadata)

    def chat_stream(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **fields: Unpack[TurnFields],
    ) -> ChatStream:
        """The same as it is generated, chunk by chunk. Leaving it early cancels the turn, of which nothing is kept."""
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
    ) -> Iterator[str]:
        """The text of the answer as it is generated. Leaving it early cancels the turn, of which nothing is kept."""
        request = build_turn(self._session, self._defaults, messages, system, request_id, fields)
        return self._models.stream_text(request, timeout=timeout, metadata=metadata)

    def messages(self, *, descending: bool = False, **options: Unpack[CallOptions]) -> Iterator[SessionMessage]:
        """All messages by sequence, the oldest first unless `descending`."""
        request = ListMessagesRequest(
            session_id=self.session_id, user_id=self.user_id, page_size=PAGE_SIZE, descending=descending
        )
        return read_pages(self._sessions.list_messages, request, lambda page: page.messages, options)

    def truncate(self, from_sequence: int, **options: Unpack[CallOptions]) -> TruncateMessagesResponse:
        """Removes the messages from a sequence on, to take a turn back or to say it differently."""
        request = TruncateMessagesRequest(session_id=self.session_id, user_id=self.user_id, from_sequence=from_sequence)
        return self._sessions.truncate_messages(request, **options)

    def export(self, target: str | os.PathLike[str] | TextWriter, **options: Unpack[CallOptions]) -> int:
        """Writes the messages to a path or an open text file, one line of JSON each; see `sessions.export`."""
        count = 0
        with open_target(target) as file:
            for message in self.messages(**options):
                file.write(format_message(message))
                count += 1
        return count

    def delete(self, **options: Unpack[CallOptions]) -> None:
        """Removes the session and all of its messages for good."""
        request = DeleteSessionRequest(session_id=self.session_id, user_id=self.user_id)
        self._sessions.delete_session(request, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Does nothing: the session stays, and the connection is the client's."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_id!r})"
