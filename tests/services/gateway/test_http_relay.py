"""The gateway's relay of HTTP: bytes for bytes in both directions, with who has connected before them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.gateway.http_relay import WAITING_BYTES, HttpRelay
from services.shared.logs import open_log
from services.shared.proxy_protocol import Relayed, read_header
from tests.services.log_file import LogFile

LOG = open_log("gateway", file=LogFile())


class Replica:
    """A server that records the connections to it, and echoes what it is sent."""

    def __init__(self) -> None:
        self.headers: list[Relayed] = []
        self.ended = asyncio.Event()
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        header = await reader.readexactly(28)
        read = read_header(header)
        assert read
        self.headers.append(read)
        async with closing(writer):
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
        self.ended.set()


@contextlib.asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with closing(writer):
        yield reader, writer


@contextlib.asynccontextmanager
async def replica() -> AsyncIterator[Replica]:
    replica = Replica()
    server = await asyncio.start_server(replica.serve, "127.0.0.1", 0)
    replica.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield replica
    finally:
        server.close()


@contextlib.asynccontextmanager
async def relay(*addresses: str, max_connections: int = 100) -> AsyncIterator[tuple[HttpRelay, int]]:
    relay = HttpRelay(addresses, LOG, max_connections, exposed=False)
    port = await relay.bind("127.0.0.1", 0)
    await relay.start()
    try:
        yield relay, port
    finally:
        await relay.stop(0)


async def test_bytes_go_both_ways_and_the_replica_knows_the_client() -> None:
    sent = bytes(range(256)) * (4 * WAITING_BYTES // 256)
    async with replica() as behind, relay(behind.address) as (_, port):
        async with client(port) as (reader, writer):
            writer.write(sent)
            assert await reader.readexactly(len(sent)) == sent
            address = writer.get_extra_info("sockname")
            assert [(header.host, header.port, header.exposed) for header in behind.headers] == [(*address, False)]
        await behind.ended.wait()


async def test_replica_that_does_not_accept_is_passed_over() -> None:
    async with replica() as gone:
        dead = gone.address
    async with replica() as behind, relay(dead, behind.address) as (_, port):
        for _ in range(3):
            async with client(port) as (reader, writer):
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"


async def test_client_is_told_when_no_replica_accepts() -> None:
    async with replica() as gone:
        dead = gone.address
    async with relay(dead) as (_, port), client(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"cannot be reached" in answer


async def test_connections_go_to_the_replica_with_the_fewest() -> None:
    async with contextlib.AsyncExitStack() as stack:
        one, other = await stack.enter_async_context(replica()), await stack.enter_async_context(replica())
        _, port = await stack.enter_async_context(relay(one.address, other.address))
        for _ in range(6):
            reader, writer = await stack.enter_async_context(client(port))
            writer.write(b"x")
            await reader.readexactly(1)
        assert len(one.headers) == len(other.headers) == 3


async def test_one_host_gets_no_more_connections_than_are_left_for_others() -> None:
    async with contextlib.AsyncExitStack() as stack:
        behind = await stack.enter_async_context(replica())
        _, port = await stack.enter_async_context(relay(behind.address, max_connections=4))
        for _ in range(2):
            reader, writer = await stack.enter_async_context(client(port))
            writer.write(b"x")
            await reader.readexactly(1)
        reader, _ = await stack.enter_async_context(client(port))
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")


async def test_stop_waits_for_open_connections() -> None:
    async with replica() as behind, relay(behind.address) as (relaying, port):
        async with client(port) as (reader, writer):
            writer.write(b"a")
            await reader.readexactly(1)
            stopping = asyncio.create_task(relaying.stop(20))
            writer.write(b"b")
            assert await reader.readexactly(1) == b"b"
            assert not stopping.done()
        await stopping
