"""A mock provider, cheap enough to vanish beside what is measured: `python -m benchmarks.upstream`.

It answers POST requests on any path, without looking further than it must: on Anthropic's wire where that begins with
`/v1/messages`, else on OpenAI's. Bytes built beforehand, one write for each token, no HTTP library.
"""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.wires import ANTHROPIC, OPENAI, Wire
from benchmarks.work import Work, read_work
from services.shared.event_loop import run_on_loop

BACKLOG = 4096
"""Connections that may wait; by default a crowd's would be lost, and made again after a second."""


class Connection(asyncio.Protocol):
    """One client's connection, one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._stream: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are none by inheritance.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._stream:
            self._stream.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or not _is_whole(head, body):
            return
        self._received = b""
        wire = ANTHROPIC if head.startswith(b"POST /v1/messages") else OPENAI
        if head.startswith(b"GET "):
            self._transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"object":"list","data":[]}')
        elif b'"stream":true' in body.replace(b" ", b""):
            self._answer_stream(wire, read_work(body))
        else:
            self._transport.write(wire.whole_answer(read_work(body)))

    def _answer_stream(self, wire: Wire, work: Work) -> None:
        self._transport.write(wire.stream_start)
        if work.pace_ms:
            self._stream = asyncio.create_task(self._pace(wire, work))
            return
        for _ in range(work.tokens):
            self._transport.write(wire.stream_token)
        self._transport.write(wire.stream_end(work.tokens))

    async def _pace(self, wire: Wire, work: Work) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for index in range(work.tokens):
            await asyncio.sleep(start + (index + 1) * work.pace_ms / 1000 - loop.time())
            self._transport.write(wire.stream_token)
        self._transport.write(wire.stream_end(work.tokens))


def _is_whole(head: bytes, body: bytes) -> bool:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        match name.lower():
            case b"content-length":
                return len(body) >= int(value)
            case b"transfer-encoding":
                return body.endswith(b"0\r\n\r\n")
    return True


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=BACKLOG)
    host, port = server.sockets[0].getsockname()
    print(f"upstream: listening on {host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run_on_loop(main)
