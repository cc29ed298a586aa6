"""A process that has imported the services and the command `genai`, and forks a child for each start of one of them.

Imports are nearly all of the second that a service needs to start. A child is a whole process with connections,
threads and a port of its own, to be signalled, killed and waited for like any other. Nothing of gRPC runs before the
fork, which is what gRPC asks of those who fork.

A child ends as Python does, its threads waited for and its handlers run, but leaves its memory to the kernel: to free
each object would copy every page of what was imported, which takes longer than its start. Processes that are started
as modules show that a service ends in the usual way, too.

Run as a program, this is the server; `ForkServer` is its client. A request is one packet of JSON, with the files of
the child's input, output and log and a pipe, on which its exit code is told.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = (
    *("services.gateway.main", "services.models.main", "services.sessions.main"),
    "services.access.access",
    *("alembic.command", "alembic.config", "grpc._channel", "uvloop"),
    *(f"genai_platform.cli.{module.name}" for module in pkgutil.iter_modules([str(ROOT / "genai_platform" / "cli")])),
)
"""The services and the commands, and what they import once they run."""
REQUEST_BYTES = 65536


class Request(NamedTuple):
    """What a child is to be."""

    module: str
    arguments: list[str]
    directory: str
    environment: dict[str, str]
    before: str


class Forked:
    """A child of the fork server, with the methods of a subprocess.Popen."""

    def __init__(self, pid: int, ended: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = ended

    def poll(self) -> int | None:
        """The exit code, the negative number of the signal that ended it, or None as long as it runs."""
        return self._wait(0)

    def wait(self, timeout: float) -> int:
        """Waits for its end and returns the exit code. Raises subprocess.TimeoutExpired."""
        code = self._wait(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Signals it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _wait(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], seconds)[0]:
            self.returncode = int(os.read(self._ended, 16))
            os.close(self._ended)
        return self.returncode


class ForkServer:
    """The server's process and the connection to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Ctrl-C is for the tests.
                process_group=0,
            )

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        before: str,
        files: tuple[int, int, int],
    ) -> Forked:
        """Runs the `main` of a module in a child, after the program `before`. `files` are its input, output and log."""
        request = Request(module, list(arguments), str(directory), dict(environment), before)
        ended, tell = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._requests, [json.dumps(request).encode()], [*files, tell])
                pid = int(self._requests.recv(16))
        finally:
            os.close(tell)
        return Forked(pid, ended)

    def close(self) -> None:
        """Ends the server; it kills the children that still run."""
        self._requests.close()
        self._process.wait()


@functools.cache
def fork_server() -> ForkServer:
    """The fork server of this process, which ends with it."""
    server = ForkServer()
    atexit.register(server.close)
    return server


# ---------------------------------------------------------------------------------------------------- the server


class Child(NamedTuple):
    pid: int
    ended: int
    """The pipe on which the exit code is to be told."""


class End:
    """The end of this process, of which it is told when it is registered as the first of all handlers: the last run."""

    def __init__(self) -> None:
        self.code: int | None = None

    def __call__(self) -> None:
        if self.code is None:
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream and not stream.closed:
                    stream.flush()
        except OSError:
            return  # Python says so in its own way.
        os._exit(self.code)


def serve(requests: socket.socket) -> tuple[Request, list[int]]:
    """Forks for each request, and returns it, with its files, in the child."""
    children: dict[int, Child] = {}
    while True:
        ready, _, _ = select.select([requests.fileno(), *children], [], [])
        for ended in children.keys() & ready:
            reap(ended, children.pop(ended))
        if requests.fileno() not in ready:
            continue
        data, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 4)
        if not data:
            for child in children.values():
                os.kill(child.pid, signal.SIGKILL)
            sys.exit()
        pid = os.fork()
        if pid == 0:
            for ended, child in children.items():
                os.close(ended)
                os.close(child.ended)
            requests.close()
            return Request(*json.loads(data)), files
        requests.send(str(pid).encode())
        *given, tell = files
        for file in given:
            os.close(file)
        children[os.pidfd_open(pid)] = Child(pid, tell)


def reap(ended: int, child: Child) -> None:
    _, status = os.waitpid(child.pid, 0)
    os.write(child.ended, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(child.ended)
    os.close(ended)


def become(request: Request, files: list[int], by_imports: dict[str, str], end: End) -> None:
    """Makes this process as if it had been started so: with its own group, directory, variables, files and program."""
    *given, _ = files
    os.setpgid(0, 0)
    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(by_imports | request.environment)
    for number, file in enumerate(given):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    exec(request.before, {"__name__": "before"})
    module = importlib.import_module(request.module)
    sys.argv = [str(module.__file__), *request.arguments]
    try:
        module.main()
        end.code = 0
    except SystemExit as wanted:
        if isinstance(wanted.code, int | None):
            end.code = wanted.code or 0
        raise


def main() -> None:
    end = End()
    atexit.register(end)
    started_with = dict(os.environ)
    for module in IMPORTED:
        importlib.import_module(module)
    by_imports = {name: value for name, value in os.environ.items() if name not in started_with}
    # A collection in a child would go through all that was imported, and so copy its pages.
    gc.collect()
    gc.freeze()
    request, files = serve(socket.socket(fileno=int(sys.argv[1])))
    become(request, files, by_imports, end)


if __name__ == "__main__":
    main()
