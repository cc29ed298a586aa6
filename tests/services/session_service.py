"""A Session Service on a real port, over a real database, with a clock that tests set."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from proto import sessions_pb2 as pb
from proto.identity_pb2 import CallerIdentity
from proto.models_pb2 import ChatMessage
from proto.sessions_pb2_grpc import SessionServiceStub
from proto.turns_pb2_grpc import TurnServiceStub
from services.sessions.main import MIGRATIONS, SERVICE, TURN_SERVICE
from services.sessions.memories import MemoryStore
from services.sessions.servicer import SessionServicer
from services.sessions.store import TURN_LEASE_SECONDS, SessionStore
from services.sessions.turn_servicer import TurnServicer
from services.shared.database import Database
from services.shared.identity import PROCESS_CALLERS, Callers
from services.shared.logs import Log, open_log
from services.shared.message_sizes import MAX_MESSAGE_BYTES
from services.shared.rpc import service_handler
from services.shared.server import Server, running
from tests.support.callers import signed
from tests.support.databases import provide_behind
from tests.support.errors import Failure, failure_of

START = 1_800_000_000_000_000
SECOND = 1_000_000
CALL_SECONDS = 30.0


class Clock:
    """Microseconds; one later each time it is read, so that no two events are at the same time."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class Service:
    """The service and a stub that calls it over a socket."""

    def __init__(
        self, address: str, channel: grpc.aio.Channel, database: Database, store: SessionStore, clock: Clock
    ) -> None:
        self.address = address
        self.stub = SessionServiceStub(channel)
        self.turns = TurnServiceStub(channel)
        self.database = database
        self.store = store
        self.clock = clock
        self.caller: CallerIdentity | None = None

    def by(self, caller: CallerIdentity) -> Service:
        """The same service, called by this caller."""
        called = copy.copy(self)
        called.caller = caller
        return called

    async def call(self, name: str, request: Any) -> Any:
        method = getattr(self.stub, name, None) or getattr(self.turns, name)
        return await method(request, timeout=CALL_SECONDS, metadata=signed(self.caller))

    async def fail(self, name: str, request: Any) -> Failure:
        """Makes a call that must fail."""
        return await failure_of(self.call(name, request))

    async def create(self, session_id: str = "s", **fields: Any) -> pb.Session:
        session: pb.Session = await self.call("CreateSession", pb.CreateSessionRequest(session_id=session_id, **fields))
        return session

    async def append(self, *contents: str | dict[str, Any] | ChatMessage, session_id: str = "s", **fields: Any) -> Any:
        messages = [said("user", content) if isinstance(content, str) else content for content in contents]
        return await self.call(
            "AppendMessages", pb.AppendMessagesRequest(session_id=session_id, messages=messages, **fields)
        )

    async def sequences(self, session_id: str = "s") -> list[int]:
        """The sequences of all messages, page by page."""
        found: list[int] = []
        token = ""
        while True:
            page = await self.call(
                "ListMessages", pb.ListMessagesRequest(session_id=session_id, page_size=1000, page_token=token)
            )
            found += [entry.sequence for entry in page.messages]
            token = page.next_page_token
            if not token:
                return found


def said(role: str, content: str = "", **fields: Any) -> ChatMessage:
    return ChatMessage(role=role, content=content, **fields)


@contextlib.asynccontextmanager
async def served(
    database_url: str,
    *,
    lease_seconds: float = TURN_LEASE_SECONDS,
    log: Log | None = None,
    port: int = 0,
    front: Callable[[SessionServicer], object] = lambda servicer: servicer,
    callers: Callers = PROCESS_CALLERS,
) -> AsyncIterator[Service]:
    """`front` may put another servicer in front of that of the SessionService."""
    log = log or open_log("sessions", level="error", file=io.BytesIO())
    clock = Clock()
    provide_behind(database_url, "sessions")
    database = await Database.open(database_url, Path(MIGRATIONS), log)
    store = SessionStore(database, clock, lease_seconds)
    servicer = SessionServicer(store, MemoryStore(database, clock))
    handlers = [
        service_handler(front(servicer), SERVICE, log, callers=callers),
        service_handler(TurnServicer(store), TURN_SERVICE, log, callers=callers),
    ]
    server = Server(handlers, [SERVICE.full_name, TURN_SERVICE.full_name])
    address = f"127.0.0.1:{server.bind('127.0.0.1', port)}"
    try:
        async with running(server), _channel(address) as channel:
            yield Service(address, channel, database, store, clock)
    finally:
        await database.close()


def _channel(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
