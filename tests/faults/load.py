"""A load of mixed calls, begun at a fixed rate whatever becomes of those before, with every call in the history.

Some callers wait for whole answers and some read streams, fast or slowly; some chat in sessions, some repeat a
`request_id`, and some leave: by cancelling, by `break`, or by a deadline that is too short.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from typing import Any

from genai_platform import (
    AsyncGenAIPlatform,
    GenAIError,
    GetModelStatusRequest,
    GetPromptRequest,
    ListMessagesRequest,
    RegisterModelRequest,
    RegisterPromptRequest,
)
from tests.faults.callers import (
    FAULTY_DEADLINE_SECONDS,
    MODELS,
    REGISTERED_MODEL,
    REGISTRY_DEADLINE_SECONDS,
    Caller,
    Conversation,
    note_response,
)
from tests.faults.history import OK, History, Sending, StoredTurn
from tests.faults.measure import Latencies
from tests.faults.orders import FAULTS, HEALTHY, Order
from tests.faults.platform import Member, Platform

KINDS = {
    "chat": 22,
    "stream": 22,
    "session": 15,
    "repeated": 8,
    "cancelled": 12,
    "left": 8,
    "expired": 5,
    "slow reader": 4,
    "registry": 4,
}
"""The kinds of calls, with their shares in percent. A fifth leaves: cancelled, left and expired."""

DEADLINE_SECONDS = 12.0
RECOVERY_SECONDS = 20.0
PACE_MS = 20
MAX_RUNNING = 600
"""Calls that run at a time. More would measure the machine; those that are not begun are counted."""
SESSIONS = 40
TURNS_OF_A_SESSION = 10
LAG_SECONDS = 0.05
READERS = 10
"""Sessions that are read at once at the end."""

PROMPTS = 20


class Load:
    """The load. It is begun with `run`, and its calls end by themselves."""

    def __init__(
        self,
        platform: Platform,
        history: History,
        latencies: Latencies,
        *,
        seed: int,
        calls_per_second: float,
        fault_share: float,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self.skipped = 0
        self.lag = 0.0
        """The lateness of this event loop, in seconds, the greatest of late."""
        self._platform = platform
        self._history = history
        self._latencies = latencies
        self._chance = random.Random(seed)
        self._calls_per_second = calls_per_second
        self._fault_share = fault_share
        self.deadline_seconds = deadline_seconds
        self._clients = {
            gateway.name: AsyncGenAIPlatform(gateway.address, max_retries=0) for gateway in platform.gateways
        }
        self._running: set[asyncio.Task[None]] = set()
        self._calls = 0
        self._sessions = 0
        self._free: list[Conversation] = []
        self.prefix = f"{seed:x}"

    async def prepare(self) -> None:
        """Registers what the load asks for."""
        client = self._clients["gateway"]
        await client.models.register_model(self._registration(REGISTERED_MODEL), timeout=REGISTRY_DEADLINE_SECONDS)
        for number in range(PROMPTS):
            request = RegisterPromptRequest(name=f"load/{number}", content="Answer {{what}}.")
            await client.models.register_prompt(request, timeout=REGISTRY_DEADLINE_SECONDS)

    async def run(self, seconds: float) -> None:
        """Begins calls for some time, and returns when the last one has ended."""
        watching = asyncio.create_task(self._watch_lag())
        begun = time.monotonic()
        due = 0.0
        try:
            while due < seconds:
                due += self._chance.expovariate(self._calls_per_second)
                await asyncio.sleep(max(begun + due - time.monotonic(), 0))
                self._begin()
            while self._running:
                await asyncio.wait(self._running)
        finally:
            watching.cancel()

    @property
    def running(self) -> int:
        return len(self._running)

    async def recover(self) -> float:
        """Asks every model through every gateway until all have answered, and returns the seconds that it took."""
        begun = time.monotonic()
        waiting = [(gateway, model) for gateway in self._platform.gateways for model in MODELS]
        while waiting and time.monotonic() - begun < RECOVERY_SECONDS:
            waiting = [pair for pair in waiting if not await self._answers(*pair)]
        if waiting:
            told = ", ".join(f"{model} through {gateway.name}" for gateway, model in waiting)
            self._history.note("recovery", f"no answer {RECOVERY_SECONDS:.0f} s after the last accident: {told}")
        return time.monotonic() - begun

    async def _answers(self, gateway: Member, model: str) -> bool:
        self._calls += 1
        order = Order(f"c{self._calls}", 1)
        sending = Sending(order.call, "recovery", FAULTY_DEADLINE_SECONDS, time.monotonic(), tokens=1)
        async with self.recorded(sending, gateway):
            models = self._clients[gateway.name].models
            note_response(sending, await models.chat(order.prompt(), model=model, timeout=FAULTY_DEADLINE_SECONDS))
        return sending.outcome == OK

    async def read_sessions(self) -> AsyncIterator[tuple[str, list[StoredTurn]]]:
        """What is stored in each session that was chatted in."""
        ids = iter(self._history.session_ids)
        while batch := [session_id for session_id, _ in zip(ids, range(READERS), strict=False)]:
            for session_id, turns in zip(
                batch, await asyncio.gather(*(self._read_session(session_id) for session_id in batch)), strict=True
            ):
                yield session_id, turns

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for client in self._clients.values():
            await client.close()

    # ------------------------------------------------------------------------------------------- what is drawn

    def _begin(self) -> None:
        """Begins one call of a kind that chance chooses."""
        [kind] = self._chance.choices(list(KINDS), list(KINDS.values()))
        if len(self._running) >= MAX_RUNNING:
            self.skipped += 1
            return
        self._calls += 1
        # A chance for each call: what one draws does not depend on when another one draws.
        self._start(self._work(kind, self._calls, random.Random(f"{self.prefix} {self._calls}")))

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception():
            self._history.note("load", f"the load itself failed: {task.exception()!r}")

    def _work(self, kind: str, number: int, chance: random.Random) -> Any:
        gateway = chance.choice(self._platform.gateways)
        if kind == "registry":
            return self._use_registry(gateway, number, chance)
        caller = Caller(self, kind, gateway, self._new_order(kind, number, chance), chance)
        match kind:
            case "session":
                return caller.chat_in_session()
            case "repeated":
                return caller.repeat(chance.choice(self._platform.gateways))
            case "cancelled":
                return caller.cancel()
            case "left":
                return caller.leave()
        return caller.chat(stream=kind != "chat" and (kind != "expired" or chance.random() < 0.5))

    def _new_order(self, kind: str, number: int, chance: random.Random) -> Order:
        fault, times = HEALTHY, 0
        if chance.random() < self._fault_share:
            fault, times = chance.choice(FAULTS), chance.randint(1, 3)
        # Some whole answers take a third of the time of streams, or none at all.
        pace = chance.choice((0, 2, 7)) if kind == "chat" else PACE_MS
        return Order(f"c{number}", chance.randint(20, 60), pace, fault, times)

    # ------------------------------------------------------------------------------------------- beside chats

    async def _use_registry(self, gateway: Member, number: int, chance: random.Random) -> None:
        """A call to a registry, which no provider is asked for."""
        models = self._clients[gateway.name].models
        entry = chance.randrange(PROMPTS)
        calls: list[tuple[str, Any]] = [
            ("register_model", self._registration(f"load-{entry}")),
            ("register_prompt", RegisterPromptRequest(name=f"load/{entry}", content=f"Answer {number}.")),
            ("get_prompt", GetPromptRequest(name=f"load/{entry}")),
            ("get_model_status", GetModelStatusRequest(name=REGISTERED_MODEL)),
        ]
        name, request = chance.choice(calls)
        sending = Sending(f"c{number}", "registry", REGISTRY_DEADLINE_SECONDS, time.monotonic())
        async with self.recorded(sending, gateway):
            await getattr(models, name)(request, timeout=REGISTRY_DEADLINE_SECONDS)

    def _registration(self, name: str) -> RegisterModelRequest:
        endpoint = f"http://127.0.0.1:{self._platform.providers.openai_port}/v1"
        return RegisterModelRequest(name=name, endpoint=endpoint, adapter_type="vllm", upstream_model="load-1")

    async def _read_session(self, session_id: str) -> list[StoredTurn]:
        sessions = self._clients["gateway"].sessions
        request = ListMessagesRequest(session_id=session_id, page_size=1000)
        page = await sessions.list_messages(request, timeout=30)
        contents = [entry.message.content for entry in page.messages]
        roles = [entry.message.role for entry in page.messages]
        sequences = [entry.sequence for entry in page.messages]
        if roles != ["user", "assistant"] * (len(roles) // 2) or sequences != list(range(1, len(roles) + 1)):
            self._history.note("turns", f"session {session_id} has the messages {roles} {sequences}")
        return [StoredTurn(*pair) for pair in zip(contents[0::2], contents[1::2], strict=False)]

    # ------------------------------------------------------------------------------------------- what calls share

    def client(self, gateway: Member) -> AsyncGenAIPlatform:
        return self._clients[gateway.name]

    @contextlib.asynccontextmanager
    async def recorded(self, sending: Sending, gateway: Member, prompt: str = "") -> AsyncIterator[None]:
        """Puts a call into the history: its block is the call, and its errors are the call's outcome."""
        sending.gateway = gateway.name
        self._history.start(sending)
        try:
            yield
            sending.outcome = sending.outcome or OK
        except GenAIError as error:
            sending.outcome, sending.code = error.reason, error.code().name
        except asyncio.CancelledError:
            sending.outcome = "LEFT"
        finally:
            sending.ended, sending.wall_ended = time.monotonic(), time.time()
            sending.lag = self.lag
            ways = self._platform.behind(gateway)
            sending.disturbed = any(member.is_away(sending.started, sending.ended + LAG_SECONDS) for member in ways)
            self._history.end(sending, prompt)
            if sending.outcome == OK:
                self._latencies.add(sending.kind, sending.seconds)

    def time_first_token(self, sending: Sending, order: Order) -> None:
        if order.fault == HEALTHY:
            self._latencies.add("first token", time.monotonic() - sending.started)

    def borrow_conversation(self, chance: random.Random) -> Conversation:
        """A conversation that nobody has just now."""
        if self._free and (len(self._free) >= SESSIONS or chance.random() < 0.9):
            return self._free.pop(chance.randrange(len(self._free)))
        self._sessions += 1
        return Conversation(f"load-{self.prefix}-{self._sessions}")

    def give_back(self, conversation: Conversation) -> None:
        if conversation.turns < TURNS_OF_A_SESSION:
            self._free.append(conversation)

    async def _watch_lag(self) -> None:
        """Keeps the lateness of this loop: the greatest of the last seconds."""
        recent: list[float] = []
        while True:
            before = time.monotonic()
            await asyncio.sleep(LAG_SECONDS)
            recent.append(time.monotonic() - before - LAG_SECONDS)
            recent = recent[-int(DEADLINE_SECONDS / LAG_SECONDS) :]
            self.lag = max(recent)
