"""`genai serve`: Session Service, Model Service and Gateway, started in this order and stopped in the reverse one.

All are in the process group of the command. A signal of the terminal is for the command alone, so that the gateway
drains before what stands behind it stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import click

from genai_platform import DeregisterModelRequest, GenAIError, GenAIPlatform, ModelCapabilities, RegisterModelRequest
from genai_platform.cli.ending import EXIT_CONFIG, EXIT_FAILED, fail
from genai_platform.cli.installed import require_services
from genai_platform.cli.output import say
from genai_platform.environment import read_variable
from genai_platform.local_model import CONTEXT_TOKENS, LocalModelError, find_weights

SERVICES = {"sessions": "the Session Service", "models": "the Model Service", "gateway": "the Gateway"}
"""The services, in the order of their start."""
LOCAL_MODEL = "local-model"
TITLES = {LOCAL_MODEL: "the local model"} | SERVICES

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ANY_HOST = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 read, not bound
REPEAT_SECONDS = 0.2
"""Pause between two signals to a service, because the kernel merges those that are not yet taken."""
HEALTH_SECONDS = 10.0
"""Time after which a missing health is told of; it is still waited for."""

REGISTRATION_SECONDS = 5.0

_LISTENING = re.compile(r"listening on (\S+):(\d+)")
_LOCAL_MODEL = re.compile(r"listening on (\S+), model (\S+)")


class Ended(Exception):
    """A service has ended although nobody stopped it."""

    def __init__(self, problem: str, code: int) -> None:
        super().__init__(problem)
        self.code = code


@click.command()
@click.option("--local-model", is_flag=True, help="Also run a small model on this machine, which needs no key.")
def serve(*, local_model: bool) -> None:
    """Run Session Service, Model Service and Gateway until Ctrl-C.

    Their settings are those of the environment and of `.env`. Ctrl-C lets running calls finish for up to
    GENAI_GRACE_SECONDS; a second one cancels them. A service that ends by itself stops the others, and its exit code
    becomes that of the command, or 1; 78 says that a setting must be changed or a package installed.
    """
    require_services("serve runs")
    if local_model:
        try:
            find_weights()
        except LocalModelError as error:
            fail(str(error), EXIT_CONFIG)
    sys.exit(asyncio.run(_Platform(local_model=local_model).run()))


class _Platform:
    """The processes, and the signals that stop them."""

    def __init__(self, *, local_model: bool) -> None:
        self._has_local_model = local_model
        self._registered: LocalRegistration | None = None
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._readers: list[asyncio.Task[None]] = []
        self._environment = dict(os.environ)
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()

    async def run(self) -> int:
        """Serves until a signal comes or a service ends, and returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        try:
            await self._until_stopped(self._start_all())
            await self._until_stopped(self._first_end())
        except Ended as ended:
            self._stop.set()
            say(f"genai: {ended}; the others are stopped")
            return ended.code
        finally:
            await self._stop_all()
        return 0

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._stop_now.set()
            return
        self._stop.set()
        say("genai: stopping; running calls may finish, and are cancelled at the next Ctrl-C")

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Works until it is done or a signal comes."""
        working, stopping = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, stopping):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working

    async def _start_all(self) -> None:
        # First, so that it is stopped last, when nobody calls it any more.
        url, model = await self._start_local_model() if self._has_local_model else ("", "")
        for name in SERVICES:
            await self._start(name)
        if self._has_local_model:
            await self._register(url, model)
        say("genai: all services serve; Ctrl-C stops them")

    async def _start_local_model(self) -> tuple[str, str]:
        """Starts the local model, and returns its base URL and its name."""
        process, line = await self._spawn(LOCAL_MODEL, "genai_platform.local_model", "--stop-with-input")
        match = _LOCAL_MODEL.search(line)
        if not match:
            raise await self._end_of(LOCAL_MODEL, process, starting=True)
        self._hand_on(process, line)
        return match[1], match[2]

    async def _register(self, url: str, model: str) -> None:
        """Registers the local model, under its own name. Raises Ended."""
        # A certificate is for a name, which the owner of the platform knows.
        registration = LocalRegistration(None if _in_tls() else self._environment["GATEWAY_ADDRESS"], model)
        try:
            await asyncio.to_thread(registration.make, url)
        except GenAIError as error:
            raise Ended(f"the local model cannot be registered: {error}", EXIT_FAILED) from None
        self._registered = registration
        say(f'genai: the local model can be called: genai chat --model {model} "Hello"')

    async def _spawn(self, name: str, module: str, *arguments: str) -> tuple[asyncio.subprocess.Process, str]:
        """Starts a module as a child, and returns it with its first line, "" if it has ended."""
        process = self._processes[name] = await asyncio.create_subprocess_exec(
            sys.executable,
            # Without the current directory, in which another `services` may lie.
            *("-P", "-m", "genai_platform.cli.supervised", module, *arguments),
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        return process, (await process.stdout.readline()).decode().rstrip()

    def _hand_on(self, process: asyncio.subprocess.Process, line: str) -> None:
        """Prints the first line of a child, and what follows it."""
        assert process.stdout
        click.echo(line)
        self._readers.append(asyncio.create_task(_hand_on(process.stdout)))

    async def _start(self, name: str) -> None:
        process, line = await self._spawn(name, f"services.{name}.main")
        match = _LISTENING.search(line)
        if not match:
            raise await self._end_of(name, process, starting=True)
        host, port = ANY_HOST.get(match[1], match[1]), match[2]
        if name == "gateway":
            await self._wait_for_health(process, f"{host}:{port}")
        self._hand_on(process, line)
        variable = f"{name.upper()}_ADDRESS"
        # A certificate is for a name, which its owner knows.
        if not (_in_tls() and read_variable(variable)):
            scheme = "https://" if _in_tls() else ""
            self._environment[variable] = f"{scheme}{host}:{port}"

    async def _wait_for_health(self, process: asyncio.subprocess.Process, address: str) -> None:
        """Waits until the gateway is healthy, which it is when those behind it are. Raises Ended."""
        if _in_tls():
            # Its port may ask for a certificate that this command does not have.
            return
        healthy, ended = asyncio.create_task(_become_healthy(address)), asyncio.create_task(process.wait())
        try:
            await asyncio.wait({healthy, ended}, timeout=HEALTH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not healthy.done() and not ended.done():
                say("genai: not all services are healthy yet, which is waited for; the log says why")
                await asyncio.wait({healthy, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise await self._end_of("gateway", process, starting=True)
        finally:
            healthy.cancel()
            ended.cancel()

    async def _first_end(self) -> None:
        """Waits until a service ends. Raises Ended."""
        ends = {asyncio.create_task(process.wait()): name for name, process in self._processes.items()}
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
        name = ends[done.pop()]
        raise await self._end_of(name, self._processes[name], starting=False)

    async def _end_of(self, name: str, process: asyncio.subprocess.Process, *, starting: bool) -> Ended:
        code = await process.wait()
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        problem = f"{TITLES[name]} did not start ({how})" if starting else f"{TITLES[name]} has ended ({how})"
        if starting and code == EXIT_CONFIG and name in SERVICES:
            problem += f" for the reason above (if its port is in use: end what uses it, or set {name.upper()}_PORT)"
        return Ended(problem, code if code > 0 else EXIT_FAILED)

    async def _stop_all(self) -> None:
        if self._registered and self._processes["gateway"].returncode is None:
            await asyncio.to_thread(self._registered.take_back)
        for process in reversed(self._processes.values()):
            await self._stop_one(process)
        for reader in self._readers:
            reader.cancel()

    async def _stop_one(self, process: asyncio.subprocess.Process) -> None:
        """Lets a service drain until `_stop_now`. It takes a second signal as the end of its patience."""
        _terminate(process)
        ended, hurried = asyncio.create_task(process.wait()), asyncio.create_task(self._stop_now.wait())
        await asyncio.wait({ended, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        while not ended.done():
            _terminate(process)
            await asyncio.wait({ended}, timeout=REPEAT_SECONDS)


class LocalRegistration:
    """The registration of the local model at a gateway, None for the one of GENAI_GATEWAY_URL."""

    def __init__(self, gateway: str | None, model: str) -> None:
        self._gateway = gateway
        self._model = model

    def make(self, url: str) -> None:
        """Registers it. Raises GenAIError."""
        request = RegisterModelRequest(
            name=self._model,
            endpoint=url,
            adapter_type="openai-compatible",
            provider="llama.cpp on this machine",
            upstream_model=self._model,
            capabilities=ModelCapabilities(context_window=CONTEXT_TOKENS, supports_streaming=True),
        )
        with GenAIPlatform(self._gateway, timeout=REGISTRATION_SECONDS) as platform:
            platform.models.register_model(request)

    def take_back(self) -> None:
        """Removes it as far as possible: one that stays is replaced by the next."""
        request = DeregisterModelRequest(name=self._model)
        with (
            contextlib.suppress(GenAIError),
            GenAIPlatform(self._gateway, timeout=REGISTRATION_SECONDS, max_retries=0) as platform,
        ):
            platform.models.deregister_model(request)


def _terminate(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()


def _in_tls() -> bool:
    return bool(read_variable("GENAI_TLS_CERT_FILE"))


async def _hand_on(output: asyncio.StreamReader) -> None:
    """Prints what a service says on its standard output."""
    async for line in output:
        click.echo(line.decode().rstrip())


async def _become_healthy(address: str) -> None:
    # Here, because they come with the services.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async with grpc.aio.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
