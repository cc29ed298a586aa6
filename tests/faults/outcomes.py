"""Outcomes of chats as their callers see them: the tokens that came, and the response or the error; and the memory that
they cost."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from proto import models_pb2, models_pb2_grpc
from tests.scripted_upstream import Received
from tests.services.model_service import chat_request
from tests.support.errors import Failure, explain

CLOSE_SECONDS = 1.0
"""Time within which the provider's connection is closed once its answer is of no use."""

VERBS = ("Chat", "ChatStream")


@dataclass
class Outcome:
    """The end of a call. Exactly one of `response` and `failure` is there."""

    seconds: float
    tokens: list[str] = field(default_factory=list)
    response: models_pb2.ChatResponse | None = None
    failure: Failure | None = None

    @property
    def answer(self) -> models_pb2.ChatResponse:
        """The response of a call that succeeded."""
        assert self.response, self.failure
        return self.response

    @property
    def error(self) -> Failure:
        """The error of a call that failed."""
        assert self.failure, self.response
        return self.failure

    @property
    def attempts(self) -> list[str]:
        """The outcomes of all attempts, in their order."""
        if self.response:
            return [attempt.outcome for attempt in self.response.attempts]
        return [attempt["outcome"] for attempt in json.loads(self.error.metadata["attempts"])]


async def ask(
    stub: models_pb2_grpc.ModelServiceStub, verb: str = "ChatStream", *, timeout: float | None = 20.0, **fields: Any
) -> Outcome:
    """A chat, read to its end. A stream that ends well must have its response in the last chunk, and only there."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcome = Outcome(0.0)
    request = chat_request(**fields)
    try:
        if verb == "Chat":
            outcome.response = await stub.Chat(request, timeout=timeout)
        else:
            async for chunk in stub.ChatStream(request, timeout=timeout):
                assert outcome.response is None, "a chunk came behind the last one"
                if chunk.token:
                    outcome.tokens.append(chunk.token)
                if chunk.HasField("response"):
                    outcome.response = chunk.response
            assert outcome.response is not None, "OK without a last chunk"
    except grpc.aio.AioRpcError as error:
        assert outcome.response is None, "an error behind a whole answer"
        outcome.failure = explain(error)
    outcome.seconds = loop.time() - began
    return outcome


async def assert_closed(request: Received, since: float) -> None:
    """Fails unless the connection of a request is closed by the platform within a second."""
    assert await request.closed_by_peer(CLOSE_SECONDS + 1) - since < CLOSE_SECONDS


def clocks(**seconds: float) -> models_pb2.Timeouts:
    """The timeouts of a request."""
    return models_pb2.Timeouts(**{clock: datetime.timedelta(seconds=value) for clock, value in seconds.items()})


def resident(pid: int, field: str) -> int:
    """The memory of a process, or the most that it had since its peak was reset, in bytes."""
    [kibibytes] = re.findall(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kibibytes) * 1024
