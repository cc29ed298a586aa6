"""The end of the caller's interest ends the backend's work at once, whatever the stage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.services.gateway.gateways import MODELS, Gateway, gateway, open_channel, serving, stream, unary
from tests.support.http2 import call_with, send

# A second is what the platform promises; on an idle machine it is milliseconds.
AT_ONCE = 10.0
"""Of a busy machine; what would not come by itself never comes."""

Method = Callable[..., Any]


class Work:
    """Handlers that never end by themselves, and say when they begin and why they end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.remaining: float | None = None

    async def unary(self, _: object, context: grpc.aio.ServicerContext) -> bytes:
        self.remaining = context.time_remaining()
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.set()
            raise
        return b""

    async def streaming(self, request: object, context: grpc.aio.ServicerContext) -> None:
        await context.write(b"first")
        await self.unary(request, context)

    async def silent(self, request: object, context: grpc.aio.ServicerContext) -> None:
        await self.unary(request, context)

    async def flooding(self, _: bytes, context: grpc.aio.ServicerContext) -> None:
        try:
            while True:
                await context.write(bytes(64 * 1024))
                self.begun.set()
        finally:
            # A blocked write fails by itself when the call ends.
            self.ended.set()


STAGES: dict[str, tuple[str, Callable[[Work], grpc.RpcMethodHandler]]] = {
    "unary": ("Chat", lambda work: unary(work.unary)),
    "stream before its first message": ("ChatStream", lambda work: stream(work.silent)),
    "stream after its first message": ("ChatStream", lambda work: stream(work.streaming)),
    "stream that its caller does not read": ("ChatStream", lambda work: stream(work.flooding)),
}


def method(channel: grpc.aio.Channel, name: str) -> Method:
    path = f"/{MODELS}/{name}"
    started: Method = channel.unary_unary(path) if name == "Chat" else channel.unary_stream(path)
    return started


async def logged_code(front: Gateway) -> str:
    """The code of the only call's log line, which is written when the gateway's handler ends."""
    return str((await asyncio.wait_for(front.first_call(), AT_ONCE))["code"])


@pytest.mark.parametrize("stage", STAGES)
async def test_cancellation_reaches_the_backend(stage: str) -> None:
    name, behaviour = STAGES[stage]
    work = Work()
    async with serving(MODELS, {name: behaviour(work)}) as models, gateway(models.address) as front:
        call = method(front.channel, name)(b"")
        await asyncio.wait_for(work.begun.wait(), 5)
        if "after" in stage:
            assert await call.read() == b"first"
        call.cancel()
        await asyncio.wait_for(work.ended.wait(), AT_ONCE)
        assert await logged_code(front) == "CANCELLED"


@pytest.mark.parametrize("stage", STAGES)
async def test_caller_whose_connection_is_gone_stops_the_backend(stage: str) -> None:
    name, behaviour = STAGES[stage]
    work = Work()
    async with serving(MODELS, {name: behaviour(work)}) as models, gateway(models.address) as front:
        channel = open_channel(front.address)
        call = method(channel, name)(b"")
        await asyncio.wait_for(work.begun.wait(), 5)
        await channel.close()
        await asyncio.wait_for(work.ended.wait(), AT_ONCE)
        assert call.done()


@pytest.mark.parametrize("stage", STAGES)
async def test_deadline_reaches_the_backend(stage: str) -> None:
    name, behaviour = STAGES[stage]
    work = Work()
    async with serving(MODELS, {name: behaviour(work)}) as models, gateway(models.address) as front:
        call = method(front.channel, name)(b"", timeout=0.5)
        if "after" in stage:
            assert await call.read() == b"first"
        await asyncio.wait_for(work.ended.wait(), 0.5 + AT_ONCE)
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("stage", STAGES)
async def test_deadline_that_passes_is_logged_as_one(stage: str) -> None:
    """Its caller does not end the call by a clock of its own, which would be somewhat early."""
    name, behaviour = STAGES[stage]
    work = Work()
    async with serving(MODELS, {name: behaviour(work)}) as models, gateway(models.address) as front:
        request = call_with(f"/{MODELS}/{name}".encode(), b"", (b"grpc-timeout", b"300m"))
        with contextlib.closing(send(front.address, request)):
            assert await logged_code(front) == "DEADLINE_EXCEEDED"
        await asyncio.wait_for(work.ended.wait(), AT_ONCE)


async def test_backend_is_told_the_time_that_the_caller_has_left() -> None:
    work = Work()
    async with serving(MODELS, {"Chat": unary(work.unary)}) as models, gateway(models.address) as front:
        call = front.unary()(b"", timeout=20)
        await asyncio.wait_for(work.begun.wait(), 5)
        call.cancel()
    assert work.remaining is not None
    assert 10 < work.remaining <= 20.1


async def test_call_without_a_deadline_reaches_the_backend_without_one() -> None:
    remaining: list[float | None] = []

    async def note(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        remaining.append(context.time_remaining())
        return request

    async with serving(MODELS, {"Chat": unary(note)}) as models, gateway(models.address) as front:
        await front.unary()(b"")
        await front.unary()(b"", timeout=300)
    assert remaining[0] is None
    assert remaining[1] is not None
    # grpc sends long timeouts in whole seconds, rounded up on each hop.
    assert 290 < remaining[1] <= 302


async def test_many_cancelled_calls_leave_the_gateway_serving() -> None:
    async def slowly(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
        if request == b"hang":
            await asyncio.Event().wait()
        return request

    async with serving(MODELS, {"Chat": unary(slowly)}) as models, gateway(models.address) as front:
        calls = [front.unary()(b"hang") for _ in range(200)]
        assert await front.unary()(b"answer") == b"answer"
        for call in calls:
            call.cancel()
        await asyncio.gather(*(call.code() for call in calls))
        assert await front.unary()(b"answer") == b"answer"
        assert not [entry for entry in front.log if entry["event"] == "unexpected error"]
