"""Callers of the load: each makes one call for an order, waits or leaves, and puts what it got into the history."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from genai_platform import ChatChunk, ChatResponse, CreateSessionRequest
from tests.faults.history import OK, Sending
from tests.faults.orders import Order
from tests.faults.platform import Member

if TYPE_CHECKING:
    from tests.faults.load import Load


OPENAI_MODEL, ANTHROPIC_MODEL, REGISTERED_MODEL = "openai/load-1", "claude-sonnet-4-6", "load-registered"
MODELS = (OPENAI_MODEL, ANTHROPIC_MODEL, REGISTERED_MODEL)

FAULTY_DEADLINE_SECONDS = 5.0
"""The deadline of calls that are answered with silence, which need not wait so long."""
REGISTRY_DEADLINE_SECONDS = 5.0
FIRST_OUTPUT = timedelta(seconds=2)


class Conversation:
    """A session with one caller."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.turns = 0
        self.is_created = False


class Caller:
    """One call for an order, by one of the ways in which callers behave."""

    def __init__(self, load: Load, kind: str, gateway: Member, order: Order, chance: random.Random) -> None:
        self._load = load
        self._chance = chance
        self._kind = kind
        self._gateway = gateway
        self._order = order
        self._model = chance.choice(MODELS)
        self._fields: dict[str, Any] = {}
        if chance.random() < 0.3:
            self._fields["fallback_models"] = [model for model in MODELS if model != self._model][:1]
        if chance.random() < 0.5:
            self._fields["timeouts"] = {"first_output": FIRST_OUTPUT}
        self._deadline = self._draw_deadline()
        self._seconds_to_leave = chance.uniform(0.0, 1.2)
        self._tokens_to_leave = chance.randint(1, order.tokens)
        self._pause = chance.uniform(0.03, 0.1) if kind == "slow reader" else 0.0

    def _draw_deadline(self) -> float:
        if self._kind == "expired":
            return self._chance.uniform(0.05, 0.4)
        if self._order.fault in ("silent", "pings"):
            return min(FAULTY_DEADLINE_SECONDS, self._load.deadline_seconds)
        return self._load.deadline_seconds

    async def chat(self, *, stream: bool) -> None:
        await self._send(self._new_sending(stream=stream))

    async def cancel(self) -> None:
        """Cancels the call, whole or streamed, after some time."""
        sending = self._new_sending(stream=self._chance.random() < 0.5)
        task = asyncio.create_task(self._send(sending))
        await asyncio.wait({task}, timeout=self._seconds_to_leave)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def leave(self) -> None:
        """Leaves the stream by `break` after some tokens."""
        await self._send(self._new_sending(stream=True), leaves=True)

    async def repeat(self, another: Member) -> None:
        """Sends the call again under its request_id: while it runs, or after it, and by another gateway."""
        self._fields["request_id"] = f"{self._load.prefix}-{self._order.call}"
        delay = self._chance.choice((0.0, 0.3, self._load.deadline_seconds))
        first = asyncio.create_task(self._send(self._new_sending(stream=self._chance.random() < 0.5)))
        await asyncio.sleep(delay)
        self._gateway = another
        await self._send(self._new_sending(number=1, stream=self._chance.random() < 0.5))
        await first

    async def chat_in_session(self) -> None:
        """A turn in a session, which is created first if it is new."""
        conversation = self._load.borrow_conversation(self._chance)
        try:
            if not conversation.is_created:
                await self._create(conversation)
            if conversation.is_created:
                conversation.turns += 1
                self._fields["session_id"] = conversation.session_id
                stream = self._chance.random() < 0.6
                leaves = self._chance.random() < 0.1
                await self._send(self._new_sending(stream=stream), leaves=leaves and stream)
        finally:
            self._load.give_back(conversation)

    async def _create(self, conversation: Conversation) -> None:
        sending = Sending(f"{self._order.call}0", "session", REGISTRY_DEADLINE_SECONDS, time.monotonic())
        request = CreateSessionRequest(session_id=conversation.session_id)
        client = self._load.client(self._gateway)
        async with self._load.recorded(sending, self._gateway):
            await client.sessions.create_session(request, timeout=REGISTRY_DEADLINE_SECONDS)
        # One that exists was created by a call whose answer was lost.
        conversation.is_created = sending.outcome in (OK, "ALREADY_EXISTS", "SESSION_EXISTS")

    def _new_sending(self, *, stream: bool, number: int = 0) -> Sending:
        return Sending(
            self._order.call,
            self._kind,
            self._deadline,
            time.monotonic(),
            tokens=self._order.tokens,
            number=number,
            stream=stream,
            request_id=self._fields.get("request_id", ""),
            session_id=self._fields.get("session_id", ""),
        )

    async def _send(self, sending: Sending, *, leaves: bool = False) -> None:
        models = self._load.client(self._gateway).models
        prompt = self._order.prompt()
        fields = {"model": self._model, "timeout": self._deadline, **self._fields}
        async with self._load.recorded(sending, self._gateway, prompt):
            if not sending.stream:
                note_response(sending, await models.chat(prompt, **fields))
                return
            tokens = 0
            async with models.chat_stream(prompt, **fields) as stream:
                async for chunk in stream:
                    tokens += self._read(sending, chunk, tokens)
                    if leaves and tokens >= self._tokens_to_leave:
                        sending.outcome = OK if sending.finals else "LEFT"
                        break
                    if self._pause:
                        await asyncio.sleep(self._pause)

    def _read(self, sending: Sending, chunk: ChatChunk, tokens: int) -> int:
        """Adds a chunk to what the caller has, and returns the number of its tokens."""
        if sending.finals:
            sending.chunks_after_final += 1
        if chunk.token and not tokens:
            self._load.time_first_token(sending, self._order)
        sending.text += chunk.token
        if chunk.HasField("response"):
            sending.finals += 1
            note_response(sending, chunk.response)
        return chunk.token.count(";")


def note_response(sending: Sending, response: ChatResponse) -> None:
    sending.response_text = response.text
    sending.response_id = response.response_id
    sending.warnings = tuple(warning.code for warning in response.warnings)
    sending.kept = "ANSWER_NOT_KEPT" not in sending.warnings
    sending.stored = bool(sending.session_id and response.session_next_sequence)
