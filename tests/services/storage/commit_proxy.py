"""A way to PostgreSQL that breaks at the worst moment: when a COMMIT is under way."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, quote, urlsplit

COMMIT = b"COMMIT\0"
SOCKET = ".s.PGSQL.5432"


class CommitProxy:
    """Forwards what is said between clients at `url` and the server, until it is told to break a commit."""

    def __init__(self, server_url: str) -> None:
        (host,) = parse_qs(urlsplit(server_url).query)["host"]
        self._server = Path(host) / SOCKET
        self._directory = tempfile.TemporaryDirectory(prefix="proxy-")
        self.url = server_url.replace(quote(host), quote(self._directory.name))
        self._arrives: bool | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> CommitProxy:
        self._listener = await asyncio.start_unix_server(self._accept, Path(self._directory.name) / SOCKET)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._directory.cleanup()

    def break_next_commit(self, *, arrives: bool) -> None:
        """The connection of the next COMMIT breaks: after the server has obeyed it, or before it was told."""
        self._arrives = arrives

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        server_reader, server_writer = await asyncio.open_unix_connection(self._server)
        answers = asyncio.create_task(_copy(server_reader, writer))
        with contextlib.suppress(ConnectionError):
            await self._forward(reader, server_reader, server_writer, answers)
        answers.cancel()
        for end in (server_writer, writer):
            end.close()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        while data := await reader.read(65536):
            if COMMIT in data and self._arrives is not None:
                arrives, self._arrives = self._arrives, None
                if arrives:
                    answers.cancel()
                    await asyncio.gather(answers, return_exceptions=True)
                    server_writer.write(data)
                    assert await server_reader.read(65536), "the server must answer COMMIT"
                return
            server_writer.write(data)
            await server_writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
