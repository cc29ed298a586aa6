"""The gateway's health: that of its backends, followed by one open watch for each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.gateway.routes import Backend
from services.shared.health import NOT_SERVING, SERVING
from services.shared.logs import Log
from services.shared.rpc import NoSuchMethod
from services.shared.server import Server

REWATCH_SECONDS = 0.1


class GatewayServer(Server):
    """A server that reports each routed service's health as its backend does. The overall health is SERVING when all
    backends are.

    A backend is NOT_SERVING as soon as its connection breaks.
    """

    def __init__(self, handlers: Sequence[grpc.GenericRpcHandler], backends: Sequence[Backend], log: Log) -> None:
        names = [backend.service.full_name for backend in backends]
        super().__init__([*handlers, NoSuchMethod(names, log)], names)
        self._backends = tuple(backends)
        self._serving = dict.fromkeys((backend.name for backend in backends), False)
        self._watches: list[asyncio.Task[NoReturn]] = []
        self._log = log

    async def ready(self) -> None:
        self._watches = [asyncio.create_task(self._follow(backend)) for backend in self._backends]

    async def stop(self, grace_seconds: float) -> None:
        for watch in self._watches:
            watch.cancel()
        await super().stop(grace_seconds)

    async def _follow(self, backend: Backend) -> NoReturn:
        stub = health_pb2_grpc.HealthStub(backend.channel)
        request = health_pb2.HealthCheckRequest(service=backend.service.full_name)
        while True:
            answers = stub.Watch(request, wait_for_ready=True)
            try:
                async for answer in answers:
                    await self._set(backend, answer.status == SERVING)
            except grpc.aio.AioRpcError as error:
                self._log.debug("health watch ended", backend=backend.name, code=error.code().name)
                await self._set(backend, False)
            finally:
                answers.cancel()
            await asyncio.sleep(REWATCH_SECONDS)

    async def _set(self, backend: Backend, serving: bool) -> None:
        if serving == self._serving[backend.name]:
            return
        self._serving[backend.name] = serving
        self._log.info("backend health", backend=backend.name, address=backend.address, serving=serving)
        await self.health.set(backend.service.full_name, SERVING if serving else NOT_SERVING)
        await self.health.set("", SERVING if all(self._serving.values()) else NOT_SERVING)
