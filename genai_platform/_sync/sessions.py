# Generated from genai_platform/_async/sessions.py by tools/unasync.py. Change that file and run `make sdk`.

"""The calls of SessionService: conversations, and the memory of users.

`create`, `open`, `restore`, `export` and `memory` take Python's own arguments. The other methods take the protobuf
request and return the protobuf response. proto/sessions.proto describes their fields.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypeVar, Unpack

from google.protobuf.message import Message

from genai_platform._sync.conversations import Conversation
from genai_platform._sync.memories import UserMemory
from genai_platform._sync.models import Models
from genai_platform.building import build
from genai_platform.calls import CallOptions
from genai_platform.channel import SESSION_SERVICE
from genai_platform.connection import GatewayConnection
from genai_platform.errors import GenAIError
from genai_platform.requests import TurnFields
from genai_platform.session_requests import TextReader, TextWriter, build_creation, check_fields, read_batches
from proto.models_pb2 import ChatMessage
from proto.sessions_pb2 import (
    AppendMessagesRequest,
    AppendMessagesResponse,
    CreateSessionRequest,
    DeleteMemoryRequest,
    DeleteMemoryResponse,
    DeleteSessionRequest,
    DeleteSessionResponse,
    DeleteUserDataRequest,
    DeleteUserDataResponse,
    GetContextRequest,
    GetContextResponse,
    GetSessionRequest,
    ListMemoriesRequest,
    ListMemoriesResponse,
    ListMessagesRequest,
    ListMessagesResponse,
    ListSessionsRequest,
    ListSessionsResponse,
    Memory,
    PutMemoryRequest,
    Session,
    TruncateMessagesRequest,
    TruncateMessagesResponse,
)

Response = TypeVar("Response", bound=Message)


class Sessions:
    """The calls of SessionService, and conversations over them."""

    def __init__(self, connection: GatewayConnection, models: Models) -> None:
        self._connection = connection
        self._models = models

    def create(
        self,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, str] | None = None,
        ttl: timedelta | float | None = None,
        system: str | None = None,
        timeout: float | None = None,
        **fields: Unpack[TurnFields],
    ) -> Conversation:
        """Creates a session: `with platform.sessions.create(user_id="u1", model="gpt-4o") as conversation: …`

        `metadata` are the session's own labels. `ttl` is how long the session lives after its last write, a timedelta
        or seconds; without it the session never expires. `system` is stored as the first message. The fields are those
        of `models.chat`, and the defaults of every turn.
        """
        request = build_creation(session_id, user_id, title, metadata, ttl)
        batches = [] if system is None else [[build(ChatMessage, role="system", content=system)]]
        return self._start(request, batches, timeout, fields)

    def open(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        timeout: float | None = None,
        **fields: Unpack[TurnFields],
    ) -> Conversation:
        """Opens an existing session. Raises NotFound when it is absent, has expired, or belongs to another user.

        Without `user_id` the session's user is not checked.
        """
        request = build(GetSessionRequest, session_id=session_id, user_id=user_id or "")
        session = self.get_session(request, timeout=timeout)
        return Conversation(self, self._models, session, fields)

    def export(
        self,
        session_id: str,
        target: str | os.PathLike[str] | TextWriter,
        *,
        user_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> int:
        """Writes a session's messages to a path or an open text file, and returns their number.

        One line each, oldest first: a SessionMessage in protobuf's JSON form with the fields' own names. A file given
        by its path is replaced when the export is complete, and left unchanged when it fails.
        """
        request = build(GetSessionRequest, session_id=session_id, user_id=user_id or "")
        session = self.get_session(request, **options)
        conversation = Conversation(self, self._models, session, {})
        return conversation.export(target, **options)

    def restore(
        self,
        source: str | os.PathLike[str] | TextReader,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, str] | None = None,
        ttl: timedelta | float | None = None,
        timeout: float | None = None,
        **fields: Unpack[TurnFields],
    ) -> Conversation:
        """Creates a session with the messages of an exported file; their times become those of the restore.

        Takes a path or an open text file. Raises InvalidRequest EXPORT_INVALID naming the first wrong line. When the
        messages cannot be stored, the new session is removed again.
        """
        request = build_creation(session_id, user_id, title, metadata, ttl)
        batches = read_batches(source)
        return self._start(request, batches, timeout, fields)

    def memory(self, user_id: str) -> UserMemory:
        """The memory of a user: `platform.sessions.memory("u1").set("likes", ["tea"])`."""
        return UserMemory(self, user_id)

    def create_session(self, request: CreateSessionRequest | None = None, **options: Unpack[CallOptions]) -> Session:
        """Creates a session."""
        return self._call("CreateSession", request or CreateSessionRequest(), Session, **options)

    def get_session(self, request: GetSessionRequest, **options: Unpack[CallOptions]) -> Session:
        """One session, without its messages."""
        return self._call("GetSession", request, Session, **options)

    def list_sessions(
        self, request: ListSessionsRequest | None = None, **options: Unpack[CallOptions]
    ) -> ListSessionsResponse:
        """Lists sessions, the most recently used first."""
        return self._call("ListSessions", request or ListSessionsRequest(), ListSessionsResponse, **options)

    def delete_session(self, request: DeleteSessionRequest, **options: Unpack[CallOptions]) -> DeleteSessionResponse:
        """Removes a session and all of its messages for good."""
        return self._call("DeleteSession", request, DeleteSessionResponse, **options)

    def append_messages(self, request: AppendMessagesRequest, **options: Unpack[CallOptions]) -> AppendMessagesResponse:
        """Appends messages: all of them, in order, or none."""
        return self._call("AppendMessages", request, AppendMessagesResponse, **options)

    def list_messages(self, request: ListMessagesRequest, **options: Unpack[CallOptions]) -> ListMessagesResponse:
        """Lists a session's messages by sequence."""
        return self._call("ListMessages", request, ListMessagesResponse, **options)

    def get_context(self, request: GetContextRequest, **options: Unpack[CallOptions]) -> GetContextResponse:
        """The part of the history that a model would be sent."""
        return self._call("GetContext", request, GetContextResponse, **options)

    def truncate_messages(
        self, request: TruncateMessagesRequest, **options: Unpack[CallOptions]
    ) -> TruncateMessagesResponse:
        """Removes the messages from a sequence on."""
        return self._call("TruncateMessages", request, TruncateMessagesResponse, **options)

    def put_memory(self, request: PutMemoryRequest, **options: Unpack[CallOptions]) -> Memory:
        """Stores a value under a user's key."""
        return self._call("PutMemory", request, Memory, **options)

    def list_memories(self, request: ListMemoriesRequest, **options: Unpack[CallOptions]) -> ListMemoriesResponse:
        """Lists a user's stored values."""
        return self._call("ListMemories", request, ListMemoriesResponse, **options)

    def delete_memory(self, request: DeleteMemoryRequest, **options: Unpack[CallOptions]) -> DeleteMemoryResponse:
        """Removes a stored value."""
        return self._call("DeleteMemory", request, DeleteMemoryResponse, **options)

    def delete_user_data(
        self, request: DeleteUserDataRequest, **options: Unpack[CallOptions]
    ) -> DeleteUserDataResponse:
        """Removes all sessions and memories of a user for good."""
        return self._call("DeleteUserData", request, DeleteUserDataResponse, **options)

    def _start(
        self,
        request: CreateSessionRequest,
        batches: Sequence[Sequence[ChatMessage]],
        timeout: float | None,
        fields: TurnFields,
    ) -> Conversation:
        """Creates a session with its first messages; when these cannot be stored, removes it again."""
        check_fields(fields)
        session = self.create_session(request, timeout=timeout)
        conversation = Conversation(self, self._models, session, fields)
        try:
            for messages in batches:
                append = build(AppendMessagesRequest, session_id=conversation.session_id, messages=messages)
                self.append_messages(append, timeout=timeout)
        except BaseException:
            with contextlib.suppress(GenAIError):
                conversation.delete()
            raise
        return conversation

    def _call(
        self, name: str, request: Message, response_type: type[Response], **options: Unpack[CallOptions]
    ) -> Response:
        return self._connection.unary(SESSION_SERVICE, name, request, response_type, **options)
