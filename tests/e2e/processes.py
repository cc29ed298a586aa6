"""The platform's processes, started by the README's commands, and stopped or killed as operators and accidents do."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 20.0

CLEARED = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "GENAI_GATEWAY_URL",
    "GENAI_MODEL",
)
"""A run must depend on nobody's keys, and on no platform that happens to run on this machine."""


def clean_environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in CLEARED}
    # An empty variable also keeps a developer's own .env out.
    return {**kept, **dict.fromkeys(CLEARED, ""), **variables}


class Process:
    """A program of this project, with its output."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], log_path: Path) -> None:
        self.log_path = log_path
        with log_path.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,
            )

    def read_line(self) -> str:
        """The next line on standard output; fails when none comes in time."""
        assert self.popen.stdout
        readable, _, _ = select.select([self.popen.stdout], [], [], START_SECONDS)
        assert readable, f"nothing was said within {START_SECONDS:g} s; log: {self.log()}"
        return self.popen.stdout.readline().rstrip("\n")

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self) -> int:
        """Waits for the end and returns the exit code."""
        return self.popen.wait(STOP_SECONDS)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def close(self) -> None:
        if self.popen.poll() is None:
            self.kill()
        if self.popen.stdout:
            self.popen.stdout.close()


class Service(Process):
    """One of the three services, serving at `address`."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], log_path: Path) -> None:
        super().__init__(arguments, environment, log_path)
        self.announcement = self.read_line()
        assert "listening on " in self.announcement, f"{self.announcement!r}; log: {self.log()}"
        self.address = self.announcement.partition("listening on ")[2].split(",")[0]


class Platform:
    """The three services, each of which can be stopped, killed and started again at its old port."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._directory = directory
        self._environment = {**environment, "GENAI_DATA_DIR": str(directory / "data")}
        self.services: dict[str, Service] = {}

    @property
    def address(self) -> str:
        return self.services["gateway"].address

    def start(self, name: str, *, as_module: bool = False) -> Service:
        """Starts a service: at any free port the first time, and at the same one from then on."""
        old = self.services.get(name)
        if old:
            old.close()
        port = old.address.rpartition(":")[2] if old else "0"
        environment = {**self._environment, f"{name.upper()}_PORT": port}
        command = ["-m", f"services.{name}.main"] if as_module else [f"services/{name}/main.py"]
        service = Service(command, environment, self._directory / f"{name}.log")
        self._environment[f"{name.upper()}_ADDRESS"] = service.address
        self.services[name] = service
        return service

    def close(self) -> None:
        for service in self.services.values():
            service.close()


@contextmanager
def running_platform(directory: Path, *, as_modules: bool = False, **variables: str) -> Iterator[Platform]:
    """All three services, in the README's order."""
    platform = Platform(directory, clean_environment(**variables))
    try:
        for name in ("sessions", "models", "gateway"):
            platform.start(name, as_module=as_modules)
        yield platform
    finally:
        platform.close()
