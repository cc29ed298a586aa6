"""The gateway's health is that of its backends, through the one port; so are the descriptions of their services."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.shared.health import NOT_SERVING, SERVING
from tests.services.gateway.backend import running_backend
from tests.services.gateway.gateways import MODELS, SESSIONS, Backend, Gateway, gateway, serving

AT_ONCE = 10.0
"""Of a busy machine."""


@contextlib.asynccontextmanager
async def both() -> AsyncIterator[tuple[Backend, Backend, Gateway]]:
    """Both backends and a gateway that has found them."""
    async with (
        serving(MODELS, {}) as models,
        serving(SESSIONS, {}) as sessions,
        gateway(models.address, sessions.address) as front,
    ):
        await wait_until(front, "", SERVING)
        yield models, sessions, front


async def check(front: Gateway, service: str) -> int:
    answer = await health_pb2_grpc.HealthStub(front.channel).Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def whole(front: Gateway) -> dict[str, int]:
    return {service: await check(front, service) for service in ("", MODELS, SESSIONS)}


async def wait_until(front: Gateway, service: str, status: int) -> None:
    """Follows the gateway's own health watch until it says `status`."""
    watch = health_pb2_grpc.HealthStub(front.channel).Watch(health_pb2.HealthCheckRequest(service=service))
    try:
        async with asyncio.timeout(AT_ONCE):
            async for answer in watch:
                if answer.status == status:
                    return
    finally:
        watch.cancel()
    raise AssertionError("the watch ended")


async def test_everything_serves_when_both_backends_do() -> None:
    async with both() as (_, __, front):
        assert await whole(front) == {"": SERVING, MODELS: SERVING, SESSIONS: SERVING}


async def test_nothing_serves_without_backends_though_the_gateway_answers() -> None:
    async with gateway() as front:
        assert await whole(front) == {"": NOT_SERVING, MODELS: NOT_SERVING, SESSIONS: NOT_SERVING}


async def test_service_that_is_not_routed_has_no_health() -> None:
    async with gateway() as front:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(front, "other.v1.Service")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_one_backend_away_leaves_the_other_serving_but_not_the_whole() -> None:
    async with serving(SESSIONS, {}) as sessions, gateway(sessions=sessions.address) as front:
        await wait_until(front, SESSIONS, SERVING)
        assert await whole(front) == {"": NOT_SERVING, MODELS: NOT_SERVING, SESSIONS: SERVING}


async def test_what_a_backend_says_of_itself_is_passed_on() -> None:
    async with both() as (models, _, front):
        await models.server.health.set(MODELS, NOT_SERVING)
        await wait_until(front, MODELS, NOT_SERVING)
        assert await whole(front) == {"": NOT_SERVING, MODELS: NOT_SERVING, SESSIONS: SERVING}
        await models.server.health.set(MODELS, SERVING)
        await wait_until(front, "", SERVING)


async def test_backend_that_does_not_know_the_service_is_not_serving_it() -> None:
    """An address that leads to the wrong process must not look healthy."""
    async with serving(MODELS, {}) as models, gateway(models.address, models.address) as front:
        await wait_until(front, MODELS, SERVING)
        assert await whole(front) == {"": NOT_SERVING, MODELS: SERVING, SESSIONS: NOT_SERVING}


async def test_crash_and_return_of_a_backend_show_within_a_second(tmp_path: Path) -> None:
    with running_backend(tmp_path) as models:
        async with serving(SESSIONS, {}) as sessions, gateway(models.address, sessions.address) as front:
            await wait_until(front, "", SERVING)
            models.kill()
            await wait_until(front, MODELS, NOT_SERVING)
            assert await whole(front) == {"": NOT_SERVING, MODELS: NOT_SERVING, SESSIONS: SERVING}

            with running_backend(tmp_path, models.port):
                returned = time.perf_counter()
                await wait_until(front, "", SERVING)
                assert time.perf_counter() - returned < AT_ONCE
                changes = [entry for entry in front.log if entry["event"] == "backend health"]
                of_models = [entry["serving"] for entry in changes if entry["backend"] == "models"]
                assert of_models == [True, False, True]


async def test_stop_says_not_serving_to_those_who_watch() -> None:
    async with both() as (_, __, front):
        watch = health_pb2_grpc.HealthStub(front.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        stopping = asyncio.create_task(front.server.stop(60))
        assert (await asyncio.wait_for(watch.read(), AT_ONCE)).status == NOT_SERVING
        await asyncio.wait_for(stopping, AT_ONCE)


async def test_backend_that_a_gateway_watches_stops_without_waiting_for_it() -> None:
    async with both() as (models, _, front):
        await asyncio.wait_for(models.server.stop(60), AT_ONCE)
        await wait_until(front, MODELS, NOT_SERVING)


async def ask(front: Gateway, **question: str) -> reflection_pb2.ServerReflectionResponse:
    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(**question)

    stub = reflection_pb2_grpc.ServerReflectionStub(front.channel)
    (answer,) = [answer async for answer in stub.ServerReflectionInfo(requests())]
    return answer


async def test_reflection_lists_and_describes_both_services_without_a_backend() -> None:
    async with gateway() as front:
        listed = await ask(front, list_services="*")
        assert {MODELS, SESSIONS} <= {service.name for service in listed.list_services_response.service}
        for service, method in ((MODELS, "ChatStream"), (SESSIONS, "GetContext")):
            described = await ask(front, file_containing_symbol=service)
            files = [
                descriptor_pb2.FileDescriptorProto.FromString(data)
                for data in described.file_descriptor_response.file_descriptor_proto
            ]
            methods = {method.name for file in files for served in file.service for method in served.method}
            assert method in methods
