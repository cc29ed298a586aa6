"""How large the messages of each method may be."""

from __future__ import annotations

from services.shared.errors import LimitExceeded

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""In every hop; media in messages need so much."""

MAX_OTHER_BYTES = 4 * 1024 * 1024
"""Of the requests of all methods that take no messages of a conversation."""

CONVERSING_METHODS = frozenset({"Chat", "ChatStream", "PreviewChat", "AppendMessages"})


def max_request_bytes(method: str) -> int:
    """The most that a request of a method, by its name, may have."""
    return MAX_MESSAGE_BYTES if method in CONVERSING_METHODS else MAX_OTHER_BYTES


def check_size(size: int, limit: int) -> None:
    """Raises LimitExceeded for a request of more than `limit` bytes."""
    if size > limit:
        raise LimitExceeded(f"the request has {size} bytes; at most {limit} are taken here", reason="MESSAGE_TOO_LARGE")
