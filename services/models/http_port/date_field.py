"""The header field `Date` of responses (RFC 9110, 6.6.1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate


class DateField:
    """The line of the field, which is written anew once a second."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._second = -1
        self._line = b""

    def line(self) -> bytes:
        """The line for a response that begins now."""
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._line = b"date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._line
