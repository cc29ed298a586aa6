"""The nemesis: it makes providers fail and processes die, as chance by a seed has it, and brings them back."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import httpx

from tests.faults.orders import FAULTS, HEALTHY, REFUSE
from tests.faults.platform import UP, Member, Platform
from tests.support.postgresql import PostgreSQLServer

KILL, STOP, FREEZE = "kill -9", "SIGTERM", "SIGSTOP"
DATABASE = "postgresql"
SHOWN_EVENTS = 8


class Pauses(NamedTuple):
    """The shortest and the longest of some pauses, in seconds."""

    shortest: float
    longest: float

    def draw(self, chance: random.Random) -> float:
        return chance.uniform(self.shortest, self.longest)


class Accident(NamedTuple):
    """An accident that is to happen to a service at some time, in seconds from the beginning."""

    at: float
    member: str
    action: str


class Nemesis:
    """The accidents of one run, each of which is undone by itself. `tell` is called with each as it happens."""

    def __init__(
        self,
        platform: Platform,
        control: ProviderControl,
        database: PostgreSQLServer | None,
        seed: int,
        tell: Callable[[str], None],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._platform = platform
        self._control = control
        self._database = database
        # One chance for each, so that the time that a restart takes changes nothing of the others.
        self._of_providers = random.Random(f"providers {seed}")
        self._of_processes = random.Random(f"processes {seed}")
        self._tell = tell

    async def disturb_providers(self, seconds: float, pauses: Pauses, durations: Pauses) -> None:
        """Gives one provider a fault at a time, for some time."""
        chance = self._of_providers
        async for _ in _paused(seconds, pauses, chance):
            provider = chance.choice(("openai", "anthropic"))
            mode = chance.choice((*FAULTS, REFUSE))
            duration = durations.draw(chance)
            self._note(f"{provider} is {mode} for {duration:.1f} s", f"provider {mode}")
            await self._control.set_mode(provider, mode)
            await asyncio.sleep(duration)
            await self._control.set_mode(provider, HEALTHY)

    async def disturb_processes(self, seconds: float, pauses: Pauses, away: Pauses) -> None:
        """Kills, stops or freezes one service at a time, for some time."""
        chance = self._of_processes
        async for _ in _paused(seconds, pauses, chance):
            name = chance.choice([*sorted(self._platform.members), *([DATABASE] if self._database else [])])
            action, seconds = chance.choice((KILL, STOP, FREEZE)), away.draw(chance)
            if name == DATABASE:
                await self._strike_database(action, seconds)
            else:
                await self._strike(self._platform.members[name], action, seconds)

    async def follow(self, plan: Sequence[Accident], away: Pauses) -> None:
        """Lets the accidents of a plan happen."""
        begun = time.monotonic()
        for accident in plan:
            await asyncio.sleep(max(begun + accident.at - time.monotonic(), 0))
            member = self._platform.members[accident.member]
            await self._strike(member, accident.action, away.draw(self._of_processes))

    async def heal(self) -> None:
        """Brings everything back."""
        for provider in ("openai", "anthropic"):
            await self._control.set_mode(provider, HEALTHY)
        for member in self._platform.members.values():
            if member.state != UP:
                await member.start()

    async def _strike(self, member: Member, action: str, away: float) -> None:
        self._note(f"{action} {member.name}" + (f" for {away:.1f} s" if action == FREEZE else ""), action)
        if action == FREEZE:
            await member.freeze(away)
            return
        await (member.kill() if action == KILL else member.stop())
        await asyncio.sleep(away)
        await member.start()
        self._tell(f"{member.name} is back")

    async def _strike_database(self, action: str, away: float) -> None:
        """Freezes the database, or stops it at once: by either of the other actions."""
        assert self._database
        self._note(f"{action} {DATABASE} for {away:.1f} s", f"{action} {DATABASE}")
        if action == FREEZE:
            with self._database.frozen():
                await asyncio.sleep(away)
            return
        await asyncio.to_thread(self._database.stop)
        await asyncio.sleep(away)
        await asyncio.to_thread(self._database.start)
        self._tell(f"{DATABASE} is back")

    def _note(self, told: str, counted: str) -> None:
        self.counts[counted] += 1
        self._tell(told)


async def _paused(seconds: float, pauses: Pauses, chance: random.Random) -> AsyncIterator[None]:
    """The ends of pauses, as long as there is time."""
    until = time.monotonic() + seconds
    while (pause := pauses.draw(chance)) < until - time.monotonic():
        await asyncio.sleep(pause)
        yield


class ProviderControl:
    """The control of the providers."""

    def __init__(self, port: int) -> None:
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)

    async def set_mode(self, provider: str, mode: str) -> None:
        (await self._client.post("/mode", json={"provider": provider, "mode": mode})).raise_for_status()

    async def counts(self) -> dict[str, dict[str, int | str]]:
        counts: dict[str, dict[str, int | str]] = (await self._client.get("/counts")).raise_for_status().json()
        return counts

    async def calls(self) -> dict[str, dict[str, float]]:
        calls: dict[str, dict[str, float]] = (await self._client.get("/calls")).raise_for_status().json()
        return calls

    async def close(self) -> None:
        await self._client.aclose()


class Events:
    """The newest events of a run, with the time of each since the beginning."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.newest: deque[str] = deque(maxlen=SHOWN_EVENTS)
        self._begun = time.monotonic()
        self._tell = tell

    def tell(self, told: str) -> None:
        line = f"{time.monotonic() - self._begun:6.1f} s  {told}"
        self.newest.append(line)
        self._tell(line)
