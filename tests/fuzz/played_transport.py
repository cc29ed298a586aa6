"""The bytes of an answer, in given pieces, where the exchange expects a transport."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from services.models.transport.base import HttpResponse
from services.shared import errors


class PlayedTransport:
    """Gives every request the same answer. `breaks` says that the connection breaks behind the last piece."""

    def __init__(self, pieces: Sequence[bytes], content_type: str, *, breaks: bool = False) -> None:
        self._pieces = pieces
        self._headers = {"content-type": content_type} if content_type else {}
        self._breaks = breaks

    async def post(self, *_: Any) -> HttpResponse:
        if self._breaks:
            raise broken()
        return HttpResponse(200, self._headers, b"".join(self._pieces))

    @contextlib.asynccontextmanager
    async def stream(self, *_: Any) -> AsyncIterator[PlayedAnswer]:
        yield PlayedAnswer(self._pieces, self._headers, breaks=self._breaks)


class PlayedAnswer:
    status = 200
    goes_on = False

    def __init__(self, pieces: Sequence[bytes], headers: Mapping[str, str], *, breaks: bool) -> None:
        self.headers = headers
        self._pieces = iter(pieces)
        self._breaks = breaks

    async def read(self) -> bytes:
        for piece in self._pieces:
            if piece:
                return piece
        if self._breaks:
            raise broken()
        return b""


def broken() -> errors.Unavailable:
    return errors.Unavailable("the provider's answer broke off; try again", reason="UPSTREAM_STREAM_INTERRUPTED")
