"""A `Transport` without a network: the bytes of a response, in given pieces."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from services.models.transport.base import MAX_START_BYTES, HttpResponse
from services.shared import errors


class PlayedTransport:
    """Gives every request the same response. `breaks` says that the connection breaks behind the last piece."""

    def __init__(self, pieces: Sequence[bytes], content_type: str, *, breaks: bool = False) -> None:
        self._pieces = pieces
        self._headers = {"content-type": content_type} if content_type else {}
        self._breaks = breaks

    async def post(self, *_: Any) -> HttpResponse:
        if self._breaks:
            raise broken()
        return HttpResponse(200, self._headers, b"".join(self._pieces))

    @contextlib.asynccontextmanager
    async def stream(self, *_: Any) -> AsyncIterator[PlayedResponse]:
        yield PlayedResponse(self._pieces, self._headers, breaks=self._breaks)

    @contextlib.asynccontextmanager
    async def get(self, *_: Any) -> AsyncIterator[PlayedResponse]:
        yield PlayedResponse(self._pieces, self._headers, breaks=self._breaks)


class PlayedResponse:
    """The pieces, one for each read."""

    status = 200
    can_read_now = False

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

    async def read_start(self, limit: int = MAX_START_BYTES) -> bytes:
        body = b""
        while len(body) < limit and (data := await self.read()):
            body += data
        return body[:limit]


def broken() -> errors.Unavailable:
    return errors.Unavailable("the provider's answer broke off; try again", reason="UPSTREAM_STREAM_INTERRUPTED")
