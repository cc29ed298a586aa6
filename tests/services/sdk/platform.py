"""The real services in front of a provider that repeats what it was sent: for the SDK's own ways of using them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import TypeVar

from tests.scripted_upstream import Ending, Received, Script, ScriptedUpstream, event_stream, json_answer
from tests.services.gateway.gateways import gateway
from tests.services.model_service import END, completion, model_service, piece
from tests.services.session_service import served

Entry = TypeVar("Entry")

ENDLESS = "Do not stop."
"""What must be said for a stream that does not end."""


def repeat(request: Received) -> Script:
    """Answers with the texts of all messages it was sent, so that an answer tells what the model knows."""
    if request.method == "GET":
        return json_answer({"data": []})
    said = " | ".join(f"{message['role']}: {message['content']}" for message in request.json()["messages"])
    if said.endswith(ENDLESS):
        return event_stream(piece(said), ending=Ending.STALL)
    if request.json().get("stream"):
        return event_stream(piece(said[:5]), piece(said[5:]), END)
    return json_answer(completion(f"[{said}]"))


@contextlib.asynccontextmanager
async def serving_platform(directory: Path) -> AsyncIterator[str]:
    """All three services, with their data in `directory`; gives the gateway's address."""
    async with (
        ScriptedUpstream(default=repeat) as upstream,
        served(f"sqlite:///{directory / 'sessions.db'}") as sessions,
        model_service(directory, upstream, SESSIONS_ADDRESS=sessions.address) as models,
        gateway(models.address, sessions.address) as front,
    ):
        yield front.address


async def listed(entries: AsyncIterable[Entry]) -> list[Entry]:
    """All entries of an iterator, over all of its pages."""
    return [entry async for entry in entries]
