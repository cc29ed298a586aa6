"""Processes that are started late, stopped, killed and started again under load: what callers notice, and how long.

The load is small: it is to meet the moments of a restart, not to measure anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from genai_platform import (
    AsyncGenAIPlatform,
    ChatRequest,
    ChatResponse,
    CreateSessionRequest,
    GenAIError,
    GenAIPlatform,
    ListMessagesRequest,
    Unavailable,
)
from genai_platform.streams import AsyncChatStream
from services.shared.health import SERVING
from tests.rows import row
from tests.scripted_upstream import Pause, Received, Script, ScriptedUpstream, event, event_stream, json_answer
from tests.services.gateway.gateways import open_channel, refusing_address
from tests.support.processes import Service, running_platform, start

RECOVERY_SECONDS = 2.0
"""Of a busy machine: it is within one second of the process serving again."""


class Provider(ScriptedUpstream):
    """A provider that answers `pong` after a moment; streams to `wait` stop in their middle until the gate is open."""

    def __init__(self) -> None:
        super().__init__(default=self._answer)
        self.gate = asyncio.Event()

    @property
    def settings(self) -> dict[str, str]:
        return {"OPENAI_API_KEY": "sk-e2e", "OPENAI_BASE_URL": f"{self.url}/v1"}

    def _answer(self, request: Received) -> Script:
        body = request.json()
        if body.get("stream"):
            middle = self.gate if body["messages"][-1]["content"] == "wait" else Pause(0.01)
            return event_stream(_delta("po"), middle, _delta("ng"), *_ENDING)
        message = {"role": "assistant", "content": "pong"}
        return json_answer({"choices": [{"message": message, "finish_reason": "stop"}]}, before=[Pause(0.02)])


def _delta(text: str) -> str:
    return event({"choices": [{"delta": {"content": text}}]})


_ENDING = (event({"choices": [{"delta": {}, "finish_reason": "stop"}]}), event("[DONE]"))


class Replicas:
    """Services of one kind, each of which is stopped and started again at its port."""

    def __init__(self, name: str, directory: Path, settings: dict[str, str]) -> None:
        self._name = name
        self._directory = directory
        self._settings = settings
        self.all: list[Service] = []

    @property
    def addresses(self) -> str:
        return ",".join(replica.address for replica in self.all)

    def start(self, number: int, port: str = "0") -> Service:
        settings = self._settings | {f"{self._name.upper()}_PORT": port}
        return start(self._name, self._directory / f"{self._name}-{number}", **settings)

    def start_again(self, number: int) -> None:
        self.all[number].close()
        self.all[number] = self.start(number, self.all[number].port)

    async def stop(self, number: int) -> None:
        assert await self.all[number].end() == 0

    def close(self) -> None:
        for replica in self.all:
            replica.close()


@contextlib.contextmanager
def replicas(name: str, directory: Path, count: int, **settings: str) -> Iterator[Replicas]:
    found = Replicas(name, directory, settings)
    try:
        for number in range(count):
            found.all.append(found.start(number))
        yield found
    finally:
        found.close()


class Load:
    """Some callers who call again and again, with a pause; each call is counted by its result: OK or the reason of its
    error."""

    def __init__(self, call: Callable[[], Awaitable[object]], callers: int) -> None:
        self.results: Counter[str] = Counter()
        self._call = call
        self._callers = callers
        self._ends = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """For the length of a block, after which all calls have ended."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._callers):
                tasks.create_task(self._call_on())
            yield
            self._ends = True

    async def _call_on(self) -> None:
        while not self._ends:
            try:
                await self._call()
            except GenAIError as error:
                self.results[error.reason] += 1
            else:
                self.results["OK"] += 1
            await asyncio.sleep(0.05)


async def chat(platform: AsyncGenAIPlatform) -> ChatResponse:
    return await platform.models.chat("ping", model="gpt-4o")


async def stream(platform: AsyncGenAIPlatform) -> str:
    return "".join([chunk.token async for chunk in platform.models.chat_stream("ping", model="gpt-4o")])


async def begun_stream(platform: AsyncGenAIPlatform) -> AsyncChatStream:
    """A stream in its middle, where it waits for the provider's gate."""
    running = platform.models.chat_stream("wait", model="gpt-4o")
    assert (await anext(running)).token == "po"
    return running


class Turns:
    """Turns, each in a session of its own, which must be stored whole or not at all."""

    def __init__(self, platform: AsyncGenAIPlatform) -> None:
        self._platform = platform
        self._sessions: list[str] = []
        self._stored: set[str] = set()

    async def one(self) -> None:
        session = await self._platform.sessions.create_session(CreateSessionRequest())
        self._sessions.append(session.session_id)
        request = ChatRequest(model="gpt-4o", session_id=session.session_id)
        request.messages.add(role="user", content="ping")
        response = await self._platform.models.chat(request)
        if not any(notice.code == "SESSION_APPEND_FAILED" for notice in response.warnings):
            self._stored.add(session.session_id)

    async def check(self) -> None:
        for session_id in self._sessions:
            listed = await self._platform.sessions.list_messages(ListMessagesRequest(session_id=session_id))
            said = [entry.message.content for entry in listed.messages]
            assert said == ["ping", "pong"] or (not said and session_id not in self._stored)
        assert self._stored


async def says_healthy(address: str, service: str = "") -> None:
    """Waits until a process says that a service can be called, or all of them."""
    async with open_channel(address) as channel, asyncio.timeout(20):
        request = health_pb2.HealthCheckRequest(service=service)
        async for health in health_pb2_grpc.HealthStub(channel).Watch(request, wait_for_ready=True):
            if health.status == SERVING:
                return


async def has_logged(process: Service, is_there: Callable[[list[dict[str, Any]]], bool]) -> None:
    """Waits until what a process has logged is as wanted."""
    async with asyncio.timeout(20):
        while not is_there(process.entries()):  # noqa: ASYNC110 a file sends no notification
            await asyncio.sleep(0.01)


async def have_noticed(processes: Sequence[Service], replicas: Sequence[Service], healthy: bool = True) -> None:
    """Waits until each of the processes has noticed that each of the replicas behind it is healthy, or not."""
    for process in processes:
        for replica in replicas:
            await _has_noticed(process, replica.address, healthy)


async def _has_noticed(process: Service, address: str, healthy: bool) -> None:
    def is_there(entries: list[dict[str, Any]]) -> bool:
        found = [
            each["serving"] for each in entries if each["event"] == "backend health" and each["address"] == address
        ]
        return found[-1:] == [healthy]

    await has_logged(process, is_there)


def failed_calls(process: Service) -> list[dict[str, Any]]:
    """The log's lines of calls that failed."""
    return [entry for entry in process.entries() if entry["event"] == "rpc" and entry["code"] != "OK"]


async def first_success(call: Callable[[], Awaitable[object]]) -> float:
    """Calls until a call succeeds, and returns how long that took."""
    began = time.perf_counter()
    while True:
        try:
            await call()
            return time.perf_counter() - began
        except GenAIError:
            assert time.perf_counter() - began < 20
            await asyncio.sleep(0.01)


async def test_rolling_restart_of_the_model_service_fails_no_call(postgresql_url: str, tmp_path: Path) -> None:
    async with Provider() as provider:
        settings = provider.settings | {"MODELS_DATABASE_URL": postgresql_url}
        with (
            replicas("models", tmp_path, 2, **settings) as models,
            replicas("gateway", tmp_path, 1, MODELS_ADDRESS=models.addresses) as gateways,
        ):
            gateway = gateways.all[0]
            await have_noticed([gateway], models.all)
            async with AsyncGenAIPlatform(gateway.address, max_retries=0) as platform:
                load = Load(lambda: chat(platform), callers=4)
                async with load.running():
                    for number, replica in enumerate(models.all):
                        provider.gate.clear()
                        # At both replicas, as the fewest running calls have it.
                        streams = [await begun_stream(platform) for _ in range(6)]
                        replica.send(signal.SIGTERM)
                        await have_noticed([gateway], [replica], False)
                        provider.gate.set()
                        for running in streams:
                            assert "".join([chunk.token async for chunk in running]) == "ng"
                        await models.stop(number)
                        await asyncio.to_thread(models.start_again, number)
                        await have_noticed([gateway], [replica])
                    await provider.received(len(provider.requests) + 10)
            calls = [entry for entry in gateway.entries() if entry.get("method") == "ModelService/Chat"]
            assert (load.results.keys(), failed_calls(gateway)) == ({"OK"}, [])
        # No chat has reached two replicas.
        assert len(provider.requests) == load.results["OK"] + 2 * 6
        assert {entry["replica"] for entry in calls[-10:]} == set(models.addresses.split(","))


async def test_rolling_restart_of_the_session_service_fails_no_turn(postgresql_url: str, tmp_path: Path) -> None:
    async with Provider() as provider:
        with replicas("sessions", tmp_path, 2, SESSIONS_DATABASE_URL=postgresql_url) as sessions:
            where = {"SESSIONS_ADDRESS": sessions.addresses}
            with (
                replicas("models", tmp_path, 1, **provider.settings, **where) as models,
                replicas("gateway", tmp_path, 1, MODELS_ADDRESS=models.addresses, **where) as gateways,
            ):
                gateway = gateways.all[0]
                await says_healthy(gateway.address)
                async with AsyncGenAIPlatform(gateway.address, max_retries=0) as platform:
                    turns = Turns(platform)
                    load = Load(turns.one, callers=2)
                    async with load.running():
                        await have_noticed([gateway, models.all[0]], sessions.all)
                        for number, replica in enumerate(sessions.all):
                            replica.send(signal.SIGTERM)
                            await sessions.stop(number)
                            await asyncio.to_thread(sessions.start_again, number)
                            await have_noticed([gateway, models.all[0]], sessions.all)
                    assert (load.results.keys(), failed_calls(gateway)) == ({"OK"}, [])
                    await turns.check()


@pytest.mark.parametrize("name", ["gateway", "models", "sessions"])
async def test_killed_service_is_used_again_within_a_second_of_its_return(name: str, tmp_path: Path) -> None:
    """Under plain chats, streams and turns: nothing is half stored, and what was lost says so."""
    async with Provider() as provider:
        with running_platform(tmp_path, **provider.settings) as processes:
            await says_healthy(processes.address)
            async with AsyncGenAIPlatform(processes.address, max_retries=0) as platform:
                turns = Turns(platform)
                calls: list[Callable[[], Awaitable[object]]] = [
                    lambda: chat(platform),
                    lambda: stream(platform),
                    turns.one,
                ]
                loads = [Load(call, callers=2) for call in calls]
                async with contextlib.AsyncExitStack() as running:
                    for load in loads:
                        await running.enter_async_context(load.running())
                    streams = [await begun_stream(platform) for _ in range(3)]
                    processes.services[name].kill()
                    for each in streams:
                        if name == "sessions":
                            provider.gate.set()
                            assert "".join([chunk.token async for chunk in each]) == "ng"
                            continue
                        with pytest.raises(Unavailable) as raised:
                            await anext(each)
                        assert raised.value.metadata["phase"] == "mid_stream"
                    await asyncio.sleep(0.2)
                    await asyncio.to_thread(processes.start, name)
                    for call in calls:
                        assert await first_success(call) < RECOVERY_SECONDS
                assert all(load.results["OK"] > 1 for load in loads)
                await turns.check()


async def test_gateway_that_starts_first_answers_within_a_second_of_its_services(tmp_path: Path) -> None:
    async with Provider() as provider:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = str(taken.getsockname()[1])
            with replicas("gateway", tmp_path, 1, MODELS_ADDRESS=f"127.0.0.1:{port}") as gateways:
                async with AsyncGenAIPlatform(gateways.all[0].address, max_retries=0) as platform:
                    # Calls meanwhile fail at once, and say when to come again.
                    for _ in range(20):
                        began = time.perf_counter()
                        with pytest.raises(Unavailable) as raised:
                            await chat(platform)
                        assert time.perf_counter() - began < RECOVERY_SECONDS
                        assert (raised.value.reason, raised.value.retry_after) == ("BACKEND_UNAVAILABLE", 1)
                        await asyncio.sleep(0.05)
                    taken.close()
                    with replicas("models", tmp_path, 0, **provider.settings) as models:
                        models.all.append(await asyncio.to_thread(models.start, 0, port))
                        assert await first_success(lambda: chat(platform)) < RECOVERY_SECONDS


async def test_client_survives_the_restart_of_its_gateway(tmp_path: Path) -> None:
    async with Provider() as provider:
        with (
            replicas("models", tmp_path, 1, **provider.settings) as models,
            replicas("gateway", tmp_path, 1, MODELS_ADDRESS=models.addresses) as gateways,
            GenAIPlatform(gateways.addresses, max_retries=0) as blocking,
        ):
            async with AsyncGenAIPlatform(gateways.addresses, max_retries=0) as platform:

                async def chat_blocking() -> None:
                    await asyncio.to_thread(blocking.models.chat, "ping", model="gpt-4o")

                for call in (lambda: chat(platform), chat_blocking):
                    await call()
                gateways.all[0].kill()
                for call in (lambda: chat(platform), chat_blocking):
                    with pytest.raises(Unavailable):
                        await call()
                await asyncio.to_thread(gateways.start_again, 0)
                for call in (lambda: chat(platform), chat_blocking):
                    assert await first_success(call) < RECOVERY_SECONDS


async def test_second_signal_ends_a_service_whose_calls_go_on(tmp_path: Path) -> None:
    async with Provider() as provider:
        for name, second in (("models", signal.SIGTERM), ("gateway", signal.SIGINT)):
            with row(name, second), running_platform(tmp_path / name, **provider.settings) as processes:
                await says_healthy(processes.address)
                async with AsyncGenAIPlatform(processes.address, max_retries=0) as platform:
                    running = await begun_stream(platform)
                    service = processes.services[name]
                    service.send(signal.SIGTERM)
                    await has_logged(service, lambda entries: any(each["event"] == "draining" for each in entries))
                    assert service.runs
                    began = time.perf_counter()
                    service.send(second)
                    with pytest.raises(Unavailable):
                        await anext(running)
                    assert await service.end() == 0
                    assert time.perf_counter() - began < RECOVERY_SECONDS
                    assert "Traceback" not in service.log()


async def test_services_are_ready_without_their_provider(tmp_path: Path) -> None:
    """It accepts connections and says nothing, to the discovery of models either."""
    with socket.create_server(("127.0.0.1", 0)) as silent, refusing_address() as refused:
        for address in (f"127.0.0.1:{silent.getsockname()[1]}", refused):
            settings = {"OPENAI_API_KEY": "sk-e2e", "OPENAI_BASE_URL": f"http://{address}/v1", "MODELS_DISCOVERY": "on"}
            with row(address), running_platform(tmp_path / address, **settings) as processes:
                began = time.perf_counter()
                await says_healthy(processes.address)
                assert time.perf_counter() - began < RECOVERY_SECONDS
