"""Calls that wait in the gateway because the service behind it has a backlog, on the wire."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proto import models_pb2
from services.models.main import SERVICE
from services.shared.backlog import ROOM, tell_backlog
from services.shared.call import Call
from services.shared.health import NOT_SERVING, SERVING
from services.shared.intake import BACKLOG, PROCESS_INTAKE, RESUMED, Intake
from services.shared.rpc import service_handler
from services.shared.server import Server, running
from tests.services.gateway.gateways import MODELS, Backend, gateway, serving, stream, unary
from tests.services.model_service import LOG

CHAT = f"/{MODELS}/Chat"


class Served:
    """The calls that have come to a backend, by their methods, in their order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Backend]:
        def answering(method: str) -> grpc.RpcMethodHandler:
            async def answer(*_: object) -> bytes:
                self.calls.append(method)
                return b"answer"

            return unary(answer)

        async def chunks(_: bytes, context: grpc.aio.ServicerContext) -> None:
            self.calls.append("ChatStream")
            await context.write(b"answer")

        handlers = {method: answering(method) for method in ("Chat", "ListModels")} | {"ChatStream": stream(chunks)}
        async with serving(MODELS, handlers) as backend:
            backend.server.health.set_now(MODELS + ROOM, SERVING)
            yield backend


class Lists:
    """A servicer whose lists are empty, and which is never asked for anything else."""

    async def _list(self, _: object, __: Call) -> models_pb2.ListModelsResponse:
        return models_pb2.ListModelsResponse()

    def __getattr__(self, name: str) -> Any:
        async def chunks(_: object, __: Call) -> AsyncIterator[models_pb2.ChatChunk]:
            yield models_pb2.ChatChunk()

        return chunks if name == "ChatStream" else self._list


async def until_held(is_held: bool) -> None:
    """Waits until the gateway of this process holds calls, or does so no longer."""
    async with asyncio.timeout(10):
        while PROCESS_INTAKE.is_held is not is_held:  # noqa: ASYNC110 nothing says so
            await asyncio.sleep(0.001)


async def test_calls_wait_in_the_gateway_while_the_service_has_a_backlog() -> None:
    served = Served()
    async with served.serving() as models, gateway(models.address) as front:
        models.server.health.set_now(MODELS + ROOM, NOT_SERVING)
        await until_held(True)
        chat, chunks = front.unary()(b"", timeout=30), front.stream()(b"", timeout=30)
        for _ in range(20):
            assert await front.unary("ListModels")(b"", timeout=30) == b"answer"
        models.server.health.set_now(MODELS + ROOM, SERVING)
        assert await chat == b"answer"
        assert [chunk async for chunk in chunks] == [b"answer"]
    assert served.calls[:20] == ["ListModels"] * 20
    assert sorted(served.calls[20:]) == ["Chat", "ChatStream"]


async def test_call_that_is_held_ends_with_its_deadline_and_is_not_sent() -> None:
    served = Served()
    async with served.serving() as models, gateway(models.address) as front:
        models.server.health.set_now(MODELS + ROOM, NOT_SERVING)
        await until_held(True)
        assert await front.unary()(b"", timeout=0.1).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        models.server.health.set_now(MODELS + ROOM, SERVING)
        assert await front.unary()(b"", timeout=30) == b"answer"
    assert served.calls == ["Chat"]


async def test_calls_go_to_the_replica_without_a_backlog() -> None:
    busy, free = Served(), Served()
    async with busy.serving() as one, free.serving() as two:
        one.server.health.set_now(MODELS + ROOM, NOT_SERVING)
        two.server.health.set_now(MODELS + ROOM, NOT_SERVING)
        async with gateway(f"{one.address},{two.address}") as front:
            await until_held(True)
            two.server.health.set_now(MODELS + ROOM, SERVING)
            for _ in range(10):
                assert await front.unary()(b"", timeout=30) == b"answer"
    assert (len(busy.calls), len(free.calls)) == (0, 10)


async def test_service_that_goes_away_with_its_backlog_holds_no_call() -> None:
    async with Served().serving() as models, gateway(models.address) as front:
        models.server.health.set_now(MODELS + ROOM, NOT_SERVING)
        await until_held(True)
        held = front.unary()(b"", timeout=30)
        await front.unary("ListModels")(b"", timeout=30)
        await models.server.stop(0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await held
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_service_without_room_in_its_health_gets_calls() -> None:
    async def answer(*_: object) -> bytes:
        return b"answer"

    async with serving(MODELS, {"Chat": unary(answer)}) as models, gateway(models.address) as front:
        assert await front.unary()(b"", timeout=30) == b"answer"


async def test_service_tells_of_a_backlog_until_few_calls_wait() -> None:
    """The first call has the only slot, and its request never comes."""
    intake = Intake(slots=1, receive_seconds=60)
    server = Server([service_handler(Lists(), SERVICE, LOG, intake=intake)], [MODELS])
    tell_backlog(server.health, MODELS, intake)
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server), grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=MODELS + ROOM)
        room = health_pb2_grpc.HealthStub(channel).Watch(request)
        assert (await room.read()).status == SERVING
        stalled = [channel.stream_unary(CHAT)() for _ in range(1 + BACKLOG)]
        assert (await asyncio.wait_for(room.read(), 10)).status == NOT_SERVING
        for call in stalled[1 + RESUMED :]:
            call.cancel()
        assert (await asyncio.wait_for(room.read(), 10)).status == SERVING
        for call in stalled:
            call.cancel()


async def test_calls_that_ask_no_provider_wait_for_none_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.intake.MAX_WAITING", 10)
    monkeypatch.setattr("services.shared.intake.OVERLOADED_WAITING", 10)
    intake = Intake(slots=1, receive_seconds=60)
    server = Server([service_handler(Lists(), SERVICE, LOG, intake=intake)], [MODELS])
    address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
    async with running(server), grpc.aio.insecure_channel(address) as channel:
        stalled = [channel.stream_unary(CHAT)() for _ in range(100)]
        async with asyncio.timeout(10):
            while not intake.is_full:  # noqa: ASYNC110 nothing says so
                await asyncio.sleep(0.001)
        for _ in range(10):
            assert await channel.unary_unary(f"/{MODELS}/ListModels")(b"", timeout=30) == b""
        for call in stalled:
            call.cancel()
