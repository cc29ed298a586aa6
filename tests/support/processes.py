"""Programs of this project in processes of their own: started, read, signalled, killed and waited for.

    with running("models", tmp_path, OPENAI_API_KEY="sk-test") as models:
        channel = grpc.aio.insecure_channel(models.address)
        models.send(signal.SIGTERM)
        assert models.wait() == 0

A service is forked from a process that has imported it, which takes a tenth of the time of `python -m`, with which it
is started `as_module`; so is a command of `genai`. By their paths the examples start all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from tests.support.databases import provide
from tests.support.fork_server import ROOT, Forked, fork_server

START_SECONDS = 30.0
STOP_SECONDS = 20.0
COMMAND_SECONDS = 60.0
EXIT_CONFIG = 78
LISTENING = "listening on "

INHERITED = (
    *("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
    *("GENAI_EVENT_LOOP", "GRPC_ENABLE_FORK_SUPPORT"),
)
"""The variables of this machine that programs see: none with a key, an address or a proxy in it."""


DATABASES = {
    "gateway": [],
    "models": [("models.db", "models"), ("calls.db", "calls"), ("usage.db", "ledger")],
    "sessions": [("sessions.db", "sessions")],
}
"""The SQLite files of each service, with the parts that they are of."""
OWN_DATA = ("GENAI_DATA_DIR", "DATABASE_URL")
"""How the settings end with which a service has its data elsewhere."""


class NotStarted(Exception):
    """A program does not listen. The message says what it printed and logged."""


def environment(**variables: str) -> dict[str, str]:
    """These variables, and as few as possible of this machine's. Without one that says otherwise, the Model Service has
    no port for HTTP: it would be the same one for all."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {"MODELS_HTTP_PORT": "0"} | inherited | variables


class Process:
    """A running program, with its output and its log, which is what it writes to standard error."""

    def __init__(self, child: subprocess.Popen[bytes] | Forked, output: int, log_path: Path, log_start: int) -> None:
        self.pid = child.pid
        self._child = child
        self._output = output
        self._unread = b""
        self._log_path = log_path
        self._log_start = log_start

    @classmethod
    def spawn(
        cls,
        arguments: Sequence[str],
        variables: Mapping[str, str],
        log_path: Path,
        *,
        directory: Path = ROOT,
        stdin: int = subprocess.DEVNULL,
    ) -> Self:
        """Starts `python ARGUMENTS` in the directory. The log is appended to the file."""
        output, written = os.pipe()
        with log_path.open("ab") as log, os.fdopen(written, "wb") as out:
            log_start = log.tell()
            child = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=directory,
                env=variables,
                stdin=stdin,
                stdout=out,
                stderr=log,
                # Ctrl-C is for the tests.
                process_group=0,
            )
        return cls(child, output, log_path, log_start)

    @classmethod
    def fork(
        cls,
        module: str,
        arguments: Sequence[str],
        variables: Mapping[str, str],
        log_path: Path,
        *,
        directory: Path = ROOT,
        before: str = "",
        typed: str = "",
    ) -> Self:
        """Runs the `main` of a module in a child of the fork server, after the program `before`, with an input."""
        output, written = os.pipe()
        with log_path.open("ab") as log, os.fdopen(written, "wb") as out, tempfile.TemporaryFile() as given:
            given.write(typed.encode())
            given.seek(0)
            log_start, files = log.tell(), (given.fileno(), out.fileno(), log.fileno())
            child = fork_server().start(module, arguments, directory, variables, before, files)
        return cls(child, output, log_path, log_start)

    def read_line(self, seconds: float = START_SECONDS) -> str:
        """The next line on standard output, "" at the end. Fails when none comes in time."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread and self._read(deadline):
            pass
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def read_rest(self, seconds: float = STOP_SECONDS) -> str:
        """All that is said on standard output until it is closed."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        rest, self._unread = self._unread, b""
        return rest.decode()

    def _read(self, deadline: float) -> bool:
        readable, _, _ = select.select([self._output], [], [], max(deadline - time.monotonic(), 0))
        assert readable, f"nothing was said in time; log: {self.log()}"
        data = os.read(self._output, 65536)
        self._unread += data
        return bool(data)

    def write_line(self, line: str) -> None:
        """Gives it a line of input; it must have been spawned with a pipe for it."""
        assert isinstance(self._child, subprocess.Popen)
        assert self._child.stdin
        self._child.stdin.write(f"{line}\n".encode())
        self._child.stdin.flush()

    def log(self) -> str:
        return self._log_path.read_bytes()[self._log_start :].decode(errors="replace")

    def entries(self) -> list[dict[str, Any]]:
        """The log's lines of JSON, without what libraries write beside them."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    @property
    def runs(self) -> bool:
        return self._child.poll() is None

    def send(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Waits for the end and returns the exit code. Raises subprocess.TimeoutExpired."""
        return self._child.wait(seconds)

    async def end(self, seconds: float = STOP_SECONDS) -> int:
        """The same without holding up the event loop."""
        return await asyncio.to_thread(self.wait, seconds)

    def kill(self) -> None:
        """kill -9, and the end."""
        self.send(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """Kills it if it still runs."""
        self.kill()
        os.close(self._output)
        if isinstance(self._child, subprocess.Popen) and self._child.stdin:
            self._child.stdin.close()


class Service(Process):
    """A program that serves at `address`, and has said so in its first line."""

    def __init__(self, child: subprocess.Popen[bytes] | Forked, output: int, log_path: Path, log_start: int) -> None:
        super().__init__(child, output, log_path, log_start)
        try:
            self.line = self.read_line()
            if LISTENING not in self.line:
                raise NotStarted(f"it said {self.line!r}; log: {self.log()}")
        except BaseException:
            self.close()
            raise
        self.address = self.line.partition(LISTENING)[2].split(",")[0]

    @property
    def port(self) -> str:
        return self.address.rpartition(":")[2]


class Finished(NamedTuple):
    """A program that has ended."""

    code: int
    output: str
    log: str


Kind = TypeVar("Kind", bound=Process)


def start(
    name: str,
    directory: Path,
    *arguments: str,
    as_module: bool = False,
    before: str = "",
    kind: type[Kind] = Service,
    **settings: str,
) -> Kind:
    """Starts a service in a directory of its own, with its log, an empty `.env` and, in `data`, its data.

    Settings are environment variables. Raises NotStarted.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if kind is Service and not as_module and not any(setting.endswith(OWN_DATA) for setting in settings):
        for file, part in DATABASES[name]:
            provide(directory / "data" / file, part)
    (directory / ".env").touch()
    defaults = {f"{name.upper()}_PORT": "0", "MODELS_DISCOVERY": "off", "GENAI_DATA_DIR": str(directory / "data")}
    variables, log_path = environment(**(defaults | settings)), directory / f"{name}.log"
    module = f"services.{name}.main"
    if as_module:
        return kind.spawn(["-m", module, *arguments], variables, log_path, directory=directory)
    return kind.fork(module, arguments, variables, log_path, directory=directory, before=before)


@contextlib.contextmanager
def running(name: str, directory: Path, **options: Any) -> Iterator[Service]:
    """A service for the length of a block, as `start` starts it."""
    service = start(name, directory, **options)
    try:
        yield service
    finally:
        service.close()


def run(name: str, directory: Path, *arguments: str, **options: Any) -> Finished:
    """Runs a service that is to end by itself."""
    process = start(name, directory, *arguments, kind=Process, **options)
    try:
        output = process.read_rest()
        return Finished(process.wait(), output, process.log())
    finally:
        process.close()


def run_genai(directory: Path, *arguments: str, before: str = "", typed: str = "", **variables: str) -> Finished:
    """Runs a command of `genai` in a directory, with an input, after the program `before`."""
    with tempfile.NamedTemporaryFile(prefix="genai-log-") as log:
        options = {"directory": directory, "before": before, "typed": typed}
        process = Process.fork("genai_platform.cli", arguments, environment(**variables), Path(log.name), **options)
        try:
            output = process.read_rest(COMMAND_SECONDS)
            return Finished(process.wait(), output, process.log())
        finally:
            process.close()


class Platform:
    """The three services, each of which can be stopped, killed and started again at its old port."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self._directory = directory
        self._settings = settings
        self.services: dict[str, Service] = {}

    @property
    def address(self) -> str:
        return self.services["gateway"].address

    def start(self, name: str, **options: Any) -> Service:
        """Starts a service: at any free port the first time, and at the same one from then on."""
        old = self.services.pop(name, None)
        if old:
            old.close()
            self._settings[f"{name.upper()}_PORT"] = old.port
        service = start(name, self._directory, **options, **self._settings)
        self._settings[f"{name.upper()}_ADDRESS"] = service.address
        self.services[name] = service
        return service

    def close(self) -> None:
        for service in self.services.values():
            service.close()


@contextlib.contextmanager
def running_platform(directory: Path, **settings: str) -> Iterator[Platform]:
    """All three services, in the README's order."""
    platform = Platform(directory, **settings)
    try:
        for name in ("sessions", "models", "gateway"):
            platform.start(name)
        yield platform
    finally:
        platform.close()
