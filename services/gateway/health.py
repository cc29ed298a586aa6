"""The gateway's health: that of its backends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import grpc

from services.gateway.routes import Backend, replicas_of
from services.shared.health import NOT_SERVING, SERVING
from services.shared.identity import PROCESS_CALLERS
from services.shared.logs import Log
from services.shared.replicas import Replicas
from services.shared.rpc import NoSuchMethod
from services.shared.server import Server

if TYPE_CHECKING:
    # Imports the storage, which a gateway without keys does not need.
    from services.access.access import Access


class GatewayServer(Server):
    """A server that reports each routed service as SERVING while at least one of its replicas is. The overall health is
    SERVING when all services are.

    A replica is NOT_SERVING as soon as its connection breaks. The Access Service, which the gateway itself has where
    callers need keys, is SERVING with or without its database: it knows the keys.
    """

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        backends: Sequence[Backend],
        log: Log,
        access: Access | None = None,
    ) -> None:
        names = [backend.service.full_name for backend in backends]
        own = [access.handler] if access else []
        own_names = [access.service_name] if access else []
        callers = access.authenticator if access else PROCESS_CALLERS
        super().__init__([*handlers, *own, NoSuchMethod([*names, *own_names], log)], [*names, *own_names], callers)
        self._own_names = own_names
        self._backends = tuple(backends)
        self._reports: list[asyncio.Task[NoReturn]] = []

    async def start(self) -> None:
        await asyncio.gather(*(replicas.start() for replicas in replicas_of(self._backends)))
        await super().start()

    async def ready(self) -> None:
        for name in self._own_names:
            await self.health.set(name, SERVING)
        self._reports = [asyncio.create_task(self._report(replicas)) for replicas in replicas_of(self._backends)]

    async def stop(self, grace_seconds: float) -> None:
        for report in self._reports:
            report.cancel()
        await super().stop(grace_seconds)

    async def _report(self, replicas: Replicas) -> NoReturn:
        while True:
            replicas.changed.clear()
            for backend in self._backends:
                if backend.replicas is replicas:
                    await self.health.set(backend.service.full_name, _status(replicas.is_healthy))
            await self.health.set("", _status(all(each.replicas.is_healthy for each in self._backends)))
            await replicas.changed.wait()


def _status(is_healthy: bool) -> int:
    status: int = SERVING if is_healthy else NOT_SERVING
    return status
