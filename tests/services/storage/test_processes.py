"""The services' own processes while their storage fails, as an operator lives through it."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proto import models_pb2, models_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.model_service import chat_request, completion
from tests.services.session_service import said
from tests.support.errors import failure_of
from tests.support.postgresql import PostgreSQLServer
from tests.support.processes import EXIT_CONFIG, Process, Service, run, running, start

CALL_SECONDS = 10.0
REFUSED_SECONDS = 3.0
RECOVERED_SECONDS = 10.0

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Client:
    """Calls both services and their health at one address."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.sessions = sessions_pb2_grpc.SessionServiceStub(channel)
        self.models = models_pb2_grpc.ModelServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)

    async def health(self, service: str) -> int:
        request = health_pb2.HealthCheckRequest(service=service and f"genai_platform.v1.{service}")
        return int((await self._health.Check(request, timeout=CALL_SECONDS)).status)

    async def append(self, content: str) -> Any:
        request = sessions_pb2.AppendMessagesRequest(session_id="s", messages=[said("user", content)])
        return await self.sessions.AppendMessages(request, timeout=CALL_SECONDS)

    async def list_messages(self) -> list[str]:
        request = sessions_pb2.ListMessagesRequest(session_id="s", page_size=1000)
        page = await self.sessions.ListMessages(request, timeout=CALL_SECONDS)
        return [entry.message.content for entry in page.messages]

    async def register_prompt(self, name: str) -> Any:
        request = models_pb2.RegisterPromptRequest(name=name, content="Be brief.")
        return await self.models.RegisterPrompt(request, timeout=CALL_SECONDS)

    async def get_prompt(self, name: str) -> Any:
        return await self.models.GetPrompt(models_pb2.GetPromptRequest(name=name), timeout=CALL_SECONDS)

    async def chat(self) -> str:
        response = await self.models.Chat(chat_request(), timeout=CALL_SECONDS)
        return str(response.text)


@contextlib.asynccontextmanager
async def connected(service: Service) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        yield Client(channel)


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, float | None]:
    """Code, reason and retry hint, in seconds, of a call that must fail in time."""
    begin = time.monotonic()
    failure = await failure_of(call)
    assert time.monotonic() - begin < REFUSED_SECONDS
    return failure.code, failure.reason, failure.retry_seconds


AWAY = (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", 1.0)
FULL = (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL", None)


async def eventually(
    call: Callable[[], Awaitable[Any]], expected: Any = None, seconds: float = RECOVERED_SECONDS
) -> Any:
    """What the call returns when it no longer fails, and is as expected, as it must be in time."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                answer = await call()
                if expected is None or answer == expected:
                    return answer
            await asyncio.sleep(0.05)


async def test_the_session_service_starts_without_its_database_and_outlives_it(
    postgresql_server: PostgreSQLServer, postgresql_url: str, tmp_path: Path
) -> None:
    postgresql_server.stop()
    with running("sessions", tmp_path, SESSIONS_DATABASE_URL=postgresql_url) as service:
        async with connected(service) as client:
            create = sessions_pb2.CreateSessionRequest(session_id="s")
            assert (await client.health(""), await client.health("SessionService")) == (SERVING, NOT_SERVING)
            assert await refusal(client.sessions.CreateSession(create, timeout=CALL_SECONDS)) == AWAY

            postgresql_server.start()
            await eventually(lambda: client.health("SessionService"), SERVING)
            await client.sessions.CreateSession(create, timeout=CALL_SECONDS)
            await client.append("before")

            postgresql_server.stop()
            assert await refusal(client.append("away")) == AWAY
            assert await refusal(client.list_messages()) == AWAY
            await eventually(lambda: client.health("SessionService"), NOT_SERVING)
            assert await client.health("") == SERVING

            postgresql_server.start()
            await eventually(lambda: client.append("after"))
            assert await client.list_messages() == ["before", "after"]
            await eventually(lambda: client.health("SessionService"), SERVING)


async def test_the_model_service_chats_without_its_database_and_its_replicas_agree_when_it_is_back(
    postgresql_server: PostgreSQLServer, postgresql_url: str, tmp_path: Path
) -> None:
    postgresql_server.stop()
    async with ScriptedUpstream(default=json_answer(completion("Hi."))) as upstream:
        settings = {
            "MODELS_DATABASE_URL": postgresql_url,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{upstream.url}/v1",
        }
        with (
            running("models", tmp_path / "one", **settings) as one,
            running("models", tmp_path / "two", **settings) as two,
        ):
            async with connected(one) as first, connected(two) as second:
                for client in (first, second):
                    assert await client.chat() == "Hi."
                    assert await client.health("ModelService") == SERVING
                    assert await client.health("ModelService/writes") == NOT_SERVING
                    assert await refusal(client.register_prompt("p")) == AWAY
                    assert await refusal(client.get_prompt("p")) == AWAY

                postgresql_server.start()
                await eventually(lambda: first.register_prompt("p"))
                await eventually(lambda: second.get_prompt("p"))
                await eventually(lambda: first.health("ModelService/writes"), SERVING)
                await first.register_prompt("q")
                await eventually(lambda: second.get_prompt("q"), seconds=1)

                postgresql_server.stop()
                assert await first.chat() == "Hi."
                assert (await second.get_prompt("q")).content == "Be brief."
                assert await refusal(first.register_prompt("r")) == AWAY

                postgresql_server.start()
                await eventually(lambda: second.register_prompt("r"))
                await eventually(lambda: first.get_prompt("r"))


async def test_a_full_disk_refuses_appends_serves_reads_and_heals_without_a_restart(tmp_path: Path) -> None:
    """The limit on the size of a file stands for the disk; it can be lifted while the process runs."""
    with running("sessions", tmp_path) as service:
        async with connected(service) as client:
            await client.sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id="s"), timeout=CALL_SECONDS)
            stored = 0
            process, (soft, hard) = service.pid, resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (400_000, hard))
            with contextlib.suppress(grpc.aio.AioRpcError):
                while True:
                    await client.append("x" * 20_000)
                    stored += 1
            assert await refusal(client.append("x" * 20_000)) == FULL
            assert len(await client.list_messages()) == stored > 0
            await eventually(lambda: client.health("SessionService/writes"), NOT_SERVING)
            assert await client.health("SessionService") == SERVING
            resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))
            await client.append("y")
            assert len(await client.list_messages()) == stored + 1
            await eventually(lambda: client.health("SessionService/writes"), SERVING)


def test_two_processes_that_start_at_once_on_an_empty_database_both_serve(postgresql_url: str, tmp_path: Path) -> None:
    starting = [
        start("sessions", tmp_path / name, "--migrate", kind=Process, SESSIONS_DATABASE_URL=postgresql_url)
        for name in ("one", "two")
    ]
    for process in starting:
        assert process.read_rest().startswith("sessions: schema is up to date in postgresql://")
        assert process.wait() == 0
        process.close()


@pytest.mark.parametrize("name", ["models", "sessions"])
def test_the_command_that_migrates_says_where_and_ends(tmp_path: Path, name: str) -> None:
    done = run(name, tmp_path, "--migrate")
    file = tmp_path / "data" / f"{name}.db"
    assert (done.code, done.output) == (0, f"{name}: schema is up to date in {file}\n")
    # By this table, which earlier releases have made, the schema of what is stored is known.
    with contextlib.closing(sqlite3.connect(file)) as database:
        assert database.execute(f"SELECT count(*) FROM {name}_schema").fetchone() == (1,)


def test_the_command_that_migrates_does_not_wait_for_a_server(tmp_path: Path) -> None:
    url = "postgresql://user:hunter2@127.0.0.1:1/db"
    away = run("sessions", tmp_path, "--migrate", SESSIONS_DATABASE_URL=url)
    assert away.code == EXIT_CONFIG
    assert "cannot be reached" in away.log.splitlines()[-1]
    assert "hunter2" not in away.log


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
@pytest.mark.parametrize(
    ("name", "variable"), [("sessions", "SESSIONS_DATABASE_URL"), ("models", "LIMITS_DATABASE_URL")]
)
def test_a_database_in_another_encoding_is_one_line_and_exit_code_78(
    tmp_path: Path, postgresql_server: PostgreSQLServer, name: str, variable: str, encoding: str
) -> None:
    url = postgresql_server.new_database(encoding)
    done = run(name, tmp_path, **{variable: url, "LIMITS_STORE": "postgresql"})
    assert done.code == EXIT_CONFIG
    last = done.log.splitlines()[-1]
    assert f"is encoded in {encoding} and must be in UTF8; create one with CREATE DATABASE" in last
    assert "Traceback" not in done.log
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
