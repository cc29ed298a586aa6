"""Size limits of the messages of each method."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, MethodDescriptor

from services.shared.errors import LimitExceeded

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""Limit in every hop; messages with media need so much."""

MAX_OTHER_BYTES = 4 * 1024 * 1024
"""Limit for requests that contain no messages of a conversation."""


def max_request_bytes(method: MethodDescriptor) -> int:
    """The size limit of a method's requests: larger for those that contain `messages`, which may have media."""
    return MAX_MESSAGE_BYTES if _contains_messages(method.input_type, set()) else MAX_OTHER_BYTES


def _contains_messages(kind: Descriptor, seen: set[Descriptor]) -> bool:
    """Whether the message type has a field `messages`, itself or in a field of it."""
    seen.add(kind)
    inner = {field.message_type for field in kind.fields if field.message_type}
    return "messages" in kind.fields_by_name or any(_contains_messages(each, seen) for each in inner - seen)


def check_size(size: int, limit: int) -> None:
    """Raises LimitExceeded for a request of more than `limit` bytes."""
    if size > limit:
        raise LimitExceeded(f"the request has {size} bytes; at most {limit} are taken here", reason="MESSAGE_TOO_LARGE")
