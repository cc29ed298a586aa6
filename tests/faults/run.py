"""One run: the platform, its providers, a load, the nemesis, the history and the samples, for both programs."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.faults.history import History, Sum
from tests.faults.load import DEADLINE_SECONDS, Load
from tests.faults.logged_ends import judge_ends, read_ends
from tests.faults.measure import Latencies, allocated_blocks, measure
from tests.faults.nemesis import Events, Nemesis, ProviderControl
from tests.faults.platform import UP, Platform, Shape, running_platform
from tests.support.postgresql import running_postgresql

SETTLE_SECONDS = 10.0
"""The time that the providers' requests have to end after the load."""

KILLED = -9
FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"

Sample = dict[str, Any]
Result = TypeVar("Result")


@dataclass
class Run:
    """A running platform with what is needed to disturb, load, watch and judge it."""

    platform: Platform
    control: ProviderControl
    history: History
    load: Load
    nemesis: Nemesis
    events: Events
    latencies: Latencies
    begun: float = field(default_factory=time.monotonic)
    most_connections: int = 0
    recovery_seconds: float = 0.0

    async def sample(self) -> Sample:
        """Everything that is measured at one time."""
        counts = await self.control.counts()
        self.most_connections = max(self.most_connections, sum(int(count["connections"]) for count in counts.values()))
        return {
            "t": round(time.monotonic() - self.begun, 2),
            "processes": {name: await self._sample_process(name) for name in self.platform.members},
            "providers": counts,
            "latency_ms": self.latencies.percentiles(),
            "running": self.load.running,
            "started": self.history.counted["started"],
            "skipped": self.load.skipped,
            "outcomes": self.outcomes(),
            "load_lag_ms": round(self.load.lag * 1000, 1),
        }

    def outcomes(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for (_, outcome), count in self.history.outcomes.items():
            counts[outcome] += count
        return dict(counts.most_common())

    async def samples(self, seconds: float, file: Path | None, seen: Callable[[Sample], None]) -> None:
        """Takes a sample every so many seconds until it is cancelled, writes it and shows it."""
        while True:
            await asyncio.sleep(seconds)
            sample = await self.sample()
            if file:
                with file.open("a") as lines:
                    lines.write(json.dumps(sample) + "\n")
            seen(sample)

    async def disturbed_load(self, seconds: float, *disturbances: Coroutine[Any, Any, None]) -> None:
        """Loads the platform for some time while it is disturbed, mends it, and waits until all of it answers again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.load.run(seconds))
            for disturbance in disturbances:
                group.create_task(disturbance)
        await self.nemesis.heal()
        self.recovery_seconds = await self.load.recover()

    async def judge(self, idle_limit: int | None = None) -> list[Sum]:
        """Stops all services after the load, and returns the sums.

        Without a limit, no more connections to the providers may be open than there were.
        """
        running, connections = await self._settle()
        self.history.judge_connections(
            running, connections, self.most_connections if idle_limit is None else idle_limit
        )
        self.history.judge_providers(await self.control.calls())
        async for session_id, turns in self.load.read_sessions():
            self.history.judge_session(session_id, turns)
        await asyncio.gather(*(member.stop() for member in self.platform.members.values()))
        return [*self.history.sums(), *self._sums_of_processes(), *self._sums_of_logs()]

    async def _sample_process(self, name: str) -> dict[str, Any]:
        member = self.platform.members[name]
        told: dict[str, Any] = {"state": member.state, "life": member.lives}
        if measured := measure(member.pid):
            told |= measured._asdict()
            with contextlib.suppress(OSError, AssertionError, http.client.HTTPException):
                told["blocks"] = await asyncio.to_thread(allocated_blocks, member.admin_port)
        elif member.state == UP:
            self.history.note("deaths", f"{name} has ended by itself: {member.log()[-2000:]}")
        return told

    def _sums_of_processes(self) -> list[Sum]:
        members = self.platform.members.values()
        exits = Counter(code for member in members for code in member.exits)
        wrong = sum(count for code, count in exits.items() if code not in (0, KILLED))
        lives = ", ".join(f"{member.name} {member.lives}" for member in members)
        return [
            Sum("a service ends only by a signal", f"lives: {lives}", self.history.broken("deaths")),
            Sum(
                "every model answers again",
                f"{self.recovery_seconds:.1f} s after the last accident",
                self.history.broken("recovery"),
            ),
            Sum("SIGTERM ends a service with code 0", f"exit codes: {dict(exits)}", wrong),
        ]

    def _sums_of_logs(self) -> Iterator[Sum]:
        gateways, models = (
            [
                read_ends(member.name, member.log_path, whole=KILLED not in member.exits)
                for member in self.platform.members.values()
                if member.kind == kind
            ]
            for kind in ("gateway", "models")
        )
        yield from judge_ends(gateways, models, self.history.chats)

    async def _settle(self) -> tuple[int, int]:
        """The requests that run at the providers and their connections, when nothing ends any more."""
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            counts = (await self.control.counts()).values()
            running = sum(int(count.get("running", 0)) for count in counts)
            if not running or time.monotonic() > until:
                return running, sum(int(count["connections"]) for count in counts)
            await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def opened(
    directory: Path,
    *,
    seed: int,
    shape: Shape,
    calls_per_second: float,
    fault_share: float,
    window_seconds: float,
    deadline_seconds: float = DEADLINE_SECONDS,
    forked: bool = False,
    tell: Callable[[str], None] = lambda told: None,
) -> AsyncIterator[Run]:
    """A run in a directory, ready for its load. `tell` is called with each event; latencies are of a window."""
    async with contextlib.AsyncExitStack() as stack:
        urls: Mapping[str, str] = {}
        database = None
        if shape.postgresql:
            database = stack.enter_context(running_postgresql(durable=True))
            urls = {f"{name}_DATABASE_URL": database.new_url() for name in ("SESSIONS", "MODELS")}
        platform = await stack.enter_async_context(running_platform(directory, shape, urls, forked=forked))
        control = ProviderControl(platform.providers.control_port)
        stack.push_async_callback(control.close)
        events, history, latencies = Events(tell), History(), Latencies(window_seconds)
        load = Load(
            platform,
            history,
            latencies,
            seed=seed,
            calls_per_second=calls_per_second,
            fault_share=fault_share,
            deadline_seconds=deadline_seconds,
        )
        stack.push_async_callback(load.close)
        await load.prepare()
        nemesis = Nemesis(platform, control, database, seed, events.tell)
        yield Run(platform, control, history, load, nemesis, events, latencies)


@contextlib.asynccontextmanager
async def cancelled_at_end(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs a coroutine beside a block, and cancels it at its end. Raises its error, which ends the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()


def begin_program() -> None:
    """Begins the program anew if grpc has its handlers of forks, in which children such as PostgreSQL's may crash.

    grpc reads the variable when it is imported, which is before any statement of the program.
    """
    if os.environ.get(FORK_SUPPORT) != "0":
        os.environ[FORK_SUPPORT] = "0"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def run_program(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs a program's coroutine. Ctrl-C ends the program, and all that it has started."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        sys.exit(130)


def report(sums: Sequence[Sum], violations: Sequence[tuple[str, str]]) -> str:
    """The sums for people, and under them what has broken them."""
    width = max(len(each.name) for each in sums)
    lines = [f"  {'✓' if each.holds else '✗'} {each.name:{width}}  {each.told}{_times(each)}" for each in sums]
    broken = [f"    {rule}: {violation}" for rule, violation in violations]
    return "\n".join([*lines, *broken, f"{sum(each.holds for each in sums)} of {len(sums)} hold"])


def _times(each: Sum) -> str:
    return "" if each.holds else f"  (broken {each.broken} times)"
