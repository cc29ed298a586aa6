"""The calls of SessionService: conversations, and the memory of users.

`create`, `open`, `restore`, `export` and `memory` take Python's own arguments. The other methods are those of the
contract: they take their request's fields as keywords, the first of them by position too, or the protobuf request, and
return the protobuf response. proto/sessions.proto describes their fields. `timeout` and `metadata` are the call's own;
where the request has `metadata` too, the keyword means that, and the call's own is given beside a whole request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar, Unpack

from google.protobuf.message import Message

from genai_platform._async.conversations import AsyncConversation
from genai_platform._async.memories import AsyncUserMemory
from genai_platform._async.models import AsyncModels
from genai_platform._async.pages import PAGE_SIZE, read_list, read_pages
from genai_platform.building import build
from genai_platform.calls import CallOptions
from genai_platform.channel import SESSION_SERVICE
from genai_platform.connection import AsyncGatewayConnection
from genai_platform.errors import GenAIError
from genai_platform.field_lists import with_field_lists
from genai_platform.opening import opening
from genai_platform.request_fields import (
    AppendMessagesFields,
    CreateSessionFields,
    DeleteMemoryFields,
    DeleteSessionFields,
    DeleteUserDataFields,
    GetContextFields,
    GetSessionFields,
    ListMemoriesFields,
    ListMessagesFields,
    ListSessionsFields,
    PutMemoryFields,
    TruncateMessagesFields,
)
from genai_platform.requests import TurnFields, read_call
from genai_platform.session_requests import (
    TextReader,
    TextWriter,
    build_creation,
    check_fields,
    read_batches,
)
from genai_platform.v1.models_pb2 import ChatMessage
from genai_platform.v1.sessions_pb2 import (
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
    SessionMessage,
    TruncateMessagesRequest,
    TruncateMessagesResponse,
)

Response = TypeVar("Response", bound=Message)


@with_field_lists
class AsyncSessions:
    """The calls of SessionService, and conversations over them."""

    def __init__(self, connection: AsyncGatewayConnection, models: AsyncModels) -> None:
        self._connection = connection
        self._models = models

    @opening
    async def create(
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
    ) -> AsyncConversation:
        """Creates a session: `async with platform.sessions.create(user_id="u1", model="gpt-4o") as conversation: …`

        `metadata` are the session's own labels. `ttl` is how long the session lives after its last write, a timedelta
        or seconds; without it the session never expires. `system` is stored as the first message. The fields are those
        of `models.chat`, and the defaults of every turn.
        """
        request = build_creation(session_id, user_id, title, metadata, ttl)
        batches = [] if system is None else [[build(ChatMessage, role="system", content=system)]]
        return await self._start(request, batches, timeout, fields)

    @opening
    async def open(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        timeout: float | None = None,
        **fields: Unpack[TurnFields],
    ) -> AsyncConversation:
        """Opens an existing session. Raises NotFound when it is absent, has expired, or belongs to another user.

        Without `user_id` the session's user is not checked, unless the key belongs to a user.
        """
        request = build(GetSessionRequest, session_id=session_id, user_id=user_id or "")
        session = await self.get_session(request, timeout=timeout)
        return AsyncConversation(self, self._models, session, fields)

    async def export(
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
        session = await self.get_session(request, **options)
        conversation = AsyncConversation(self, self._models, session, {})
        return await conversation.export(target, **options)

    @opening
    async def restore(
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
    ) -> AsyncConversation:
        """Creates a session with the messages of an exported file; their times become those of the restore.

        Takes a path or an open text file. Raises InvalidRequest EXPORT_INVALID naming the first wrong line. When the
        messages cannot be stored, the new session is removed again.
        """
        request = build_creation(session_id, user_id, title, metadata, ttl)
        batches = await asyncio.to_thread(read_batches, source)
        return await self._start(request, batches, timeout, fields)

    def memory(self, user_id: str) -> AsyncUserMemory:
        """The memory of a user: `await platform.sessions.memory("u1").set("likes", ["tea"])`."""
        return AsyncUserMemory(self, user_id)

    async def create_session(
        self, request: CreateSessionRequest | str | None = None, **fields: Unpack[CreateSessionFields]
    ) -> Session:
        """Creates a session."""
        return await self._call("CreateSession", Session, read_call(CreateSessionRequest, request, fields))

    async def get_session(
        self, request: GetSessionRequest | str | None = None, **fields: Unpack[GetSessionFields]
    ) -> Session:
        """One session, without its messages."""
        return await self._call("GetSession", Session, read_call(GetSessionRequest, request, fields))

    async def list_sessions(
        self, request: ListSessionsRequest | None = None, **fields: Unpack[ListSessionsFields]
    ) -> ListSessionsResponse:
        """Lists sessions, the most recently used first."""
        return await self._list("ListSessions", ListSessionsResponse, read_call(ListSessionsRequest, request, fields))

    def list(self, *, user_id: str | None = None, **options: Unpack[CallOptions]) -> AsyncIterator[Session]:
        """The sessions, of one user or all, the most recently used first; pages are read as they are reached."""
        request = build(ListSessionsRequest, user_id=user_id, page_size=PAGE_SIZE)
        return read_pages(self.list_sessions, request, lambda page: page.sessions, options)

    async def delete_session(
        self, request: DeleteSessionRequest | str | None = None, **fields: Unpack[DeleteSessionFields]
    ) -> DeleteSessionResponse:
        """Removes a session and all of its messages for good."""
        return await self._call(
            "DeleteSession", DeleteSessionResponse, read_call(DeleteSessionRequest, request, fields)
        )

    async def append_messages(
        self, request: AppendMessagesRequest | str | None = None, **fields: Unpack[AppendMessagesFields]
    ) -> AppendMessagesResponse:
        """Appends messages: all of them, in order, or none."""
        return await self._call(
            "AppendMessages", AppendMessagesResponse, read_call(AppendMessagesRequest, request, fields)
        )

    async def list_messages(
        self, request: ListMessagesRequest | str | None = None, **fields: Unpack[ListMessagesFields]
    ) -> ListMessagesResponse:
        """Lists a session's messages by sequence."""
        return await self._list("ListMessages", ListMessagesResponse, read_call(ListMessagesRequest, request, fields))

    def iterate_messages(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        descending: bool = False,
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[SessionMessage]:
        """The messages of a session by sequence; pages are read as they are reached."""
        request = build(
            ListMessagesRequest, session_id=session_id, user_id=user_id, page_size=PAGE_SIZE, descending=descending
        )
        return read_pages(self.list_messages, request, lambda page: page.messages, options)

    async def get_context(
        self, request: GetContextRequest | str | None = None, **fields: Unpack[GetContextFields]
    ) -> GetContextResponse:
        """The part of the history that a model would be sent."""
        return await self._call("GetContext", GetContextResponse, read_call(GetContextRequest, request, fields))

    async def truncate_messages(
        self, request: TruncateMessagesRequest | str | None = None, **fields: Unpack[TruncateMessagesFields]
    ) -> TruncateMessagesResponse:
        """Removes the messages from a sequence on."""
        return await self._call(
            "TruncateMessages", TruncateMessagesResponse, read_call(TruncateMessagesRequest, request, fields)
        )

    async def put_memory(
        self, request: PutMemoryRequest | str | None = None, **fields: Unpack[PutMemoryFields]
    ) -> Memory:
        """Stores a value under a user's key."""
        return await self._call("PutMemory", Memory, read_call(PutMemoryRequest, request, fields))

    async def list_memories(
        self, request: ListMemoriesRequest | str | None = None, **fields: Unpack[ListMemoriesFields]
    ) -> ListMemoriesResponse:
        """Lists a user's stored values."""
        return await self._list("ListMemories", ListMemoriesResponse, read_call(ListMemoriesRequest, request, fields))

    def iterate_memories(
        self, user_id: str, *, key_prefix: str | None = None, **options: Unpack[CallOptions]
    ) -> AsyncIterator[Memory]:
        """A user's stored values, sorted by key; pages are read as they are reached."""
        request = build(ListMemoriesRequest, user_id=user_id, key_prefix=key_prefix, page_size=PAGE_SIZE)
        return read_pages(self.list_memories, request, lambda page: page.memories, options)

    async def delete_memory(
        self, request: DeleteMemoryRequest | str | None = None, **fields: Unpack[DeleteMemoryFields]
    ) -> DeleteMemoryResponse:
        """Removes a stored value."""
        return await self._call("DeleteMemory", DeleteMemoryResponse, read_call(DeleteMemoryRequest, request, fields))

    async def delete_user_data(
        self, request: DeleteUserDataRequest | str | None = None, **fields: Unpack[DeleteUserDataFields]
    ) -> DeleteUserDataResponse:
        """Removes all sessions and memories of a user for good."""
        return await self._call(
            "DeleteUserData", DeleteUserDataResponse, read_call(DeleteUserDataRequest, request, fields)
        )

    async def _start(
        self,
        request: CreateSessionRequest,
        batches: Sequence[Sequence[ChatMessage]],
        timeout: float | None,
        fields: TurnFields,
    ) -> AsyncConversation:
        """Creates a session with its first messages; when these cannot be stored, removes it again."""
        check_fields(fields)
        session = await self.create_session(request, timeout=timeout)
        conversation = AsyncConversation(self, self._models, session, fields)
        try:
            for messages in batches:
                append = build(AppendMessagesRequest, session_id=conversation.session_id, messages=messages)
                await self.append_messages(append, timeout=timeout)
        except BaseException:
            with contextlib.suppress(GenAIError):
                await conversation.delete()
            raise
        return conversation

    async def _list(self, name: str, response_type: type[Response], call: tuple[Message, CallOptions]) -> Response:
        request, options = call
        return await read_list(lambda page: self._call(name, response_type, (page, options)), request)

    async def _call(self, name: str, response_type: type[Response], call: tuple[Message, CallOptions]) -> Response:
        request, options = call
        return await self._connection.unary(SESSION_SERVICE, name, request, response_type, **options)
