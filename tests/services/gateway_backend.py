"""A Model Service for tests of crashes: `python -m tests.services.gateway_backend PORT`.

Chat returns its request; a request of `hang` is answered never. ChatStream writes its request and then hangs; a
request of `hang` hangs at once.
"""

from __future__ import annotations

import asyncio
import sys

import grpc

from tests.services.gateway_fixtures import MODELS, serving, stream, unary


async def chat(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
    if request == b"hang":
        await asyncio.Event().wait()
    return request


async def chat_stream(request: bytes, context: grpc.aio.ServicerContext) -> None:
    if request != b"hang":
        await context.write(request)
    await asyncio.Event().wait()


async def main() -> None:
    handlers = {"Chat": unary(chat), "ChatStream": stream(chat_stream)}
    async with serving(MODELS, handlers, int(sys.argv[1])) as backend:
        print(f"listening on {backend.address}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
