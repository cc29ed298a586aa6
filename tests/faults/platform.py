"""The platform under faults: the services as real processes at fixed ports, each of which may die and come back.

Each gateway balances its calls over all Model Services, which share their databases and the one Session Service.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.processes import Process, Service, environment, start

GRACE_SECONDS = 5
STOP_SECONDS = GRACE_SECONDS + 15.0
PORTS = range(20_000, 32_000)
"""Below the ports that the system gives to connections, which could take the one of a process that is away."""

UP, DOWN, STOPPED, STARTING, DRAINING = "up", "down", "stopped", "starting", "draining"


SUFFIXES = ("", "-2")


class Shape(NamedTuple):
    """How many of each there are, and the database that they share: two Model Services need PostgreSQL."""

    gateways: int = 1
    models: int = 1
    postgresql: bool = False


class Member:
    """A service of the platform, in one process after the other."""

    def __init__(self, name: str, directory: Path, settings: Mapping[str, str], *, forked: bool) -> None:
        self.name = name
        self.kind = name.partition("-")[0]
        self.port, self.admin_port = free_port(), free_port()
        self.state = DOWN
        self.lives = 0
        self.exits: list[int] = []
        self.away: list[tuple[float, float]] = []
        """The times in which it did not serve, in seconds of the monotonic clock."""
        self._directory = directory / name
        self._settings = settings
        self._forked = forked
        self._service: Service | None = None
        self._away_since = time.monotonic()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._service.pid if self._service and self.state != DOWN else None

    def is_away(self, start: float, end: float) -> bool:
        """Whether it did not serve at some time between two."""
        if self.state != UP and self._away_since <= end:
            return True
        return any(began <= end and start <= ended for began, ended in self.away)

    async def start(self) -> None:
        self.state = STARTING
        kind = self.kind.upper()
        ports = {f"{kind}_PORT": str(self.port), f"{kind}_ADMIN_PORT": str(self.admin_port)}
        settings: dict[str, Any] = {**self._settings, **ports, "as_module": not self._forked}
        self._service = await asyncio.to_thread(lambda: start(self.kind, self._directory, **settings))
        self.lives += 1
        self._return()

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and its end."""
        await self._end(signal.SIGTERM)

    async def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after some time."""
        assert self._service
        self._leave(STOPPED)
        self._service.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._service.send(signal.SIGCONT)
            self._return()

    def close(self) -> None:
        if self._service:
            self._service.close()

    @property
    def log_path(self) -> Path:
        """The log of all its lives."""
        return self._directory / f"{self.kind}.log"

    def log(self) -> str:
        """The log of its last life."""
        return self._service.log() if self._service else ""

    async def _end(self, number: signal.Signals) -> None:
        assert self._service
        self._leave(DRAINING)
        self._service.send(number)
        self.exits.append(await self._service.end(STOP_SECONDS))
        self.state = DOWN

    def _leave(self, state: str) -> None:
        self.state = state
        self._away_since = time.monotonic()

    def _return(self) -> None:
        self.state = UP
        self.away.append((self._away_since, time.monotonic()))


class Providers:
    """The process of both providers, and the connection to its control."""

    def __init__(self, directory: Path) -> None:
        self.openai_port, self.anthropic_port, self.control_port = free_port(), free_port(), free_port()
        self._log = directory / "provider.log"
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    async def start(self) -> None:
        ports = map(str, (self.openai_port, self.anthropic_port, self.control_port))
        self._process = await asyncio.to_thread(
            Service.spawn, ["-m", "tests.faults.provider", *ports], environment(), self._log
        )

    def close(self) -> None:
        if self._process:
            self._process.close()

    def log(self) -> str:
        return self._process.log() if self._process else ""


class Platform:
    """All services, by name, and the providers behind them."""

    def __init__(self, directory: Path, shape: Shape, database_urls: Mapping[str, str], *, forked: bool) -> None:
        self.providers = Providers(directory)
        common = {"GENAI_DATA_DIR": str(directory / "data"), "GENAI_GRACE_SECONDS": str(GRACE_SECONDS), **database_urls}
        sessions = Member("sessions", directory, common, forked=forked)
        self.members = {"sessions": sessions}
        vendors = {
            "OPENAI_API_KEY": "sk-faults-openai",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.providers.openai_port}/v1",
            "ANTHROPIC_API_KEY": "sk-faults-anthropic",
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{self.providers.anthropic_port}",
        }
        to_sessions = common | {"SESSIONS_ADDRESS": sessions.address}
        models = [
            Member(f"models{suffix}", directory, to_sessions | vendors, forked=forked)
            for suffix in SUFFIXES[: shape.models]
        ]
        to_models = to_sessions | {"MODELS_ADDRESS": ",".join(member.address for member in models)}
        gateways = [
            Member(f"gateway{suffix}", directory, to_models, forked=forked) for suffix in SUFFIXES[: shape.gateways]
        ]
        self.members |= {member.name: member for member in (*models, *gateways)}

    @property
    def gateways(self) -> list[Member]:
        return [member for member in self.members.values() if member.kind == "gateway"]

    def behind(self, gateway: Member) -> list[Member]:
        """The services that a call through this gateway may meet."""
        return [member for member in self.members.values() if member.kind != "gateway" or member is gateway]


@contextlib.asynccontextmanager
async def running_platform(
    directory: Path, shape: Shape, database_urls: Mapping[str, str], *, forked: bool
) -> AsyncIterator[Platform]:
    """The platform and its providers, for the length of a block. `forked` services share memory with each other."""
    platform = Platform(directory, shape, database_urls, forked=forked)
    try:
        await platform.providers.start()
        for member in platform.members.values():
            await member.start()
        yield platform
    finally:
        for member in platform.members.values():
            member.close()
        platform.providers.close()


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
