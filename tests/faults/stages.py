"""Stages of a chat, at each of which its caller may leave: a chat that is held there, in front of real services."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from services.models.main import SERVICE
from services.models.prompts import memory
from services.models.prompts.rows import read_version
from services.shared.intake import COPIES, PROCESS_INTAKE, SLOTS
from services.shared.logs import open_log
from tests.faults.outcomes import clocks
from tests.scripted_upstream import Ending, ScriptedUpstream, event_stream, no_answer
from tests.services.chat_in_session import Platform, platform, turn
from tests.services.log_file import LogFile
from tests.services.model_service import ModelService, chat_request, model_service, piece
from tests.services.vendor_answers import answered_in_any_dialect

REACH_SECONDS = 10.0
CONNECTING = "02"
"""The state of a socket in /proc/net/tcp that has asked for a connection and has no answer."""


@dataclass
class Gate:
    """A place that calls reach, and pass once it is open."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        self.reached.set()
        await self.open.wait()

    def before(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """The call, behind the gate."""

        async def gated(*arguments: Any, **keywords: Any) -> Any:
            await self.wait()
            return await call(*arguments, **keywords)

        return gated

    def behind(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """The call, whose result is held at the gate."""

        async def gated(*arguments: Any, **keywords: Any) -> Any:
            result = await call(*arguments, **keywords)
            await self.wait()
            return result

        return gated


@dataclass
class Held:
    """A chat that will be held at a stage, for as long as its context is entered."""

    address: str
    """The address of the Model Service."""
    log: LogFile
    """The log of the Model Service."""
    request: models_pb2.ChatRequest
    reach: Callable[[], Awaitable[object]]
    """Returns when the chat is there."""
    upstream: ScriptedUpstream
    release: Callable[[], object] = lambda: None
    """Ends the hold for other calls, once the caller has left."""
    next_request: models_pb2.ChatRequest = field(default_factory=chat_request)
    """A chat that must be answered afterwards."""
    closed: Callable[[], Awaitable[object]] | None = None
    """Returns when the connection to the provider is closed; None if there never was one."""


@contextlib.asynccontextmanager
async def _service(directory: Path, **settings: Any) -> AsyncIterator[tuple[ModelService, LogFile, ScriptedUpstream]]:
    log = LogFile()
    async with (
        ScriptedUpstream(default=answered_in_any_dialect) as upstream,
        model_service(directory, upstream, log=open_log("models", file=log), **settings) as service,
    ):
        yield service, log, upstream


@contextlib.asynccontextmanager
async def _platform(directory: Path) -> AsyncIterator[tuple[Platform, LogFile, ScriptedUpstream]]:
    log = LogFile()
    async with (
        ScriptedUpstream(default=answered_in_any_dialect) as upstream,
        platform(directory, upstream, log=open_log("models", file=log)) as services,
    ):
        yield services, log, upstream


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(REACH_SECONDS):
        while not condition():  # noqa: ASYNC110 neither the kernel nor the intake sends a notification
            await asyncio.sleep(0.005)


# --------------------------------------------------------------------------------------------- before the provider


@contextlib.asynccontextmanager
async def waiting_for_its_turn(directory: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    """All places of the intake are taken by requests that do not come."""
    async with (
        _service(directory) as (service, log, upstream),
        grpc.aio.insecure_channel(service.address, options=[("grpc.use_local_subchannel_pool", 1)]) as other,
    ):
        incomplete = [other.stream_unary(f"/{SERVICE.full_name}/Chat")() for _ in range(SLOTS)]
        await _until(lambda: len(PROCESS_INTAKE._receptions) == SLOTS)

        def release() -> None:
            for call in incomplete:
                call.cancel()

        yield Held(
            service.address,
            log,
            chat_request(),
            lambda: _until(lambda: bool(PROCESS_INTAKE._waiting)),
            upstream,
            release,
        )


@contextlib.asynccontextmanager
async def waiting_for_memory(directory: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    """A large request, while others have all the memory for these."""
    large = chat_request(text="x" * 200_000)
    free = PROCESS_INTAKE.memory.free_bytes
    async with _service(directory) as (service, log, upstream):
        PROCESS_INTAKE.memory.take_now("others", free - COPIES * 100_000)
        yield Held(
            service.address,
            log,
            large,
            lambda: _until(lambda: PROCESS_INTAKE.memory.has_waiters),
            upstream,
            lambda: PROCESS_INTAKE.memory.release("others", free - COPIES * 100_000),
            large,
        )
    assert PROCESS_INTAKE.memory.free_bytes == free


@contextlib.asynccontextmanager
async def reading_the_prompt(directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    """An old version of a prompt, which is read from the database."""
    gate = Gate()
    async with _service(directory) as (service, log, upstream):
        for content in ("first", "second"):
            await service.stub.RegisterPrompt(models_pb2.RegisterPromptRequest(name="p", content=content))
        monkeypatch.setattr(f"{memory.__name__}.read_version", gate.before(read_version))
        request = chat_request(prompt=models_pb2.PromptRef(name="p", version=1))
        yield Held(service.address, log, request, gate.reached.wait, upstream, gate.open.set, request)


@contextlib.asynccontextmanager
async def reading_the_session(directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    """The Session Service has begun a turn, and does not answer."""
    gate = Gate()
    async with _platform(directory) as (services, log, upstream):
        store = services.sessions.store
        monkeypatch.setattr(store, "begin_turn", gate.behind(store.begin_turn))
        yield Held(services.address, log, turn(), gate.reached.wait, upstream, gate.open.set, turn())


# -------------------------------------------------------------------------------------------------- at the provider


@contextlib.contextmanager
def full_address() -> Iterator[str]:
    """An address where connections are neither accepted nor refused: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(2):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        yield f"127.0.0.1:{full.getsockname()[1]}"


def connecting_to(address: str) -> int:
    """The number of sockets on this machine that wait for a connection to an address of it."""
    port = f"{int(address.rpartition(':')[2]):04X}"
    sockets = Path("/proc/net/tcp").read_text()
    return len(re.findall(rf": [0-9A-F]{{8}}:[0-9A-F]{{4}} [0-9A-F]{{8}}:{port} {CONNECTING} ", sockets))


@contextlib.asynccontextmanager
async def connecting(directory: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    """The provider does not accept the connection."""
    with full_address() as address:
        others = connecting_to(address)
        async with _service(directory, OPENAI_BASE_URL=f"http://{address}") as (service, log, upstream):
            yield Held(
                service.address,
                log,
                chat_request(timeouts=clocks(connect=60)),
                lambda: _until(lambda: connecting_to(address) > others),
                upstream,
                next_request=chat_request("claude-opus-4-5"),
                closed=lambda: _until(lambda: connecting_to(address) == others),
            )


@contextlib.asynccontextmanager
async def awaiting_the_first_token(directory: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    """The provider is silent."""
    async with _service(directory) as (service, log, upstream):
        upstream.play(no_answer())
        yield Held(
            service.address,
            log,
            chat_request(),
            lambda: upstream.received(1),
            upstream,
            closed=lambda: upstream.requests[0].closed_by_peer(),
        )


@contextlib.asynccontextmanager
async def in_mid_stream(directory: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    """The provider is silent behind a token."""
    async with _service(directory) as (service, log, upstream):
        sent = asyncio.Event()
        sent.set()
        upstream.play(event_stream(piece("a"), sent, ending=Ending.STALL))

        async def reach() -> None:
            request = await upstream.received(1)
            await _until(lambda: request.generated > 0)

        yield Held(
            service.address,
            log,
            chat_request(),
            reach,
            upstream,
            closed=lambda: upstream.requests[0].closed_by_peer(),
        )


@contextlib.asynccontextmanager
async def storing_the_turn(directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    """The Session Service does not answer the append of a whole answer, which is stored although nobody waits."""
    gate = Gate()
    async with _platform(directory) as (services, log, upstream):
        store = services.sessions.store
        monkeypatch.setattr(store, "append", gate.before(store.append))
        yield Held(services.address, log, turn(), gate.reached.wait, upstream, gate.open.set, turn("And?"))
        contents = [message.content for message in await services.history()]
        assert contents == ["Hello!", "Hi.", "And?", "Hi."]


Stage = Callable[[Path, pytest.MonkeyPatch], contextlib.AbstractAsyncContextManager[Held]]

OF_THE_INTAKE: tuple[Stage, ...] = (waiting_for_its_turn, waiting_for_memory)
"""The stages at which other chats of the process wait, too."""
LATER: tuple[Stage, ...] = (
    reading_the_prompt,
    reading_the_session,
    connecting,
    awaiting_the_first_token,
    in_mid_stream,
    storing_the_turn,
)
