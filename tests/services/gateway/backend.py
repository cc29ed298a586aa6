"""A Model Service in a process of its own, for tests of crashes.

    with running_backend(tmp_path) as backend:
        backend.kill()

Chat returns its request; a request of `hang` is answered never. ChatStream writes its request and then hangs; a
request of `hang` hangs at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc

from tests.services.gateway.gateways import MODELS, serving, stream, unary
from tests.support.processes import Service, environment


@contextlib.contextmanager
def running_backend(directory: Path, port: str = "0") -> Iterator[Service]:
    backend = Service.fork(__name__, [port], environment(), directory / "backend.log")
    try:
        yield backend
    finally:
        backend.close()


async def chat(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
    if request == b"hang":
        await asyncio.Event().wait()
    return request


async def chat_stream(request: bytes, context: grpc.aio.ServicerContext) -> None:
    if request != b"hang":
        await context.write(request)
    await asyncio.Event().wait()


async def serve(port: int) -> None:
    handlers = {"Chat": unary(chat), "ChatStream": stream(chat_stream)}
    async with serving(MODELS, handlers, port) as backend:
        print(f"listening on {backend.address}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    asyncio.run(serve(int(sys.argv[1])))
