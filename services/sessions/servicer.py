"""The calls of the Session Service: requests are checked here; the stores do the rest."""

from __future__ import annotations

from google.protobuf.message import Message

from proto import sessions_pb2 as pb
from services.sessions import validation
from services.sessions.contexts import Context, read_context
from services.sessions.conversion import to_entries, to_memory, to_session
from services.sessions.memories import MemoryStore
from services.sessions.owners import read_owner
from services.sessions.store import SessionStore
from services.sessions.stored_messages import StoredMessage, serialize_messages
from services.shared.call import Call
from services.shared.page_tokens import NaturalNumber, Text, read_page_size, read_page_token, write_page_token
from services.shared.serialized_messages import SerializedMessage
from services.shared.time_slices import TimeSlices


class SessionServicer:
    """Serves genai_platform.v1.SessionService."""

    def __init__(self, sessions: SessionStore, memories: MemoryStore) -> None:
        self._sessions = sessions
        self._memories = memories

    async def CreateSession(self, request: pb.CreateSessionRequest, call: Call) -> pb.Session:
        session = await self._sessions.create(
            session_id=validation.choose_session_id(request.session_id),
            owner=read_owner(request.user_id, call),
            title=validation.check_text("title", request.title, validation.MAX_TITLE),
            metadata=validation.check_metadata(request.metadata),
            lifetime=validation.read_lifetime(request.ttl) if request.HasField("ttl") else None,
        )
        call.log_fields["session_id"] = session.session_id
        return to_session(session)

    async def GetSession(self, request: pb.GetSessionRequest, call: Call) -> pb.Session:
        session_id = read_session_id(request, call)
        return to_session(await self._sessions.get(session_id, read_owner(request.user_id, call)))

    async def ListSessions(self, request: pb.ListSessionsRequest, call: Call) -> pb.ListSessionsResponse:
        owner = read_owner(request.user_id, call)
        after = read_page_token(request, tuple[NaturalNumber, Text, Text])
        sessions, more = await self._sessions.list_sessions(owner, after, read_page_size(request))
        response = pb.ListSessionsResponse()
        slices = TimeSlices()
        for session in sessions:
            response.sessions.append(to_session(session))
            await slices.yield_if_over()
        if more:
            last = sessions[-1]
            response.next_page_token = write_page_token(request, (last.update_time, last.session_id, last.user_id))
        return response

    async def DeleteSession(self, request: pb.DeleteSessionRequest, call: Call) -> pb.DeleteSessionResponse:
        session_id = read_session_id(request, call)
        await self._sessions.delete(session_id, read_owner(request.user_id, call))
        return pb.DeleteSessionResponse()

    async def AppendMessages(self, request: pb.AppendMessagesRequest, call: Call) -> SerializedMessage:
        session_id = read_session_id(request, call)
        owner = read_owner(request.user_id, call)
        request_id = validation.check_text("request_id", request.request_id, validation.MAX_REQUEST_ID)
        turn_id = validation.check_text("turn_id", request.turn_id, validation.MAX_TURN_ID)
        contents = await serialize_messages(request.messages)
        appended = await self._sessions.append(
            session_id, owner, contents, request_id, validation.read_expected_sequence(request), turn_id
        )
        call.log_fields.update(appended=len(contents), duplicate=appended.duplicate)
        summary = pb.AppendMessagesResponse(
            next_sequence=appended.first_sequence + len(contents), duplicate=appended.duplicate
        )
        # A repeated request contains the same messages as the first one, and so the response can return them.
        returned = [] if request.omit_messages else contents
        stored = (
            StoredMessage(sequence, content, appended.create_time)
            for sequence, content in enumerate(returned, appended.first_sequence)
        )
        return SerializedMessage([*await to_entries(stored), summary.SerializeToString()])

    async def ListMessages(self, request: pb.ListMessagesRequest, call: Call) -> SerializedMessage:
        session_id = read_session_id(request, call)
        owner = read_owner(request.user_id, call)
        after = read_page_token(request, NaturalNumber)
        size = read_page_size(request)
        async with self._sessions.history(session_id, owner) as history:
            stored, more = await history.fetch(after, size, request.descending)
            token = write_page_token(request, stored[-1].sequence) if more else ""
            summary = pb.ListMessagesResponse(next_page_token=token)
            return SerializedMessage([*await to_entries(stored, check=True), summary.SerializeToString()])

    async def GetContext(self, request: pb.GetContextRequest, call: Call) -> SerializedMessage:
        session_id = read_session_id(request, call)
        owner = read_owner(request.user_id, call)
        validation.check_window(request.window)
        expected = validation.read_expected_sequence(request)
        async with self._sessions.history(session_id, owner, expected) as history:
            context = await read_context(history, request.window)
            log_context(context, call)
            return SerializedMessage(context.pieces)

    async def TruncateMessages(self, request: pb.TruncateMessagesRequest, call: Call) -> pb.TruncateMessagesResponse:
        session_id = read_session_id(request, call)
        owner = read_owner(request.user_id, call)
        from_sequence = validation.check_sequence("from_sequence", request.from_sequence)
        truncated = await self._sessions.truncate(session_id, owner, from_sequence)
        return pb.TruncateMessagesResponse(removed_count=truncated.deleted, next_sequence=truncated.next_sequence)

    async def PutMemory(self, request: pb.PutMemoryRequest, call: Call) -> pb.Memory:
        owner = read_owner(request.user_id, call, required=True)
        key = validation.check_text("key", request.key, validation.MAX_KEY, required=True)
        value = validation.check_json("value_json", request.value_json, validation.MAX_VALUE_BYTES)
        return to_memory(await self._memories.put(owner, key, value))

    async def ListMemories(self, request: pb.ListMemoriesRequest, call: Call) -> pb.ListMemoriesResponse:
        owner = read_owner(request.user_id, call, required=True)
        prefix = validation.check_text("key_prefix", request.key_prefix, validation.MAX_KEY)
        after = read_page_token(request, Text)
        memories, more = await self._memories.list_memories(owner, prefix, after, read_page_size(request))
        response = pb.ListMemoriesResponse(memories=map(to_memory, memories))
        if more:
            response.next_page_token = write_page_token(request, memories[-1].key)
        return response

    async def DeleteMemory(self, request: pb.DeleteMemoryRequest, call: Call) -> pb.DeleteMemoryResponse:
        owner = read_owner(request.user_id, call, required=True)
        key = validation.check_text("key", request.key, validation.MAX_KEY, required=True)
        await self._memories.delete(owner, key)
        return pb.DeleteMemoryResponse()

    async def DeleteUserData(self, request: pb.DeleteUserDataRequest, call: Call) -> pb.DeleteUserDataResponse:
        owner = read_owner(request.user_id, call, required=True)
        sessions, memories = await self._sessions.delete_user(owner)
        return pb.DeleteUserDataResponse(deleted_sessions=sessions, deleted_memories=memories)


def read_session_id(request: Message, call: Call) -> str:
    session_id: str = validation.check_session_id(request.session_id)  # type: ignore[attr-defined]
    call.log_fields["session_id"] = session_id
    return session_id


def log_context(context: Context, call: Call) -> None:
    """Adds the size of a context to the call's log line."""
    call.log_fields.update(messages=context.messages, dropped_messages=context.dropped_messages)
