"""The measured processes: started on a core of their own, read from /proc, and always stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.processes import NotStarted, Service

MEASURED_CORE = 0
LOAD_CORE = 1

START_SECONDS = 20.0
STOP_SECONDS = 5.0
JOB_SECONDS = 600.0


@dataclass(frozen=True)
class Tree:
    """A running process and its children."""

    pid: int

    def cpu_seconds(self) -> float:
        """What they have used of any core, in user and kernel mode."""
        return sum(time.clock_gettime(_cpu_clock(pid)) for pid in _tree(self.pid))

    def rss_mib(self) -> float:
        """What they hold in memory now."""
        return sum(_resident_kib(pid) for pid in _tree(self.pid)) / 1024


class Measured(Service):
    """A running child."""

    def __init__(self, *started: Any) -> None:
        self._began = time.perf_counter()
        super().__init__(*started)

    def cpu_seconds(self) -> float:
        """What it and its children have used of any core, in user and kernel mode."""
        return Tree(self.pid).cpu_seconds()

    def rss_mib(self) -> float:
        """What it and its children hold in memory now."""
        return Tree(self.pid).rss_mib()

    async def wait_until_serving(self) -> float:
        """Waits for SERVING and returns the seconds since the start of the process."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return time.perf_counter() - self._began
                if time.perf_counter() - self._began > START_SECONDS:
                    raise NotStarted(f"{self.address} is not SERVING within {START_SECONDS:.0f} s")
                await asyncio.sleep(0.005)

    async def do(self, line: str) -> None:
        """Gives it a line of input and waits for a line of output."""
        self.write_line(line)
        answer = await asyncio.to_thread(self.read_line, JOB_SECONDS)
        assert answer == "done", f"{line} was answered {answer!r}"


@contextlib.asynccontextmanager
async def started(
    arguments: list[str], core: int, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Measured]:
    """`python` with these arguments on this core, from the line that says where it listens until the block ends."""
    with tempfile.TemporaryDirectory() as directory:
        with on_core(core):
            # The default is one port, for which several services would contend.
            variables = {"MODELS_HTTP_PORT": "0", **os.environ, **(settings or {})}
            child = Measured.spawn(arguments, variables, Path(directory) / "log", stdin=subprocess.PIPE)
        try:
            yield child
            await _stop(child)
        finally:
            child.close()


async def _stop(child: Measured) -> None:
    child.send(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        await child.end(STOP_SECONDS)


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """A child inherits the core of the thread that forks it."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                yield from _tree(int(child))


def _cpu_clock(pid: int) -> int:
    """The clock of the user and system time of another process, of all its threads: clock_getcpuclockid(3)."""
    return (~pid << 3) | 2


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(match[1]) if match else 0
