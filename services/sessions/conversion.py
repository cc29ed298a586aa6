"""Rows of the store as the messages of the contract."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from proto import sessions_pb2
from proto.models_pb2 import ChatMessage
from services.sessions.memories import Memory
from services.sessions.rows import Session
from services.sessions.store import StoredMessage
from services.shared.errors import DataLoss


def to_session(session: Session) -> sessions_pb2.Session:
    message = sessions_pb2.Session(
        session_id=session.session_id,
        user_id=session.user_id,
        title=session.title,
        metadata=session.metadata,
        create_time=to_timestamp(session.create_time),
        update_time=to_timestamp(session.update_time),
        # There are no gaps, so the next sequence tells the count.
        message_count=session.next_sequence - 1,
        next_sequence=session.next_sequence,
    )
    if session.expire_time is not None:
        message.expire_time.CopyFrom(to_timestamp(session.expire_time))
    return message


def to_session_message(stored: StoredMessage) -> sessions_pb2.SessionMessage:
    """Raises DataLoss when the stored bytes are no message."""
    try:
        message = ChatMessage.FromString(stored.message)
    except DecodeError:
        raise DataLoss(
            f"message {stored.sequence} of the session cannot be read; truncate the session before it",
            reason="MESSAGE_CORRUPT",
        ) from None
    return sessions_pb2.SessionMessage(
        sequence=stored.sequence, message=message, create_time=to_timestamp(stored.create_time)
    )


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
