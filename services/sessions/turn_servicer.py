"""The calls of the TurnService, which gives a session to one turn at a time."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from proto import turns_pb2 as pb
from services.sessions import validation
from services.sessions.appends import AppendedAnswer
from services.sessions.contexts import read_context
from services.sessions.owners import read_owner
from services.sessions.servicer import log_context, read_session_id
from services.sessions.store import PlannedAppend, SessionStore
from services.shared.call import Call
from services.shared.errors import PlatformError
from services.shared.serialized_messages import SerializedMessage, field_header

CONTEXT_FIELD = pb.BeginTurnResponse.DESCRIPTOR.fields_by_name["context"].number
APPENDED_FIELD = pb.BeginTurnResponse.DESCRIPTOR.fields_by_name["appended"].number
ANSWER_FIELD = pb.AppendedTurn.DESCRIPTOR.fields_by_name["answer"].number


class TurnServicer:
    """Serves genai_platform.v1.TurnService."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions

    async def BeginTurn(self, request: pb.BeginTurnRequest, call: Call) -> SerializedMessage:
        session_id = read_session_id(request, call)
        owner = read_owner(request.user_id, call)
        turn_id = _read_turn_id(request.turn_id)
        validation.check_window(request.window)
        validation.check_append_plan(request.append_messages, request.append_bytes)
        expected = validation.read_expected_sequence(request)
        append_id = validation.check_text("append_id", request.append_id, validation.MAX_REQUEST_ID)
        append = PlannedAppend(request.append_messages, request.append_bytes, append_id)
        # Names the session's user from here on: other users may have sessions of the same id.
        session, answer = await self._sessions.begin_turn(session_id, owner, turn_id, append)
        owner = owner._replace(user_id=session.user_id)
        if answer:
            call.log_fields["duplicate"] = True
            return _appended(answer)
        try:
            async with self._sessions.history(session_id, owner, expected) as history:
                context = await read_context(history, request.window)
                log_context(context, call)
                head = field_header(CONTEXT_FIELD, sum(map(len, context.pieces)))
                rest = pb.BeginTurnResponse(lease=self._lease(), user_id=owner.user_id)
                return SerializedMessage([head, *context.pieces, rest.SerializeToString()])
        except PlatformError:
            # Releases the lease if the context cannot be read. A cancelled caller ends its turn itself, or the lease
            # expires.
            await self._sessions.end_turn(session_id, owner, turn_id)
            raise

    async def ExtendTurn(self, request: pb.ExtendTurnRequest, call: Call) -> pb.ExtendTurnResponse:
        session_id = read_session_id(request, call)
        owner = read_owner(request.user_id, call)
        await self._sessions.extend_turn(session_id, owner, _read_turn_id(request.turn_id))
        return pb.ExtendTurnResponse(lease=self._lease())

    async def EndTurn(self, request: pb.EndTurnRequest, call: Call) -> pb.EndTurnResponse:
        session_id = read_session_id(request, call)
        owner = read_owner(request.user_id, call)
        await self._sessions.end_turn(session_id, owner, _read_turn_id(request.turn_id))
        return pb.EndTurnResponse()

    def _lease(self) -> Duration:
        lease = Duration()
        lease.FromMicroseconds(int(self._sessions.lease_seconds * 1_000_000))
        return lease


def _appended(answer: AppendedAnswer) -> SerializedMessage:
    head = field_header(ANSWER_FIELD, len(answer.content))
    rest = pb.AppendedTurn(next_sequence=answer.next_sequence).SerializeToString()
    size = len(head) + len(answer.content) + len(rest)
    return SerializedMessage([field_header(APPENDED_FIELD, size), head, answer.content, rest])


def _read_turn_id(turn_id: str) -> str:
    return validation.check_text("turn_id", turn_id, validation.MAX_TURN_ID, required=True)
