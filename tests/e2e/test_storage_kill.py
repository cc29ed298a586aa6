"""kill -9 in the middle of writes: every acknowledged write is there afterwards, none is torn, no number is skipped.

One round for each service and database by default; GENAI_TEST_KILL_ROUNDS=200 makes it 200.
A round lets several clients write at once, kills the service's process at a random moment, starts it again, and looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from pathlib import Path

import grpc
import pytest

from proto import models_pb2, sessions_pb2
from proto.models_pb2_grpc import ModelServiceStub
from proto.sessions_pb2_grpc import SessionServiceStub
from tests.support.processes import Service, running

ROUNDS = int(os.environ.get("GENAI_TEST_KILL_ROUNDS", "1"))
WRITERS = 8
TARGETS = 2
"""How many sessions, or prompts, the writers of one round share."""

LATEST_KILL_SECONDS = 0.4
CALL_SECONDS = 20.0
ROUND_SECONDS = 60.0

_chance = random.Random()


class Workload(ABC):
    """What clients write into a service, and what they were told is stored."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.first = asyncio.Event()

    def acknowledge(self) -> None:
        self.acknowledged += 1
        self.first.set()

    @abstractmethod
    async def prepare(self, channel: grpc.aio.Channel, round_number: int) -> None:
        """Makes what the writers of a round write into."""

    @abstractmethod
    async def write(self, channel: grpc.aio.Channel, round_number: int, writer: int, number: int) -> None:
        """One write after the other, until one fails."""

    @abstractmethod
    async def verify(self, channel: grpc.aio.Channel, round_number: int) -> None:
        """Asserts that what a round has written is whole."""


class Appends(Workload):
    """Pairs of messages into shared sessions, and counters into the memory of users."""

    def __init__(self) -> None:
        super().__init__()
        self._sequences: dict[str, dict[str, int]] = defaultdict(dict)
        """By session and text: the sequence that was answered for the first message of a pair."""
        self._unanswered: dict[str, set[str]] = defaultdict(set)
        self._counts: Counter[str] = Counter()
        self.repeated = 0

    async def prepare(self, channel: grpc.aio.Channel, round_number: int) -> None:
        stub = SessionServiceStub(channel)
        for target in range(TARGETS):
            request = sessions_pb2.CreateSessionRequest(session_id=f"{round_number}-{target}")
            await stub.CreateSession(request, timeout=CALL_SECONDS)

    async def write(self, channel: grpc.aio.Channel, round_number: int, writer: int, number: int) -> None:
        session, text = f"{round_number}-{number % TARGETS}", f"{writer} {number}"
        self._unanswered[session].add(text)
        await self._append(channel, session, text)
        user = f"user {writer}"
        request = sessions_pb2.PutMemoryRequest(user_id=user, key="count", value_json=str(self._counts[user] + 1))
        await SessionServiceStub(channel).PutMemory(request, timeout=CALL_SECONDS)
        self._counts[user] += 1
        self.acknowledge()

    async def verify(self, channel: grpc.aio.Channel, round_number: int) -> None:
        for session in (f"{round_number}-{target}" for target in range(TARGETS)):
            # Who was not answered asks again, and the answer is as good as the first would have been.
            for text in sorted(self._unanswered[session]):
                await self._append(channel, session, text)
                self.repeated += 1
            stored = await self._list(channel, session)
            assert [entry.sequence for entry in stored] == list(range(1, len(stored) + 1))
            texts = [entry.message.content for entry in stored]
            assert texts[0::2] == texts[1::2]
            assert {text: 2 * index + 1 for index, text in enumerate(texts[0::2])} == self._sequences[session]
            assert len(texts) == 2 * len(self._sequences[session])
        for user, count in self._counts.items():
            request = sessions_pb2.ListMemoriesRequest(user_id=user)
            (memory,) = (await SessionServiceStub(channel).ListMemories(request, timeout=CALL_SECONDS)).memories
            # One that was stored may not have been answered.
            assert int(memory.value_json) in (count, count + 1)
            self._counts[user] = int(memory.value_json)

    async def _append(self, channel: grpc.aio.Channel, session: str, text: str) -> None:
        message = models_pb2.ChatMessage(role="user", content=text)
        request = sessions_pb2.AppendMessagesRequest(session_id=session, messages=[message] * 2, request_id=text)
        answer = await SessionServiceStub(channel).AppendMessages(request, timeout=CALL_SECONDS)
        self._sequences[session][text] = answer.messages[0].sequence
        self._unanswered[session].discard(text)
        self.acknowledge()

    async def _list(self, channel: grpc.aio.Channel, session: str) -> list[sessions_pb2.SessionMessage]:
        found: list[sessions_pb2.SessionMessage] = []
        token = ""
        while True:
            request = sessions_pb2.ListMessagesRequest(session_id=session, page_size=1000, page_token=token)
            page = await SessionServiceStub(channel).ListMessages(request, timeout=CALL_SECONDS)
            found += page.messages
            token = page.next_page_token
            if not token:
                return found


class Registrations(Workload):
    """Versions of shared prompts, and one model for each writer that is registered again and again."""

    def __init__(self) -> None:
        super().__init__()
        self._versions: dict[str, dict[int, str]] = defaultdict(dict)
        self._attempted: dict[str, set[str]] = defaultdict(set)
        self._models: Counter[str] = Counter()

    async def prepare(self, channel: grpc.aio.Channel, round_number: int) -> None:
        """Registering makes a prompt."""

    async def write(self, channel: grpc.aio.Channel, round_number: int, writer: int, number: int) -> None:
        stub = ModelServiceStub(channel)
        name, content = f"{round_number}-{number % TARGETS}", f"{writer} {number}"
        self._attempted[name].add(content)
        request = models_pb2.RegisterPromptRequest(name=name, content=content)
        answer = await stub.RegisterPrompt(request, timeout=CALL_SECONDS)
        assert self._versions[name].setdefault(answer.version, content) == content
        self.acknowledge()
        model = f"model-{writer}"
        await stub.RegisterModel(definition(model, self._models[model] + 1), timeout=CALL_SECONDS)
        self._models[model] += 1
        self.acknowledge()

    async def verify(self, channel: grpc.aio.Channel, round_number: int) -> None:
        stub = ModelServiceStub(channel)
        for name in (f"{round_number}-{target}" for target in range(TARGETS)):
            if not self._versions[name]:
                continue
            stored = {prompt.version: prompt.content for prompt in await self._list(channel, name)}
            assert sorted(stored) == list(range(1, len(stored) + 1))
            assert self._versions[name].items() <= stored.items()
            assert len(set(stored.values())) == len(stored)
            assert set(stored.values()) <= self._attempted[name]
        request = models_pb2.ListRegisteredModelsRequest(page_size=1000)
        listed = (await stub.ListRegisteredModels(request, timeout=CALL_SECONDS)).models
        stored_models = {model.name: int(model.upstream_model) for model in listed}
        for model, number in self._models.items():
            assert stored_models[model] in (number, number + 1)
            self._models[model] = stored_models[model]

    async def _list(self, channel: grpc.aio.Channel, name: str) -> list[models_pb2.Prompt]:
        found: list[models_pb2.Prompt] = []
        token = ""
        while True:
            request = models_pb2.ListPromptVersionsRequest(name=name, page_size=1000, page_token=token)
            page = await ModelServiceStub(channel).ListPromptVersions(request, timeout=CALL_SECONDS)
            found += page.prompts
            token = page.next_page_token
            if not token:
                return found


def definition(name: str, number: int) -> models_pb2.RegisterModelRequest:
    """A model on a port where nobody is; its number stands for its content."""
    return models_pb2.RegisterModelRequest(
        name=name,
        endpoint="http://127.0.0.1:9/v1",
        adapter_type="openai-compatible",
        upstream_model=str(number),
    )


async def write_until_killed(
    workload: Workload, service: Service, channel: grpc.aio.Channel, round_number: int
) -> None:
    workload.first.clear()

    async def write(writer: int) -> None:
        number = 0
        with contextlib.suppress(grpc.aio.AioRpcError):
            while True:
                await workload.write(channel, round_number, writer, number)
                number += 1

    async def kill() -> None:
        await workload.first.wait()
        await asyncio.sleep(_chance.uniform(0, LATEST_KILL_SECONDS))
        await asyncio.to_thread(service.kill)

    async with asyncio.timeout(ROUND_SECONDS):
        await asyncio.gather(kill(), *(write(writer) for writer in range(WRITERS)))


@pytest.mark.parametrize(("name", "kind"), [("sessions", Appends), ("models", Registrations)])
async def test_acknowledged_writes_survive_kill_9(
    name: str, kind: type[Workload], database_url: str, tmp_path: Path
) -> None:
    workload = kind()
    settings = {f"{name.upper()}_DATABASE_URL": database_url, "GENAI_LOG_LEVEL": "error"}
    for round_number in range(ROUNDS):
        with running(name, tmp_path, **settings) as service:
            async with grpc.aio.insecure_channel(service.address) as channel:
                if round_number > 0:
                    await workload.verify(channel, round_number - 1)
                await workload.prepare(channel, round_number)
                await write_until_killed(workload, service, channel, round_number)
    with running(name, tmp_path, **settings) as service:
        async with grpc.aio.insecure_channel(service.address) as channel:
            for round_number in range(ROUNDS):
                await workload.verify(channel, round_number)
    print(f"{name}: {ROUNDS} kills, {workload.acknowledged} acknowledged writes, all present")
    assert workload.acknowledged >= ROUNDS
