"""Callers that do not read: their streams are ended after a while, and their responses have a share of the memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest

from proto import models_pb2, models_pb2_grpc
from services.models.main import SERVICE
from services.shared import slow_readers
from services.shared.admission import Admission
from services.shared.call import Call
from services.shared.errors import LimitExceeded
from services.shared.rpc import service_handler
from services.shared.server import Server, running
from services.shared.slow_readers import UnreadResponses
from services.shared.stream_ends import PROCESS_STREAMS
from tests.rows import for_each
from tests.services.gateway.gateways import gateway
from tests.services.model_service import LOG, chat_request
from tests.support.errors import failure_of

TOKEN = "x" * 16 * 1024
BOTH = ("directly", "through the gateway")


class Servicer:
    """Streams without end, or answers with `size` characters."""

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.written = 0
        self.closed = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return self.answer

    async def answer(self, _: object, __: Call) -> models_pb2.ChatResponse:
        return models_pb2.ChatResponse(text="x" * self.size)

    async def ChatStream(self, _: models_pb2.ChatRequest, __: Call) -> AsyncIterator[models_pb2.ChatChunk]:
        try:
            while True:
                yield models_pb2.ChatChunk(token=TOKEN)
                self.written += 1
        finally:
            self.closed.set()


@contextlib.asynccontextmanager
async def serving(servicer: Servicer, way: str) -> AsyncIterator[models_pb2_grpc.ModelServiceStub]:
    """A stub of a service, or of a gateway in front of it, whose reader has room for 64 KiB."""
    async with contextlib.AsyncExitStack() as stack:
        server = Server([service_handler(servicer, SERVICE, LOG)], [SERVICE.full_name])
        address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
        await stack.enter_async_context(running(server))
        if way == "through the gateway":
            address = (await stack.enter_async_context(gateway(address))).address
        options = [("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options))
        yield models_pb2_grpc.ModelServiceStub(channel)


async def read_to_the_end(stream: grpc.aio.UnaryStreamCall) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


@for_each("way", BOTH)
async def test_stream_that_nobody_reads_is_ended(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr("services.shared.slow_readers.STALLED_SECONDS", 0.2)
    monkeypatch.setattr("services.shared.slow_readers.CHECK_SECONDS", 0.02)
    servicer, slow = Servicer(), PROCESS_STREAMS.ended["slow_reader"]
    async with serving(servicer, way) as stub:
        stream = stub.ChatStream(chat_request(), timeout=30)
        assert (await stream.read()).token == TOKEN
        async with asyncio.timeout(10):
            await servicer.closed.wait()
        # What was on its way is still there, and then the reason.
        failure = await failure_of(read_to_the_end(stream))
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT_TOO_SLOW")
    assert servicer.written < 40
    assert PROCESS_STREAMS.ended["slow_reader"] > slow


async def test_clean_up_of_a_stream_that_is_ended_is_not_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.slow_readers.STALLED_SECONDS", 0.1)
    monkeypatch.setattr("services.shared.slow_readers.CHECK_SECONDS", 0.02)
    cleaned = asyncio.Event()

    class Slow(Servicer):
        async def ChatStream(self, _: models_pb2.ChatRequest, __: Call) -> AsyncIterator[models_pb2.ChatChunk]:
            try:
                while True:
                    yield models_pb2.ChatChunk(token=TOKEN)
            finally:
                await asyncio.sleep(0.3)
                cleaned.set()

    async with serving(Slow(), "directly") as stub:
        stream = stub.ChatStream(chat_request(), timeout=30)
        async with asyncio.timeout(10):
            await cleaned.wait()
        failure = await failure_of(read_to_the_end(stream))
    assert failure.reason == "CLIENT_TOO_SLOW"


async def test_stream_whose_end_is_not_read_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.slow_readers.STALLED_SECONDS", 0.1)
    monkeypatch.setattr("services.shared.slow_readers.CHECK_SECONDS", 0.02)
    admission, servicer = Admission(2), Servicer()
    server = Server([service_handler(servicer, SERVICE, LOG, generation=admission)], [SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    options = [("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with running(server), grpc.aio.insecure_channel(address, options) as channel:
        stub = models_pb2_grpc.ModelServiceStub(channel)
        unread = stub.ChatStream(chat_request(), timeout=30)
        async with asyncio.timeout(10):
            await servicer.closed.wait()
        refusal = await failure_of(stub.Chat(chat_request(), timeout=30))
        assert refusal.reason == "TOO_MANY_CALLS"
        unread.cancel()
        async with asyncio.timeout(10):
            while admission.running:  # noqa: ASYNC110 nothing says so
                await asyncio.sleep(0.01)
        await stub.Chat(chat_request(), timeout=30)


@for_each("way", BOTH)
async def test_stream_that_is_read_slowly_is_not_ended(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Time goes on by what is read: more messages than stand in buffers on their way, before one may be missed."""
    reads = 0
    monkeypatch.setattr("services.shared.slow_readers.monotonic", lambda: 1.0 + reads)
    servicer = Servicer()
    async with serving(servicer, way) as stub:
        stream = stub.ChatStream(chat_request(), timeout=30)
        for reads in range(150):  # noqa: B007 the clock
            assert (await stream.read()).token == TOKEN
            for writer in slow_readers._WATCH._writers:
                writer.end_if_stalled()
        assert not servicer.closed.is_set()
        stream.cancel()


@for_each("way", BOTH)
async def test_large_responses_are_sent_while_their_reader_has_a_share_left(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    size = 1024 * 1024
    held = UnreadResponses(3 * size)
    monkeypatch.setattr("services.shared.rpc.PROCESS_RESPONSES", held)
    monkeypatch.setattr("services.gateway.proxy.PROCESS_RESPONSES", held)
    async with serving(Servicer(size), way) as stub:
        for _ in range(8):
            assert len((await stub.Chat(chat_request(), timeout=30)).text) == size
    assert held._quota.free == held._quota.limit


# Of the smaller ones the reader's window has room for a few.
@for_each("size", [10_000, 100_000])
async def test_large_responses_beyond_their_share_are_refused(size: int) -> None:
    class Running:
        def add_done_callback(self, _: object) -> None:
            """The call never ends."""

    held, running_call = UnreadResponses(10 * size), Running()
    for _ in range(5):
        held.hold(b"x" * size, "one", running_call)
    with pytest.raises(LimitExceeded, match="read those first"):
        held.hold(b"x" * size, "one", running_call)
    held.hold(b"x" * size, "another", running_call)


async def test_ends_of_streams_sum_to_the_streams_that_started() -> None:
    started, ended = PROCESS_STREAMS.started, PROCESS_STREAMS.ended.copy()
    async with serving(Servicer(), "directly") as stub:
        cancelled = stub.ChatStream(chat_request(), timeout=30)
        await cancelled.read()
        cancelled.cancel()
        with pytest.raises(grpc.aio.AioRpcError):
            await read_to_the_end(stub.ChatStream(chat_request(), timeout=0.2))
    assert PROCESS_STREAMS.started == started + 2
    assert PROCESS_STREAMS.ended - ended == {"cancelled": 1, "expired": 1}
    assert PROCESS_STREAMS.running == 0
