"""Health of a service with a database, under two names.

`SERVICE`          SERVING while its calls can be answered; always, for a service that answers from memory
`SERVICE/writes`   SERVING while writes can be stored; not while the database is away, full or read-only
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn

from services.shared.database import Database
from services.shared.health import NOT_SERVING, SERVING
from services.shared.server import Server

CHECK_SECONDS = 1.0
WRITES = "/writes"


class StorageServer(Server):
    """A server whose health follows its database.

    The overall status ("") is always SERVING: the process answers, and a restart would not bring the database back.
    With `needs_storage`, its services are SERVING only while the database can be read.
    """

    def __init__(self, database: Database, service_names: Sequence[str], *, needs_storage: bool) -> None:
        super().__init__([], service_names)
        self._database = database
        self._names = tuple(service_names)
        self._needs_storage = needs_storage
        self._following: asyncio.Task[NoReturn] | None = None

    async def ready(self) -> None:
        await self._update()
        await self.health.set("", SERVING)
        self._following = asyncio.create_task(self._follow())

    async def stop(self, grace_seconds: float) -> None:
        if self._following:
            self._following.cancel()
        await super().stop(grace_seconds)

    async def _follow(self) -> NoReturn:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self._update()

    async def _update(self) -> None:
        readable = await self._database.check()
        answers = SERVING if readable or not self._needs_storage else NOT_SERVING
        writes = SERVING if readable and self._database.writable else NOT_SERVING
        for name in self._names:
            await self.health.set(name, answers)
            await self.health.set(name + WRITES, writes)
