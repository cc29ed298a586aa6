"""What storing costs: appends through the Session Service on both databases, and chats while the database is away.

python -m benchmarks.storage            # about 2 minutes
python -m benchmarks.storage --quick    # under half a minute, rougher
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import grpc

from benchmarks.load import connected, percentile
from benchmarks.processes import LOAD_CORE, MEASURED_CORE, Measured, started
from benchmarks.scale import UNARY
from proto import models_pb2, sessions_pb2
from proto.sessions_pb2_grpc import SessionServiceStub
from tests.support.postgresql import PostgreSQLServer, running_postgresql

WRITERS = (1, 16, 64)
TURN = [
    models_pb2.ChatMessage(role="user", content="What is the capital of France? " * 10),
    models_pb2.ChatMessage(role="assistant", content="The capital of France is Paris. " * 20),
]
"""What is appended: a question and an answer, of about 1 kB."""

WARM_UP_SECONDS = 1.0
ALTERNATIONS = 4
CALL_SECONDS = 30.0


class Scale(NamedTuple):
    append_seconds: float
    """For each number of writers."""
    chats: int
    """For each of the two states of the database, in all."""


FULL = Scale(append_seconds=6, chats=2000)
QUICK = Scale(append_seconds=1.5, chats=400)


class Row(NamedTuple):
    name: str
    p50_ms: float
    p99_ms: float
    per_second: float
    cpu_us: float
    """User and kernel time of the measured service for each call; not that of a database server."""

    @classmethod
    def of(cls, name: str, seconds: list[float], duration: float, cpu_seconds: float) -> Row:
        p50, p99 = (percentile(seconds, percent) * 1000 for percent in (50, 99))
        return cls(name, p50, p99, len(seconds) / duration, cpu_seconds / len(seconds) * 1e6)


@contextlib.asynccontextmanager
async def serving(service: str, settings: dict[str, str]) -> AsyncIterator[Measured]:
    with tempfile.TemporaryDirectory() as directory:
        variables = {
            f"{service.upper()}_PORT": "0",
            "GENAI_DATA_DIR": directory,
            "GENAI_GRACE_SECONDS": "1",
            **settings,
        }
        async with started([f"services/{service}/main.py"], MEASURED_CORE, variables) as process:
            await process.wait_until_serving()
            yield process


async def measure_appends(scale: Scale, database: str, url: str) -> AsyncIterator[Row]:
    async with (
        serving("sessions", {"SESSIONS_DATABASE_URL": url}) as process,
        grpc.aio.insecure_channel(process.address) as channel,
    ):
        stub = SessionServiceStub(channel)
        for writers in WRITERS:
            for sessions in dict.fromkeys((1, writers)):
                ids = [f"{writers}-{sessions}-{number}" for number in range(sessions)]
                for session_id in ids:
                    request = sessions_pb2.CreateSessionRequest(session_id=session_id)
                    await stub.CreateSession(request, timeout=CALL_SECONDS)
                await append(stub, ids, writers, WARM_UP_SECONDS)
                cpu_seconds = process.cpu_seconds()
                seconds = await append(stub, ids, writers, scale.append_seconds)
                cpu_seconds = process.cpu_seconds() - cpu_seconds
                where = "one session" if sessions == 1 else "a session each"
                yield Row.of(f"{database}, {writers} at once, {where}", seconds, scale.append_seconds, cpu_seconds)


async def append(stub: SessionServiceStub, ids: list[str], writers: int, duration: float) -> list[float]:
    """The seconds that each append took, of so many writers who append without a pause."""
    end = time.perf_counter() + duration
    seconds: list[float] = []

    async def write(writer: int) -> None:
        session_id, number = ids[writer % len(ids)], 0
        while (begin := time.perf_counter()) < end:
            request = sessions_pb2.AppendMessagesRequest(
                session_id=session_id, messages=TURN, request_id=f"{end} {writer} {number}"
            )
            await stub.AppendMessages(request, timeout=CALL_SECONDS)
            seconds.append(time.perf_counter() - begin)
            number += 1

    await asyncio.gather(*(write(writer) for writer in range(writers)))
    return seconds


async def measure_chats(scale: Scale, server: PostgreSQLServer) -> list[Row]:
    """One chat after the other, while the database runs and while it does not, in turns."""
    seconds: dict[str, list[float]] = {"chat, database running": [], "chat, database stopped": []}
    cpu_seconds = dict.fromkeys(seconds, 0.0)
    request = UNARY.chat_request()
    async with started(["-m", "benchmarks.upstream"], LOAD_CORE) as upstream:
        settings = {
            "MODELS_DATABASE_URL": server.new_url(),
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"http://{upstream.address}/v1",
            "MODELS_DISCOVERY": "off",
        }
        async with serving("models", settings) as process, connected(process.address) as client:
            await client.check(UNARY)
            for _ in range(ALTERNATIONS):
                for name, change in zip(seconds, (server.start, server.stop), strict=True):
                    await asyncio.to_thread(change)
                    for _ in range(50):
                        await client.time_call(request)
                    before = process.cpu_seconds()
                    for _ in range(scale.chats // ALTERNATIONS):
                        seconds[name].append(await client.time_call(request))
                    cpu_seconds[name] += process.cpu_seconds() - before
    server.start()
    return [Row.of(name, readings, sum(readings), cpu_seconds[name]) for name, readings in seconds.items()]


def show(row: Row) -> None:
    figures = (
        f"{row.per_second:6.0f} /s   p50 {row.p50_ms:7.2f} ms   p99 {row.p99_ms:7.2f} ms   CPU {row.cpu_us:5.0f} µs"
    )
    print(f"{row.name:40} {figures}", flush=True)


async def measure(scale: Scale, directory: Path) -> None:
    with running_postgresql(durable=True) as server:
        for database, url in (("SQLite", f"sqlite:///{directory / 'sessions.db'}"), ("PostgreSQL", server.new_url())):
            async for row in measure_appends(scale, database, url):
                show(row)
        for row in await measure_chats(scale, server):
            show(row)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter: under half a minute")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    print(
        f"load average {os.getloadavg()[0]:.1f}; an append is {sum(len(m.content) for m in TURN)} bytes in 2 messages"
    )
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(QUICK if arguments.quick else FULL, Path(directory)))


if __name__ == "__main__":
    main()
