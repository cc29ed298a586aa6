"""Crowds: a thousand streams at once, three times as many calls as can be answered, and ten thousand idle streams.

python -m benchmarks.crowds            # about 2 minutes
python -m benchmarks.crowds --quick    # a minute, smaller and rougher
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import grpc

from benchmarks.http2_load import Call, Connection, connected
from benchmarks.load import percentile
from benchmarks.processes import LOAD_CORE, MEASURED_CORE, Measured, started
from benchmarks.report import DASH, table
from benchmarks.scale import PACE_MS, UNARY
from benchmarks.work import CHAT, CHAT_STREAM, Work
from proto import models_pb2, models_pb2_grpc
from services.shared.event_loop import run_on_loop
from tests.support.processes import NotStarted

LIST_MODELS = CHAT.replace("/Chat", "/ListModels")

BARE = "both in one process"
ECHO = "grpc.aio server"
MODELS = "Model Service"
BOTH = "Gateway and Model Service"

CONNECTIONS = 20
LONG_SECONDS = 60.0
IDLE = Work(tokens=1, pace_ms=120_000)
IDLE_SECONDS = 300.0
UPSTREAMS = 4
CROWDED = "crowded"
OPENING_SECONDS = 60.0
OPENING_AT_ONCE = 500
CAPACITY_CALLS_AT_ONCE = 64
OVERLOAD = 3
POLL_SECONDS = 0.05
REPEATED_SECONDS = 0.05
"""Pause between two calls of the other caller."""
SETTLE_SECONDS = 1.0


class Scale(NamedTuple):
    streams: int
    """At once, twice over."""
    tokens: int
    """Of each of them."""
    overload_seconds: float
    idle_streams: int


FULL = Scale(streams=1000, tokens=50, overload_seconds=8.0, idle_streams=10_000)
QUICK = Scale(streams=300, tokens=50, overload_seconds=2.0, idle_streams=2000)


@dataclass(frozen=True)
class Crowd:
    """Streams at once: seconds until all were whole, and until their first tokens."""

    name: str
    complete: int
    seconds: float
    first_token_p50: float
    first_token_last: float
    ratio: float | None = None
    """Of the seconds to those of the floor."""


@dataclass(frozen=True)
class Overload:
    """Calls at three times the capacity: answered within their deadline, as a share of the capacity."""

    name: str
    deadline: float
    capacity: float
    """Calls a second."""
    goodput: float
    answered_p99_ms: float
    refused_p50_ms: float
    other_p50_ms: float
    other_p99_ms: float
    """Of another method, by another caller, at the same time."""


@dataclass(frozen=True)
class Idle:
    """Streams that wait for their first token."""

    name: str
    held: int
    seconds: float
    kib_each: float
    unary_p50_ms: float
    unary_p99_ms: float
    """Of calls by another caller at the same time."""


@dataclass
class Report:
    crowds: list[Crowd] = field(default_factory=list)
    overloads: list[Overload] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    def as_text(self) -> str:
        tables = [
            table(
                ["Streams at once, twice over", "whole", "s", "first token p50, s", "of the last, s", "ratio"],
                [
                    [
                        row.name,
                        str(row.complete),
                        f"{row.seconds:.2f}",
                        f"{row.first_token_p50:.2f}",
                        f"{row.first_token_last:.2f}",
                        f"{row.ratio:.2f} ×" if row.ratio else DASH,
                    ]
                    for row in self.crowds
                ],
            ),
            table(
                [
                    *("Three times the capacity", "deadline, s", "capacity, /s", "in time, of it"),
                    *("their p99, ms", "refused p50, ms", "other calls p50, ms", "p99, ms"),
                ],
                [
                    [
                        row.name,
                        f"{row.deadline:g}",
                        f"{row.capacity:.0f}",
                        f"{row.goodput / row.capacity:.2f}",
                        f"{row.answered_p99_ms:.0f}",
                        f"{row.refused_p50_ms:.0f}",
                        f"{row.other_p50_ms:.1f}",
                        f"{row.other_p99_ms:.1f}",
                    ]
                    for row in self.overloads
                ],
            ),
            table(
                ["Idle streams", "held", "s to open", "KiB each", "unary p50, ms", "p99, ms"],
                [
                    [
                        row.name,
                        str(row.held),
                        f"{row.seconds:.1f}",
                        f"{row.kib_each:.1f}",
                        f"{row.unary_p50_ms:.1f}",
                        f"{row.unary_p99_ms:.1f}",
                    ]
                    for row in self.idle
                ],
            ),
            "\n".join(f"not measured: {gap}" for gap in self.gaps),
        ]
        return "\n\n".join(text for text in tables if text)


class Benchmark:
    """One run, in front of a mock provider."""

    def __init__(self, scale: Scale, upstream: str, directory: Path, report: Report) -> None:
        self._scale = scale
        self._upstream = upstream
        self._directory = directory
        self._report = report

    async def run(self) -> None:
        floor: float | None = None
        for name in (ECHO, BARE, MODELS, BOTH):
            with self._gap(f"streams of {name}"):
                async with self._subject(name) as (process, _):
                    crowd = await self._measure_streams(name, process.address, floor)
                    self._report.crowds.append(crowd)
                    floor = crowd.seconds if name == BARE else floor
        for name in (MODELS, BOTH):
            for deadline in (2.0, 10.0):
                with self._gap(f"overload of {name}"):
                    async with self._subject(name) as (process, _):
                        self._report.overloads.append(await self._measure_overload(name, process.address, deadline))
        for name in (ECHO, MODELS, BOTH):
            with self._gap(f"idle streams of {name}"):
                async with self._subject(name) as (process, processes), _several_upstreams() as upstreams:
                    if name != ECHO:
                        await _register(process.address, upstreams)
                    self._report.idle.append(await self._measure_idle(name, process.address, processes))

    @contextlib.contextmanager
    def _gap(self, what: str) -> Iterator[None]:
        """A block that may fail, which the report names then."""
        print(f"measuring {what} …", file=sys.stderr, flush=True)
        try:
            yield
        except (NotStarted, AssertionError, TimeoutError, OSError) as gap:
            self._report.gaps.append(f"{what}: {gap}")

    @contextlib.asynccontextmanager
    async def _subject(self, name: str) -> AsyncIterator[tuple[Measured, Sequence[Measured]]]:
        """The process that is called, and all that it consists of, on one core."""
        floor = ["-m", "benchmarks.floors"]
        commands = {ECHO: [*floor, "echo"], BARE: [*floor, "bare", "--backend", self._upstream]}
        async with contextlib.AsyncExitStack() as stack:

            async def start(command: list[str], settings: Mapping[str, str]) -> Measured:
                process = await stack.enter_async_context(started(command, MEASURED_CORE, settings))
                await process.wait_until_serving()
                return process

            if name in commands:
                process = await start(commands[name], {})
                yield process, [process]
                return
            models = await start(["services/models/main.py"], self._settings())
            if name == MODELS:
                yield models, [models]
                return
            sessions = await start(["services/sessions/main.py"], self._settings())
            gateway = await start(
                ["services/gateway/main.py"],
                {**self._settings(), "MODELS_ADDRESS": models.address, "SESSIONS_ADDRESS": sessions.address},
            )
            yield gateway, [gateway, models]

    def _settings(self) -> dict[str, str]:
        return {
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"http://{self._upstream}/v1",
            "ANTHROPIC_API_KEY": "",
            "MODELS_DISCOVERY": "off",
            **dict.fromkeys(("MODELS_PORT", "SESSIONS_PORT", "GATEWAY_PORT"), "0"),
            "GENAI_DATA_DIR": tempfile.mkdtemp(dir=self._directory),
            "GENAI_GRACE_SECONDS": "0",
        }

    async def _measure_streams(self, name: str, address: str, floor: float | None) -> Crowd:
        """Streams at once, each followed by another one."""
        request = Work(self._scale.tokens, PACE_MS).chat_request()
        ended: list[Call] = []
        async with connected(
            address, CHAT_STREAM, request, timeout=LONG_SECONDS, connections=CONNECTIONS, reads_status=True
        ) as connections:
            loop = asyncio.get_running_loop()

            async def twice(connection: Connection) -> None:
                for _ in range(2):
                    call = connection.call()
                    await call.ended
                    ended.append(call)

            start = loop.time()
            async with asyncio.TaskGroup() as group:
                for connection in islice(cycle(connections), self._scale.streams):
                    group.create_task(twice(connection))
            seconds = loop.time() - start
        first = [call.first_message - call.started for call in ended if call.messages]
        assert first, "no stream had a token"
        whole = sum(call.succeeded for call in ended)
        return Crowd(name, whole, seconds, percentile(first, 50), max(first), seconds / floor if floor else None)

    async def _measure_overload(self, name: str, address: str, deadline: float) -> Overload:
        async with (
            connected(address, CHAT, UNARY.chat_request(), timeout=deadline, connections=8) as connections,
            connected(address, LIST_MODELS, b"", timeout=LONG_SECONDS, connections=1) as [other],
        ):
            await _answer(connections, SETTLE_SECONDS)
            capacity = await _answer(connections, self._scale.overload_seconds / 2)
            async with _repeated(other) as others:
                calls = await _offer(connections, OVERLOAD * capacity, self._scale.overload_seconds)
        answered = [call.ended.result() - call.started for call in calls if call.messages]
        in_time = [seconds for seconds in answered if seconds <= deadline]
        refused = [call.ended.result() - call.started for call in calls if not call.messages]
        assert in_time, "nothing was answered in time"
        return Overload(
            name,
            deadline,
            capacity,
            len(in_time) / self._scale.overload_seconds,
            percentile(in_time, 99) * 1000,
            percentile(refused, 50) * 1000 if refused else 0.0,
            percentile(others, 50) * 1000,
            percentile(others, 99) * 1000,
        )

    async def _measure_idle(self, name: str, address: str, processes: Sequence[Measured]) -> Idle:
        loop = asyncio.get_running_loop()
        before, start = [process.rss_mib() for process in processes], loop.time()
        async with (
            connected(
                address, CHAT_STREAM, _idle_request(), timeout=IDLE_SECONDS, connections=CONNECTIONS
            ) as connections,
            connected(address, CHAT, UNARY.chat_request(), timeout=LONG_SECONDS, connections=1) as [other],
        ):
            streams = await self._open_idle(connections, processes[-1], is_echo=name == ECHO)
            seconds = loop.time() - start
            async with _repeated(other) as unary:
                await asyncio.sleep(2 * SETTLE_SECONDS)
            held = sum(not stream.ended.done() for stream in streams)
            grown = sum(process.rss_mib() for process in processes) - sum(before)
        return Idle(
            name, held, seconds, grown * 1024 / held, percentile(unary, 50) * 1000, percentile(unary, 99) * 1000
        )

    async def _open_idle(self, connections: Sequence[Connection], process: Measured, *, is_echo: bool) -> list[Call]:
        """Streams of which each has a connection to the provider; they are opened some hundred at a time."""
        streams: list[Call] = []
        files = _open_files(process.pid)
        async with asyncio.timeout(OPENING_SECONDS):
            for connection in islice(cycle(connections), self._scale.idle_streams):
                streams.append(connection.call())
                if len(streams) % OPENING_AT_ONCE == 0:
                    while not is_echo and _open_files(process.pid) - files < len(streams):  # noqa: ASYNC110 no event says so
                        await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(SETTLE_SECONDS)
        return streams


@contextlib.asynccontextmanager
async def _several_upstreams() -> AsyncIterator[list[str]]:
    """The addresses of mock providers: a single one gets no more connections than are left for others."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            (await stack.enter_async_context(started(["-m", "benchmarks.upstream"], LOAD_CORE))).address
            for _ in range(UPSTREAMS)
        ]


async def _register(address: str, upstreams: Sequence[str]) -> None:
    """Registers the model of the idle streams, which all upstreams serve."""
    request = models_pb2.RegisterModelRequest(
        name=CROWDED,
        endpoints=[f"http://{upstream}/v1" for upstream in upstreams],
        adapter_type="openai-compatible",
        health_check="/",
    )
    async with grpc.aio.insecure_channel(address) as channel:
        await models_pb2_grpc.ModelServiceStub(channel).RegisterModel(request, timeout=10)


def _idle_request() -> bytes:
    request = models_pb2.ChatRequest.FromString(IDLE.chat_request())
    request.model = CROWDED
    return request.SerializeToString()


async def _answer(connections: Sequence[Connection], seconds: float) -> float:
    """Calls one after the other, some at once. Returns how many were answered each second."""
    loop = asyncio.get_running_loop()
    end, answered = loop.time() + seconds, 0

    async def ask(connection: Connection) -> None:
        nonlocal answered
        while loop.time() < end:
            call = connection.call()
            await call.ended
            answered += bool(call.messages)

    await asyncio.gather(*(ask(connection) for connection in islice(cycle(connections), CAPACITY_CALLS_AT_ONCE)))
    assert answered, "nothing was answered"
    return answered / seconds


async def _offer(connections: Sequence[Connection], per_second: float, seconds: float) -> list[Call]:
    """Begins calls at a rate, however many run. Returns them when all have ended."""
    loop = asyncio.get_running_loop()
    start, turns = loop.time(), cycle(connections)
    calls: list[Call] = []
    while (elapsed := loop.time() - start) < seconds:
        calls += (next(turns).call() for _ in range(int(elapsed * per_second) - len(calls)))
        await asyncio.sleep(0.001)
    await asyncio.gather(*(call.ended for call in calls))
    return calls


@contextlib.asynccontextmanager
async def _repeated(connection: Connection) -> AsyncIterator[list[float]]:
    """Calls on a connection one after the other beside the block; yields their seconds as they come."""
    seconds: list[float] = []

    async def repeat() -> None:
        while True:
            call = connection.call()
            seconds.append(await call.ended - call.started)
            await asyncio.sleep(REPEATED_SECONDS)

    calling = asyncio.create_task(repeat())
    try:
        yield seconds
    finally:
        calling.cancel()


def _open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


async def _measure(scale: Scale, directory: Path, report: Report) -> None:
    async with started(["-m", "benchmarks.upstream"], LOAD_CORE) as upstream:
        await Benchmark(scale, upstream.address, directory, report).run()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crowds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller crowds: a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers to this file")
    arguments = parser.parse_args()
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        parser.error("the measurements need Linux (for /proc) and two cores")
    report = Report()
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory() as directory:
        scale = QUICK if arguments.quick else FULL
        run_on_loop(lambda: _measure(scale, Path(directory), report))
    print(report.as_text())
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(report), indent=2) + "\n")


if __name__ == "__main__":
    main()
