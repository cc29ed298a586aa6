"""Health that tells what the database behind a service can do, under two names.

`SERVICE`          SERVING while its calls can be answered; for one that answers from memory, always
`SERVICE/writes`   SERVING while the newest write could be stored: not while the database is away, full or read-only
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
    """A server whose health follows `database`, which must be set before `ready`.

    Of the whole it says SERVING in any case: the process answers, and a restart would not bring the database back.
    With `needs_storage` its services say SERVING only while the database can be read.
    """

    database: Database

    def __init__(self, service_names: Sequence[str], *, needs_storage: bool) -> None:
        super().__init__([], service_names)
        self._names = tuple(service_names)
        self._needs_storage = needs_storage
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
        readable = await self.database.check()
        answers = SERVING if readable or not self._needs_storage else NOT_SERVING
        writes = SERVING if readable and self.database.writable else NOT_SERVING
        for name in self._names:
            await self.health.set(name, answers)
            await self.health.set(name + WRITES, writes)
