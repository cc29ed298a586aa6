"""Payload: the body of a request, released as soon as it is no longer needed."""

from __future__ import annotations

from collections.abc import Callable

KEPT_BYTES = 1024 * 1024


class Payload:
    """The body of one request.

    A body of more than `KEPT_BYTES` is released when it has been written, because the response may take minutes;
    `on_written` is called then. It can be sent only once, and so goes over a new connection. A smaller one is kept, and
    sent again where a pooled connection turns out to be closed.
    """

    __slots__ = ("_on_written", "data", "is_kept", "is_sent")

    def __init__(self, data: bytes, on_written: Callable[[], object] | None = None) -> None:
        self.data = data
        self.is_kept = len(data) <= KEPT_BYTES
        self.is_sent = False
        """Whether a server may have got a part of it."""
        self._on_written = on_written

    def written(self) -> None:
        """Notes that all of it has been written."""
        if self.is_kept:
            return
        self.data = b""
        if self._on_written:
            self._on_written()
