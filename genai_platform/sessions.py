"""Conversations and what is remembered between them: the calls of SessionService.

Every method takes the protobuf request and returns the protobuf response. proto/sessions.proto describes their fields.
"""

from __future__ import annotations

from typing import TypeVar, Unpack

from google.protobuf.message import Message

from genai_platform.calls import CallOptions
from genai_platform.channel import SESSION_SERVICE
from genai_platform.connection import Connection
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
    """The calls of SessionService."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create_session(self, request: CreateSessionRequest | None = None, **options: Unpack[CallOptions]) -> Session:
        """Starts a conversation."""
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
        """The window of the history that a model would be sent."""
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
        """Removes everything that is kept for a user, for good."""
        return self._call("DeleteUserData", request, DeleteUserDataResponse, **options)

    def _call(
        self, name: str, request: Message, response_type: type[Response], **options: Unpack[CallOptions]
    ) -> Response:
        return self._connection.unary(SESSION_SERVICE, name, request, response_type, **options)
