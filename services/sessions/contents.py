"""Messages as they are kept: the bytes of their serialised form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.message import DecodeError

from proto.models_pb2 import ChatMessage
from services.sessions import validation
from services.shared.errors import DataLoss
from services.shared.time_slices import TimeSlices


class StoredMessage(NamedTuple):
    sequence: int
    message: bytes
    create_time: int

    def parse(self) -> ChatMessage:
        """Raises DataLoss when the stored bytes are no message."""
        try:
            return ChatMessage.FromString(self.message)
        except DecodeError:
            raise DataLoss(
                f"message {self.sequence} of the session cannot be read; truncate the session before it",
                reason="MESSAGE_CORRUPT",
            ) from None


async def to_contents(messages: Sequence[ChatMessage]) -> list[bytes]:
    """What is kept of the messages of one append. Raises InvalidRequest."""
    validation.check_count(messages)
    slices = TimeSlices()
    contents: list[bytes] = []
    room = validation.MAX_PARTS_IN_ALL
    size = 0
    for index, message in enumerate(messages):
        room = validation.check_message(f"messages[{index}]", message, room)
        contents.append(message.SerializeToString(deterministic=True))
        size += len(contents[-1])
        validation.check_append_size(size)
        await slices.yield_if_over()
    return contents
