"""Calls at once that are cancelled, crash with their process or expire: `python -m tests.faults.limits [--calls 1000]`.

Two Model Services share a limit on calls at once, in PostgreSQL or Redis. Callers open streams at both until no slot is
left, and then end them in one of three ways: they leave, their process is killed with -9, or it is stopped so that it
renews nothing. At the end all slots must be back, and exactly as many calls be admitted as the limit allows. The exit
code is 1 if one sum does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc

from proto import models_pb2
from proto.identity_pb2 import CallerIdentity, LimitRule
from proto.models_pb2_grpc import ModelServiceStub
from services.shared.identity import IdentitySigner
from services.shared.metadata import IDENTITY_KEY
from tests.faults.history import Sum
from tests.faults.run import report
from tests.scripted_upstream import Ending, ScriptedUpstream, event_stream
from tests.services.model_service import chat_request, piece
from tests.support.databases import provide_behind
from tests.support.postgresql import running_postgresql
from tests.support.processes import Service, start
from tests.support.redis import find_program, running_redis

KEY = "k" * 32
LEASE_SECONDS = 2
CANCELLED, CRASHED, EXPIRED = WAYS = ("cancelled", "crashed", "expired")
BACK_SECONDS = 60.0

BEFORE = f"""
from services.models.limits import limiter, loading, postgresql_store, time_limits, upkeep
time_limits.COMMAND_SECONDS = time_limits.CONNECT_SECONDS = loading.LOAD_SECONDS = limiter.SETTLE_SECONDS = 30
upkeep.RENEW_SECONDS = {LEASE_SECONDS / 4}
postgresql_store.LEASE = {LEASE_SECONDS * 1_000_000}
with __import__("contextlib").suppress(ImportError):
    from services.models.limits import redis_store
    redis_store.LEASE = postgresql_store.LEASE
"""
"""Run in each process before its program: a short lease, and a store that is waited for on a busy machine."""


class Replicas:
    """Two processes on one store, and the calls that hold its slots."""

    def __init__(self, directory: Path, upstream: ScriptedUpstream, slots: int, settings: dict[str, str]) -> None:
        self.slots = slots
        self.ends: Counter[str] = Counter()
        self.overshoots = 0
        self._directory = directory
        self._settings = {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{upstream.url}/v1",
            "MODELS_MAX_ATTEMPTS": "1",
            "AUTH_MODE": "required",
            "GENAI_INTERNAL_KEYS": KEY,
            "LIMITS_REPLICAS": "2",
            **settings,
        }
        limit = LimitRule(id="slots", scope_kind="key", scope_id="*", resource="concurrent", amount=slots)
        identity = CallerIdentity(key_id="crowd", project_id="p", scopes=["generate"], limits=[limit])
        self._sign = lambda: [(IDENTITY_KEY, IdentitySigner([KEY.encode()]).sign(identity))]
        self._services: dict[int, Service] = {}
        self._channels: dict[int, grpc.aio.Channel] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            for place in range(2):
                await self._start(place)
            yield
        finally:
            for channel in self._channels.values():
                await channel.close()
            for service in self._services.values():
                service.close()

    async def _start(self, place: int) -> None:
        """Starts a process, in place of an earlier one."""
        directory = self._directory / str(place)
        service = await asyncio.to_thread(start, "models", directory, before=BEFORE, **self._settings)
        if old := self._channels.pop(place, None):
            await old.close()
        self._services[place], self._channels[place] = service, grpc.aio.insecure_channel(service.address)

    async def fill(self, limit_of_calls: int) -> list[Any]:
        """Streams that hold all slots, or as many as are wanted, at both processes by turns."""
        streams: list[Any] = []
        for place in itertools.cycle(range(2)):
            if len(streams) == limit_of_calls:
                return streams
            stream = await self._open(place)
            if stream is None:
                return streams
            streams.append(stream)
            self.overshoots += len(streams) > self.slots
        return streams

    async def end(self, streams: list[Any], way: str) -> None:
        """Ends all streams, those of the first process in this way. Those of the other one are cancelled."""
        of_first = len(streams[::2])
        self.ends[way] += of_first
        self.ends[CANCELLED] += len(streams) - of_first
        if way != CANCELLED:
            victim = self._services[0]
            if way == EXPIRED:
                victim.send(signal.SIGSTOP)
                # Nothing is heard of it until another one has given back what it held.
                await asyncio.sleep(LEASE_SECONDS)
            await asyncio.to_thread(victim.kill)
            victim.close()
            await self._start(0)
        for stream in streams:
            stream.cancel()

    async def are_back(self) -> int:
        """The slots that are free in the end, as soon as that are all; else after a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BACK_SECONDS):
                while True:
                    streams = await self.fill(self.slots + 1)
                    for stream in streams:
                        stream.cancel()
                    if len(streams) >= self.slots:
                        return len(streams)
                    await asyncio.sleep(0.1)
        return len(streams)

    async def _open(self, place: int) -> Any:
        """A stream that has begun; None where no slot is left."""
        stream = ModelServiceStub(self._channels[place]).ChatStream(chat_request(), metadata=self._sign())
        try:
            chunk = await stream.read()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            return None
        assert isinstance(chunk, models_pb2.ChatChunk)
        return stream


async def end_in_every_way(directory: Path, calls: int, slots: int, **settings: str) -> list[Sum]:
    """The sums after so many calls, at the store that the settings name."""
    for service in ("models", "calls", "ledger", "limits"):
        provide_behind(settings["MODELS_DATABASE_URL"], service)
    stalled = event_stream(piece("a"), ending=Ending.STALL)
    async with ScriptedUpstream(default=stalled, forgets=True) as upstream:
        replicas = Replicas(directory, upstream, slots, settings)
        async with replicas.running():
            for way in itertools.cycle(WAYS):
                if replicas.ends.total() >= calls:
                    break
                await replicas.end(await replicas.fill(slots + 1), way)
            free = await replicas.are_back()
    told = ", ".join(f"{count} {way}" for way, count in replicas.ends.items())
    return [
        Sum("calls have ended in every way", told, sum(not replicas.ends[way] for way in WAYS)),
        Sum("all slots are back, and no more", f"{free} of {slots}", abs(free - slots)),
        Sum("never more calls at once than are allowed", f"{replicas.ends.total()} calls", replicas.overshoots),
    ]


@contextlib.contextmanager
def store_settings(store: str) -> Iterator[dict[str, str]]:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running_postgresql())
        settings = {"MODELS_DATABASE_URL": server.new_url()}
        if store == "redis":
            program = find_program()
            if program is None:
                sys.exit("no redis-server is installed")
            redis = stack.enter_context(running_redis(program))
            settings |= {"LIMITS_STORE": "redis", "LIMITS_REDIS_URL": redis.url}
        yield settings


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.limits", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1000, help="calls that end (1000)")
    parser.add_argument("--slots", type=int, default=60, help="calls at once (60)")
    parser.add_argument("--store", choices=["postgresql", "redis"], default="postgresql", help="store (postgresql)")
    arguments = parser.parse_args()
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    with tempfile.TemporaryDirectory(prefix="limits-") as directory, store_settings(arguments.store) as settings:
        sums = asyncio.run(end_in_every_way(Path(directory), arguments.calls, arguments.slots, **settings))
    print(report(sums, []))
    sys.exit(any(not each.holds for each in sums))


if __name__ == "__main__":
    main()
