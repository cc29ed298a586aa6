"""Conversion of the store's rows to the messages of the contract."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from proto import sessions_pb2
from services.sessions.memories import Memory
from services.sessions.rows import Session
from services.sessions.stored_messages import StoredMessage
from services.shared.serialized_messages import field_header
from services.shared.time_slices import TimeSlices

MESSAGES_FIELD = 1
"""The number of the field `messages` in all responses that have it."""

MESSAGE_FIELD = sessions_pb2.SessionMessage.DESCRIPTOR.fields_by_name["message"].number


def to_session(session: Session) -> sessions_pb2.Session:
    message = sessions_pb2.Session(
        session_id=session.session_id,
        user_id=session.user_id,
        title=session.title,
        metadata=session.metadata,
        create_time=to_timestamp(session.create_time),
        update_time=to_timestamp(session.update_time),
        # Sequences have no gaps, so the next one gives the count.
        message_count=session.next_sequence - 1,
        next_sequence=session.next_sequence,
    )
    if session.expire_time is not None:
        message.expire_time.CopyFrom(to_timestamp(session.expire_time))
    return message


async def to_entries(messages: Iterable[StoredMessage], *, check: bool = False) -> list[bytes]:
    """The serialized entries of a response's `messages`.

    With `check`, raises DataLoss for the first message whose stored bytes cannot be parsed.
    """
    pieces: list[bytes] = []
    slices = TimeSlices()
    for stored in messages:
        if check:
            stored.parse()
        entry = sessions_pb2.SessionMessage(sequence=stored.sequence, create_time=to_timestamp(stored.create_time))
        head = entry.SerializeToString() + field_header(MESSAGE_FIELD, len(stored.message))
        pieces += (field_header(MESSAGES_FIELD, len(head) + len(stored.message)), head, stored.message)
        await slices.yield_if_over()
    return pieces


def to_memory(memory: Memory) -> sessions_pb2.Memory:
    return sessions_pb2.Memory(
        user_id=memory.user_id,
        key=memory.key,
        value_json=memory.value_json.decode(),
        update_time=to_timestamp(memory.update_time),
    )


def to_timestamp(microseconds: int) -> Timestamp:
    seconds, rest = divmod(microseconds, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
