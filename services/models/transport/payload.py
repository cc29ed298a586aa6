"""The body of a request on its way."""

from __future__ import annotations

from collections.abc import Callable

KEPT_BYTES = 1024 * 1024


class Payload:
    """A body that is held no longer than it may be needed.

    One of more than `KEPT_BYTES` is let go of as soon as it is written, which `on_written` is told then: answers may
    take minutes. So it is sent only once, over a connection that nobody can have closed meanwhile. What is smaller is
    kept, to be sent once more where a connection turns out to be closed.
    """

    __slots__ = ("_on_written", "data", "is_kept")

    def __init__(self, data: bytes, on_written: Callable[[], object] | None = None) -> None:
        self.data = data
        self.is_kept = len(data) <= KEPT_BYTES
        self._on_written = on_written

    def written(self) -> None:
        """Says that all of it was given to the connection."""
        if self.is_kept:
            return
        self.data = b""
        if self._on_written:
            self._on_written()
