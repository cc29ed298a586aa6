"""Conversations and what is remembered between them: the calls of SessionService, awaited.

Every method takes the protobuf request and returns the protobuf response. proto/sessions.proto describes their fields.
"""

from __future__ import annotations

from typing import TypeVar, Unpack

from google.protobuf.message import Message

from genai_platform.calls import CallOptions
from genai_platform.channel import SESSION_SERVICE
from genai_platform.connection import AsyncConnection
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


class AsyncSessions:
    """The calls of SessionService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create_session(
        self, request: CreateSessionRequest | None = None, **options: Unpack[CallOptions]
    ) -> Session:
        """Starts a conversation."""
        return await self._call("CreateSession", request or CreateSessionRequest(), Session, **options)

    async def get_session(self, request: GetSessionRequest, **options: Unpack[CallOptions]) -> Session:
        """One session, without its messages."""
        return await self._call("GetSession", request, Session, **options)

    async def list_sessions(
        self, request: ListSessionsRequest | None = None, **options: Unpack[CallOptions]
    ) -> ListSessionsResponse:
        """Lists sessions, the most recently used first."""
        return await self._call("ListSessions", request or ListSessionsRequest(), ListSessionsResponse, **options)

    async def delete_session(
        self, request: DeleteSessionRequest, **options: Unpack[CallOptions]
    ) -> DeleteSessionResponse:
        """Removes a session and all of its messages for good."""
        return await self._call("DeleteSession", request, DeleteSessionResponse, **options)

    async def append_messages(
        self, request: AppendMessagesRequest, **options: Unpack[CallOptions]
    ) -> AppendMessagesResponse:
        """Appends messages: all of them, in order, or none."""
        return await self._call("AppendMessages", request, AppendMessagesResponse, **options)

    async def list_messages(self, request: ListMessagesRequest, **options: Unpack[CallOptions]) -> ListMessagesResponse:
        """Lists a session's messages by sequence."""
        return await self._call("ListMessages", request, ListMessagesResponse, **options)

    async def get_context(self, request: GetContextRequest, **options: Unpack[CallOptions]) -> GetContextResponse:
        """The window of the history that a model would be sent."""
        return await self._call("GetContext", request, GetContextResponse, **options)

    async def truncate_messages(
        self, request: TruncateMessagesRequest, **options: Unpack[CallOptions]
    ) -> TruncateMessagesResponse:
        """Removes the messages from a sequence on."""
        return await self._call("TruncateMessages", request, TruncateMessagesResponse, **options)

    async def put_memory(self, request: PutMemoryRequest, **options: Unpack[CallOptions]) -> Memory:
        """Stores a value under a user's key."""
        return await self._call("PutMemory", request, Memory, **options)

    async def list_memories(self, request: ListMemoriesRequest, **options: Unpack[CallOptions]) -> ListMemoriesResponse:
        """Lists a user's stored values."""
        return await self._call("ListMemories", request, ListMemoriesResponse, **options)

    async def delete_memory(self, request: DeleteMemoryRequest, **options: Unpack[CallOptions]) -> DeleteMemoryResponse:
        """Removes a stored value."""
        return await self._call("DeleteMemory", request, DeleteMemoryResponse, **options)

    async def delete_user_data(
        self, request: DeleteUserDataRequest, **options: Unpack[CallOptions]
    ) -> DeleteUserDataResponse:
        """Removes everything that is kept for a user, for good."""
        return await self._call("DeleteUserData", request, DeleteUserDataResponse, **options)

    async def _call(
        self, name: str, request: Message, response_type: type[Response], **options: Unpack[CallOptions]
    ) -> Response:
        return await self._connection.unary(SESSION_SERVICE, name, request, response_type, **options)
