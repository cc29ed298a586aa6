"""Messages go through one by one, in order, as fast as the caller reads and not faster; large ones too."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tests.services.gateway.gateways import MODELS, gateway, serving, stream, unary

MEBIBYTE = 1024 * 1024


async def test_messages_arrive_complete_and_in_order() -> None:
    async def count(request: bytes, context: grpc.aio.ServicerContext) -> None:
        for number in range(1000):
            await context.write(b"%s %d" % (request, number))

    async with serving(MODELS, {"ChatStream": stream(count)}) as models, gateway(models.address) as front:
        streams = [front.stream()(b"%d" % caller) for caller in range(4)]

        async def collect(call: grpc.aio.UnaryStreamCall) -> list[bytes]:
            return [message async for message in call]

        received = await asyncio.gather(*map(collect, streams))
    assert received == [[b"%d %d" % (caller, number) for number in range(1000)] for caller in range(4)]


async def test_message_does_not_wait_for_the_next() -> None:
    received = asyncio.Event()

    async def write_when_read(_: object, context: grpc.aio.ServicerContext) -> None:
        for number in range(5):
            await context.write(b"%d" % number)
            await received.wait()
            received.clear()

    handlers = {"ChatStream": stream(write_when_read)}
    async with serving(MODELS, handlers) as models, gateway(models.address) as front:
        messages = []
        async with asyncio.timeout(60):
            async for message in front.stream()(b""):
                messages.append(message)
                received.set()
    assert messages == [b"0", b"1", b"2", b"3", b"4"]


async def test_backend_is_held_back_by_a_caller_that_does_not_read() -> None:
    """What is in flight is bounded by the windows of two connections, not by what the backend can make."""
    size, total = 128 * 1024, 200
    written = 0
    progress = asyncio.Event()

    async def write_much(_: bytes, context: grpc.aio.ServicerContext) -> None:
        nonlocal written
        for _number in range(total):
            await context.write(bytes(size))
            written += 1
            progress.set()

    async def standstill() -> None:
        while True:
            progress.clear()
            try:
                await asyncio.wait_for(progress.wait(), 0.3)
            except TimeoutError:
                return

    async with serving(MODELS, {"ChatStream": stream(write_much)}) as models, gateway(models.address) as front:
        call = front.stream()(b"")
        assert len(await call.read()) == size
        await standstill()
        assert written < 20
        rest = 0
        while (message := await call.read()) is not grpc.aio.EOF:
            rest += len(message)
        assert rest == (total - 1) * size


async def test_messages_of_31_mebibytes_pass_both_ways() -> None:
    async def echo(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
        return request

    async def echo_once(request: bytes, context: grpc.aio.ServicerContext) -> None:
        await context.write(request)

    sent = bytes(range(256)) * (31 * MEBIBYTE // 256)
    handlers = {"Chat": unary(echo), "ChatStream": stream(echo_once)}
    async with serving(MODELS, handlers) as models, gateway(models.address) as front:
        assert await front.unary()(sent) == sent
        assert [message == sent async for message in front.stream()(sent)] == [True]


@pytest.mark.parametrize("name", ["Chat", "ChatStream"])
async def test_request_above_32_mebibytes_is_resource_exhausted_and_reaches_no_backend(name: str) -> None:
    reached = False

    async def note(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
        nonlocal reached
        reached = True
        return request

    handlers = {"Chat": unary(note), "ChatStream": unary(note)}
    async with serving(MODELS, handlers) as models, gateway(models.address) as front:
        call = front.stream(name)(bytes(33 * MEBIBYTE))
        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not reached
        # The connection goes on serving.
        assert await front.unary()(b"small") == b"small"


async def test_response_above_32_mebibytes_is_resource_exhausted() -> None:
    async def answer(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
        return bytes(int(request) * MEBIBYTE)

    async with serving(MODELS, {"Chat": unary(answer)}) as models, gateway(models.address) as front:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await front.unary()(b"33")
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(await front.unary()(b"1")) == MEBIBYTE
