"""The services here are as healthy as the database that they stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn

from services.shared.database import Database
from services.shared.server import NOT_SERVING, SERVING, Server

CHECK_SECONDS = 1.0


class SessionServer(Server):
    """A server that says SERVING of its services only while `database` can be read. It must be set before `ready`.

    Of the whole it says SERVING in any case: the process answers, and a restart would not bring the database back.
    """

    database: Database

    def __init__(self, service_names: Sequence[str]) -> None:
        super().__init__([], service_names)
        self._names = tuple(service_names)
        self._following: asyncio.Task[NoReturn] | None = None

    async def ready(self) -> None:
        await self._tell()
        await self.health.set("", SERVING)
        self._following = asyncio.create_task(self._follow())

    async def stop(self, grace_seconds: float) -> None:
        if self._following:
            self._following.cancel()
        await super().stop(grace_seconds)

    async def _follow(self) -> NoReturn:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self._tell()

    async def _tell(self) -> None:
        status = SERVING if await self.database.check() else NOT_SERVING
        for name in self._names:
            await self.health.set(name, status)
