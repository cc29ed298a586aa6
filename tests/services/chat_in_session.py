"""A Model Service, or two of them, that chat in the sessions of a real Session Service before a scripted provider.

async with platform(tmp_path, upstream) as p:
    await p.create()
    upstream.play(json_answer(completion("Hi.")))
    response = await p.models.Chat(chat_request(session_id="s"))
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proto import models_pb2, models_pb2_grpc
from proto import sessions_pb2 as pb
from services.sessions.servicer import SessionServicer
from services.sessions.store import TURN_LEASE_SECONDS
from services.shared.logs import open_log
from tests.scripted_upstream import ScriptedUpstream
from tests.services.log_file import LogFile
from tests.services.model_service import chat_request, model_service
from tests.services.session_service import Service, served

SESSION = "s"
Stub = models_pb2_grpc.ModelServiceStub


@dataclass
class Platform:
    """The services of one test."""

    models: Stub
    address: str
    """The address of the Model Service."""
    sessions: Service
    session_log: LogFile
    another: Stub | None
    """Another Model Service that knows the same Session Service."""

    @property
    def replica(self) -> Stub:
        assert self.another, "only where the platform is replicated"
        return self.another

    async def history(self) -> list[models_pb2.ChatMessage]:
        """All messages of the session."""
        page = await self.sessions.call("ListMessages", pb.ListMessagesRequest(session_id=SESSION, page_size=1000))
        return [entry.message for entry in page.messages]


def turn(text: str = "Hello!", model: str = "gpt-5.4", **fields: Any) -> models_pb2.ChatRequest:
    """A chat in the session."""
    return chat_request(model, text, session_id=SESSION, **fields)


async def chat(stub: Stub, request: models_pb2.ChatRequest, verb: str, **options: Any) -> models_pb2.ChatResponse:
    """The response, whichever verb brings it."""
    if verb == "Chat":
        response: models_pb2.ChatResponse = await stub.Chat(request, **options)
        return response
    chunks = [chunk async for chunk in stub.ChatStream(request, **options)]
    last: models_pb2.ChatResponse = chunks[-1].response
    return last


@contextlib.asynccontextmanager
async def platform(
    directory: Path,
    upstream: ScriptedUpstream,
    database_url: str = "",
    *,
    replicated: bool = False,
    lease_seconds: float = TURN_LEASE_SECONDS,
    front: Callable[[SessionServicer], object] = lambda servicer: servicer,
    **options: Any,
) -> AsyncIterator[Platform]:
    """The services, and a session `s` of the user `ann`; two Model Services if they are to be `replicated`.

    `front` may stand before the Session Service's servicer.
    """
    url = database_url or f"sqlite:///{directory}/sessions.db"
    session_log = LogFile()
    log = open_log("sessions", file=session_log)
    async with served(url, lease_seconds=lease_seconds, log=log, front=front) as sessions:
        await sessions.create(SESSION, user_id="ann")
        there: dict[str, Any] = {"SESSIONS_ADDRESS": sessions.address, **options}
        async with contextlib.AsyncExitStack() as stack:
            services = [
                await stack.enter_async_context(model_service(directory / name, upstream, **there))
                for name in (("one", "two") if replicated else ("one",))
            ]
            another = services[1].stub if replicated else None
            yield Platform(services[0].stub, services[0].address, sessions, session_log, another)
