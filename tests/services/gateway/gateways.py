"""A gateway and the backends behind it, for a test: real servers on free ports of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from services.gateway.health import GatewayServer
from services.gateway.proxy import Proxy
from services.gateway.routes import MODEL_SERVICE, SESSION_SERVICE, USAGE_SERVICE, open_backends
from services.shared.logs import Log
from services.shared.server import Server, running
from services.shared.tls import ServerTls, TlsFiles

MODELS = MODEL_SERVICE.full_name
SESSIONS = SESSION_SERVICE.full_name

Handlers = Mapping[str, grpc.RpcMethodHandler]

unary = grpc.unary_unary_rpc_method_handler
stream = grpc.unary_stream_rpc_method_handler


@contextlib.contextmanager
def refusing_address() -> Iterator[str]:
    """An address where connections are refused: the port is taken, and nobody listens.

    No server of another test will ever have it: grpc remembers for a while that it was refused there, for all channels.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", 0))
        yield f"127.0.0.2:{taken.getsockname()[1]}"


@contextlib.asynccontextmanager
async def serving(
    service: str,
    handlers: Handlers,
    port: int = 0,
    host: str = "127.0.0.1",
    tls: ServerTls | None = None,
    usage: Handlers | None = None,
) -> AsyncIterator[Backend]:
    """A backend that serves methods of one service as bytes, and of UsageService, with health like every process
    has."""
    served = {service: handlers, USAGE_SERVICE.full_name: usage or {}}
    handling = [grpc.method_handlers_generic_handler(name, dict(each)) for name, each in served.items()]
    server = Server(handling, [service])
    address = f"{host}:{server.bind(host, port, tls=tls)}"
    async with running(server):
        yield Backend(address, server)


@dataclass
class Backend:
    address: str
    server: Server


@dataclass
class Gateway:
    """A running gateway: `channel` leads to it, `log` has the entries that it has written."""

    address: str
    server: GatewayServer
    channel: grpc.aio.Channel
    log: list[dict[str, Any]] = field(default_factory=list)
    logged: asyncio.Event = field(default_factory=asyncio.Event)

    def unary(self, method: str = "Chat", service: str = MODELS) -> Any:
        return self.channel.unary_unary(f"/{service}/{method}")

    def stream(self, method: str = "ChatStream", service: str = MODELS) -> Any:
        return self.channel.unary_stream(f"/{service}/{method}")

    def calls(self) -> list[dict[str, Any]]:
        """The lines of the calls that have ended."""
        return [entry for entry in self.log if entry["event"] == "rpc"]

    async def first_call(self) -> dict[str, Any]:
        """The line of the first call, as soon as it is written."""
        while not self.calls():
            self.logged.clear()
            await self.logged.wait()
        return self.calls()[0]


@contextlib.asynccontextmanager
async def gateway(
    models: str = "", sessions: str = "", *, exposed: bool = False, tls: TlsFiles | None = None
) -> AsyncIterator[Gateway]:
    """A gateway in front of these addresses; where none is given, connections are refused."""
    entries: list[dict[str, Any]] = []
    logged = asyncio.Event()

    class Capture:
        def write(self, line: bytes) -> None:
            entries.append(json.loads(line))
            logged.set()

    log = Log(Capture(), "gateway", "info")
    with refusing_address() as nowhere:
        backends = open_backends(models or nowhere, sessions or nowhere, log, tls)
        server = GatewayServer([Proxy(backends, log, exposed=exposed)], backends, log)
        address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
        async with running(server), open_channel(address) as channel:
            yield Gateway(address, server, channel, entries, logged)
        await asyncio.gather(*(backend.replicas.close() for backend in backends))


def open_channel(address: str) -> grpc.aio.Channel:
    """A caller's channel without limits of its own, and with fixed windows."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    return grpc.aio.insecure_channel(address, options=[*unlimited, ("grpc.http2.bdp_probe", 0)])


async def error_of(call: grpc.aio.Call) -> grpc.aio.AioRpcError:
    """The error that a call ends with, after its messages."""
    try:
        if isinstance(call, grpc.aio.UnaryUnaryCall):
            await call
        else:
            while await call.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call succeeded")
