"""A service that is killed and started again, many times, without the second or more that imports take each time.

Run as a program, this imports a service and then, for each line of input, forks a child that runs it: a whole process
with connections, threads and a port of its own, to be killed like any other. Nothing of gRPC runs before the fork,
which is what gRPC asks of those who fork.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.e2e.processes import ROOT, START_SECONDS


class Restarts:
    """One service: running after `start`, gone after `kill`."""

    def __init__(self, launcher: asyncio.subprocess.Process) -> None:
        self._launcher = launcher
        self._child = 0

    async def start(self) -> str:
        """Starts the service and returns its address."""
        assert self._launcher.stdin
        self._launcher.stdin.write(b"start\n")
        self._child = int((await self._read_line()).removeprefix("child "))
        announcement = await self._read_line()
        assert "listening on " in announcement, announcement
        return announcement.partition("listening on ")[2].split(",")[0]

    async def kill(self) -> None:
        """kill -9, and the end."""
        os.kill(self._child, signal.SIGKILL)
        assert await self._read_line() == "ended"

    async def _read_line(self) -> str:
        assert self._launcher.stdout
        async with asyncio.timeout(START_SECONDS):
            return (await self._launcher.stdout.readline()).decode().rstrip("\n")


@contextlib.asynccontextmanager
async def restarts(service: str, environment: dict[str, str], log_path: Path) -> AsyncIterator[Restarts]:
    with log_path.open("ab") as log:
        launcher = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.e2e.restarts", service),
            cwd=ROOT,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Restarts(launcher)
    finally:
        os.killpg(launcher.pid, signal.SIGKILL)
        await launcher.communicate()


def launch(service: str) -> None:
    module = importlib.import_module(f"services.{service}.main")
    sys.argv = [service]
    while sys.stdin.readline():
        child = os.fork()
        if child == 0:
            module.main()
            return
        print(f"child {child}", flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    launch(sys.argv[1])
