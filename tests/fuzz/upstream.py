"""An upstream that plays bytes: as quick as the calls that are played to, and it remembers nothing.

    async with Upstream(play) as upstream: ...        # `play` is given each request and says what is sent

A play is a list of steps: bytes are sent as they are, a number is a pause in seconds, and a `Last` ends the connection.
Without a `Last` the connection stays open for the next request.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from enum import Enum, auto
from types import TracebackType
from typing import NamedTuple, TypeAlias

from tests.fuzz.spoken import SPOKEN, STREAM_PATHS, spoken_path
from tests.wire.dialects import HELLO, encode


class Request(NamedTuple):
    method: str
    path: str
    body: bytes

    @property
    def streams(self) -> bool:
        return b'"stream":true' in self.body or self.path.endswith(STREAM_PATHS)


class Last(Enum):
    CLOSE = auto()
    RESET = auto()
    SILENCE = auto()
    """Nothing more, until the client closes."""


Step: TypeAlias = bytes | float | Last
Play: TypeAlias = Callable[[Request], Sequence[Step]]


class Upstream:
    def __init__(self, play: Play) -> None:
        self.play = play
        self._connections: set[_Connection] = set()

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Upstream:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self.play, self._connections), "127.0.0.1", 0, backlog=4096
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    def __init__(self, play: Play, connections: set[_Connection]) -> None:
        self._play = play
        self._connections = connections
        self._buffer = bytearray()
        self._playing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        if self._playing:
            self._playing.cancel()

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        request = _take_request(self._buffer)
        if request is None:
            return
        steps = self._play(request)
        if all(isinstance(step, bytes) for step in steps):
            self._transport.write(b"".join(steps))  # type: ignore[arg-type]
        else:
            self._playing = asyncio.get_running_loop().create_task(self._take(steps))

    async def _take(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if self._transport.is_closing():
                return
            match step:
                case bytes():
                    self._transport.write(step)
                case Last.CLOSE:
                    self._transport.close()
                case Last.RESET:
                    self._reset()
                case Last.SILENCE:
                    return
                case _:
                    await asyncio.sleep(step)

    def _reset(self) -> None:
        # Lingering for zero seconds is what turns a close into an RST.
        peer: socket.socket = self._transport.get_extra_info("socket")
        if peer.fileno() != -1:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def _take_request(buffer: bytearray) -> Request | None:
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = bytes(buffer[:end]).split(b"\r\n")
    lengths = [line.partition(b":")[2] for line in lines if line[:15].lower() == b"content-length:"]
    size = int(lengths[0]) if lengths else 0
    if len(buffer) < end + 4 + size:
        return None
    body = bytes(buffer[end + 4 : end + 4 + size])
    del buffer[: end + 4 + size]
    method, path, _ = first.decode("latin-1").split(" ", 2)
    return Request(method, path, body)


MODEL_LIST = b'{"object":"list","data":[{"id":"fuzz","object":"model"},{"id":"gpt-4o","object":"model"}]}'


def whole(body: bytes, kind: str = "application/json", status: str = "200 OK") -> bytes:
    """A whole HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("latin-1") + body


_WELL = {
    path: (
        whole(encode(spoken.speech.body(HELLO))),
        whole("".join(spoken.speech.events(HELLO)).encode(), "text/event-stream"),
    )
    for path, spoken in SPOKEN.items()
}


def answer_well(request: Request) -> Sequence[Step]:
    """What a server that is well answers, in the dialect in which it is asked."""
    if request.method == "GET":
        return [whole(MODEL_LIST)]
    path = spoken_path(request.path)
    if not path:
        return [whole(b'{"error":{"message":"no such path"}}', status="404 Not Found")]
    body, stream = _WELL[path]
    return [stream if request.streams else body]
