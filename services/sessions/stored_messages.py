"""Stored messages: the bytes of their serialized form."""

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
        """The message. Raises DataLoss when the stored bytes cannot be parsed."""
        try:
            return ChatMessage.FromString(self.message)
        except DecodeError:
            raise DataLoss(
                f"message {self.sequence} of the session cannot be read; truncate the session before it",
                reason="MESSAGE_CORRUPT",
            ) from None


async def serialize_messages(messages: Sequence[ChatMessage]) -> list[bytes]:
    """Checks the messages of one append and serializes them. Raises InvalidRequest."""
    validation.check_count(messages)
    slices = TimeSlices()
    contents: list[bytes] = []
    allowed = validation.MAX_PARTS_IN_ALL
    size = 0
    for index, message in enumerate(messages):
        allowed = validation.check_message(f"messages[{index}]", message, allowed)
        contents.append(message.SerializeToString(deterministic=True))
        size += len(contents[-1])
        validation.check_append_size(size)
        await slices.yield_if_over()
    return contents
