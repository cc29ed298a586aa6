"""A real HTTP proxy that knows a few names, records what it is asked for, and refuses when it is told to.

    async with ScriptedProxy({"models.example": upstream.port}) as proxy:
        ...                                           # have the client go through proxy.url
        assert proxy.asked == [("CONNECT", "models.example:443")]

Whatever a name is asked for at leads to the port on this machine that stands for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from urllib.parse import urlsplit

DEFAULT_TIMEOUT = 5.0
END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class ScriptedProxy:
    """The proxy. `answers` are what it writes instead of OK to the next questions for a tunnel, in pieces: without any
    it closes the connection, and None stands for silence until the client leaves. `authorization` is what it wants to
    be told, if anything."""

    def __init__(
        self,
        servers: Mapping[str, int] | None = None,
        *,
        answers: Sequence[Sequence[bytes | None]] = (),
        authorization: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.servers = dict(servers or {})
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []
        """The methods and targets of all requests."""
        self.headers: list[dict[str, str]] = []
        """The fields of each, by names in lower case."""
        self.open = 0
        """How many connections there are."""
        self._authorization = authorization
        self._tls = tls
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.address}"

    async def was_asked(self, count: int) -> None:
        """Waits until so many requests have come. Raises TimeoutError."""
        await self._until(lambda: len(self.asked) >= count)

    async def is_left(self) -> None:
        """Waits until all connections have been closed. Raises TimeoutError."""
        await self._until(lambda: not self.open)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEFAULT_TIMEOUT), self._changed:
            await self._changed.wait_for(condition)

    async def __aenter__(self) -> ScriptedProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._count(1)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._answer(reader, writer)
        finally:
            writer.transport.abort()
            await self._count(-1)

    async def _count(self, change: int) -> None:
        async with self._changed:
            self.open += change
            self._changed.notify_all()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(END)
        method, target, fields = await self._note(head)
        if self._authorization and fields.get("proxy-authorization") != self._authorization:
            writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\nProxy-Authenticate: Basic\r\n\r\n")
            await reader.read()
        elif method == "CONNECT":
            await self._connect(target, reader, writer)
        else:
            await self._forward(head, reader, writer)

    async def _note(self, head: bytes) -> tuple[str, str, dict[str, str]]:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        async with self._changed:
            self.asked.append((method, target))
            self.headers.append(fields)
            self._changed.notify_all()
        return method, target, fields

    async def _connect(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = self.answers.pop(0) if self.answers else [OK]
        for piece in answer:
            if piece is None:
                await reader.read()
                return
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if b" 200 " in b"".join(filter(None, answer)):
            async with self._reached(target, writer) as upstream:
                await _copy(reader, upstream)

    async def _forward(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Sends on all requests of a connection, each with the path that its target ends with."""
        _, target, _ = head.split(b" ", 2)
        async with self._reached(urlsplit(target.decode()).netloc, writer) as upstream:
            while True:
                first, *lines = head.split(b"\r\n")
                method, target, version = first.split(b" ")
                path = target.removeprefix(b"http://").partition(b"/")[2]
                kept = [line for line in lines if not line.lower().startswith(b"proxy-")]
                upstream.write(b"\r\n".join([b"%b /%b %b" % (method, path, version), *kept]))
                upstream.write(await reader.readexactly(int(self.headers[-1].get("content-length", 0))))
                head = await reader.readuntil(END)
                await self._note(head)

    @contextlib.asynccontextmanager
    async def _reached(self, target: str, writer: asyncio.StreamWriter) -> AsyncIterator[asyncio.StreamWriter]:
        """What goes to a server; what it says goes to `writer`, which ends when the server does."""
        host, _, port = target.rpartition(":")
        port = self.servers.get(host.strip("[]") if host else target, port)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        answering = asyncio.create_task(_copy(from_server, writer, closes=True))
        try:
            yield to_server
        finally:
            to_server.transport.abort()
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, closes: bool = False) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    if closes:
        writer.close()
