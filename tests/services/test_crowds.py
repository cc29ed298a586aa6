"""Processes with few files and names that do not resolve: what one caller waits for leaves room for the others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy.exc import DBAPIError

from proto import models_pb2, models_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from services.models.sessions.client import SessionClient
from services.models.settings import Settings
from services.shared import descriptors
from services.shared.admission import Admission
from services.shared.call import Call
from services.shared.errors import LimitExceeded, StartupError, Unavailable
from services.shared.logs import open_log
from services.shared.storage_errors import translated_commit
from tests.scripted_upstream import Received, Script, ScriptedUpstream, no_answer
from tests.services.log_file import LogFile
from tests.services.model_service import answered, chat_request, registration
from tests.services.storage.notes import names, opened, put
from tests.support.descriptors import no_descriptor_left
from tests.support.errors import explain
from tests.support.processes import Service, running

FILES = 256
ONE_SERVERS = (FILES - descriptors.RESERVED_DESCRIPTORS) * 2 // 3 // 2

HANGING_NAMES = """
import socket, time
real = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    if str(host).endswith("hangs.example"):
        time.sleep(600)
    return real(host, *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""


def limits(service: Service) -> tuple[int, int]:
    """Of open files, soft and hard."""
    for line in Path(f"/proc/{service.pid}/limits").read_text().splitlines():
        if line.startswith("Max open files"):
            soft, hard = line.split()[3:5]
            return int(soft), int(hard)
    raise AssertionError("no such limit")


def stop(service: Service) -> list[dict[str, Any]]:
    """Ends it as operators do. Returns its log."""
    service.send(signal.SIGTERM)
    assert service.wait() == 0
    return service.entries()


def crowded(
    directory: Path, name: str = "models", *, files: tuple[int, int] = (FILES, FILES), before: str = ""
) -> AbstractContextManager[Service]:
    """A service that may open so many files (soft and hard limit). `before` is run in its process first."""
    limited = f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, {files})\n{before}"
    return running(name, directory, before=limited, GENAI_GRACE_SECONDS="0")


@pytest.mark.parametrize("name", ["sessions", "models", "gateway"])
def test_each_service_raises_its_limit_of_open_files_and_says_when_it_is_low(tmp_path: Path, name: str) -> None:
    with crowded(tmp_path, name, files=(300, 400)) as started:
        assert limits(started) == (400, 400)
        log = stop(started)
    [told] = [entry for entry in log if entry["event"].startswith("few files may be open")]
    assert (told["level"], told["limit"], told["recommended"]) == ("warning", 400, descriptors.RECOMMENDED_DESCRIPTORS)


def test_limit_is_not_raised_beyond_what_is_enough_and_enough_is_not_told(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < descriptors.RECOMMENDED_DESCRIPTORS:
        pytest.skip("this process may not open enough files to see it")
    with crowded(tmp_path, "gateway", files=(300, hard)) as started:
        assert limits(started) == (min(hard, descriptors.WANTED_DESCRIPTORS), hard)
        log = stop(started)
    assert not [entry for entry in log if "files" in entry["event"]]


@contextlib.asynccontextmanager
async def called(directory: Path, **options: Any) -> AsyncIterator[tuple[Service, models_pb2_grpc.ModelServiceStub]]:
    """A Model Service with few files, and a stub that calls it."""
    with crowded(directory, **options) as service:
        async with grpc.aio.insecure_channel(service.address) as channel:
            yield service, models_pb2_grpc.ModelServiceStub(channel)


def silent(request: Received) -> Script:
    """Answers probes, and no chat."""
    return answered(request) if request.method == "GET" else no_answer()


async def test_streams_of_one_caller_that_wait_leave_room_for_calls_writes_and_connections(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=silent) as hangs,
        ScriptedUpstream(default=answered) as good,
        called(tmp_path) as (service, models),
    ):
        for name, upstream in (("hangs", hangs), ("good", good)):
            await models.RegisterModel(registration(upstream, name))
        async with grpc.aio.insecure_channel(service.address, [("grpc.use_local_subchannel_pool", 1)]) as crowd:
            stub = models_pb2_grpc.ModelServiceStub(crowd)
            streams = [stub.ChatStream(chat_request("hangs")) for _ in range(2 * FILES)]
            ended = [asyncio.create_task(stream.code()) for stream in streams]
            while (refused := sum(task.done() for task in ended)) < 2 * FILES - ONE_SERVERS:
                await asyncio.wait([task for task in ended if not task.done()], return_when=asyncio.FIRST_COMPLETED)
            assert refused == 2 * FILES - ONE_SERVERS
            assert {task.result() for task in ended if task.done()} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            [stream, *_] = (stream for stream, task in zip(streams, ended, strict=True) if task.done())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            failure = explain(caught.value)
            assert (failure.reason, failure.retry_seconds) == ("TOO_MANY_CALLS", 1)

            assert (await models.Chat(chat_request("good"))).text
            await models.RegisterPrompt(models_pb2.RegisterPromptRequest(name="p", content="x"))
            status = await models.GetModelStatus(models_pb2.GetModelStatusRequest(name="hangs"))
            assert status.status == "healthy"
            async with grpc.aio.insecure_channel(service.address, [("grpc.use_local_subchannel_pool", 1)]) as fresh:
                await health_pb2_grpc.HealthStub(fresh).Check(health_pb2.HealthCheckRequest())
            for stream in streams:
                stream.cancel()
            await asyncio.wait(ended)
        assert (await models.Chat(chat_request("good"))).text
        log = stop(service)
    assert not [entry for entry in log if entry["level"] == "error"]


async def test_process_ends_at_once_although_names_are_being_resolved(tmp_path: Path) -> None:
    request = models_pb2.RegisterModelRequest(
        name="m", endpoint="http://m.hangs.example/v1", adapter_type="openai-compatible"
    )
    async with called(tmp_path, before=HANGING_NAMES) as (service, models):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await models.RegisterModel(request, timeout=0.5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        # Far sooner than the resolver gives up.
        log = stop(service)
    assert log[-1]["event"] == "stopped"


@pytest.mark.parametrize("caller", ["ipv4:192.0.2.1:1234", ""])
async def test_session_service_is_told_whose_chat_it_works_for(caller: str) -> None:
    seen: list[str] = []

    class Sessions(sessions_pb2_grpc.SessionServiceServicer):  # type: ignore[misc]
        async def GetContext(self, request: Any, context: Any) -> sessions_pb2.GetContextResponse:
            seen.append(Call(context).caller)
            return sessions_pb2.GetContextResponse()

    server = grpc.aio.server()
    sessions_pb2_grpc.add_SessionServiceServicer_to_server(Sessions(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = SessionClient(f"127.0.0.1:{port}", open_log("models", file=LogFile()))
    with Admission(1).call(caller):
        await client.get_context(sessions_pb2.GetContextRequest(session_id="s"), "id")
    await client.close()
    await server.stop(0)
    # Without a caller, as in the service's own work, the address is all that there is.
    assert seen[0] == caller or (not caller and seen[0].startswith("ipv4:127.0.0.1:"))


# ---------------------------------------------------------------------------------------------- no descriptor is left


async def test_database_that_cannot_be_opened_for_want_of_a_descriptor_is_not_blamed(
    database_url: str, tmp_path: Path
) -> None:
    async with opened(database_url, tmp_path) as database:
        await database._reads._engine.dispose()
        with no_descriptor_left(), pytest.raises(LimitExceeded) as refused:
            await names(database)
        assert refused.value.reason == "DESCRIPTORS_EXHAUSTED"
        assert database.available
        await put(database, "a")
        assert await names(database) == ["a"]


def test_commit_that_was_lost_is_not_said_to_have_stored_nothing() -> None:
    lost = DBAPIError("COMMIT", None, sqlite3.OperationalError("unable to open database file"))
    lost.orig.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN  # type: ignore[union-attr]
    lost.orig.sqlite_errorname = "SQLITE_CANTOPEN"  # type: ignore[union-attr]
    log = open_log("models", file=LogFile())
    with no_descriptor_left(), pytest.raises(Unavailable) as unknown, translated_commit(log):
        raise lost
    assert unknown.value.reason == "COMMIT_UNKNOWN"


async def test_shortages_are_logged_at_most_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "_watch", None)
    file = LogFile()
    log = open_log("models", file=file)
    descriptors.raise_descriptor_limit(log)
    with no_descriptor_left():
        for _ in range(100):
            for number in (errno.EMFILE, errno.EADDRNOTAVAIL):
                assert descriptors.shortage_from(OSError(number, ""))
        assert descriptors.descriptor_shortage()
        descriptors._watch.check()  # type: ignore[attr-defined]
        used = descriptors.limit()
    assert descriptors.descriptor_shortage() is None
    assert descriptors.shortage_from(OSError(errno.ECONNREFUSED, "")) is None
    log.flush()
    told = [entry for entry in file.entries() if entry["level"] == "error"]
    assert [(entry["event"], entry.get("errno"), entry["descriptors"], entry["limit"]) for entry in told] == [
        ("out of system resources", "EMFILE", used, used),
        ("out of system resources", "EADDRNOTAVAIL", used, used),
        ("descriptors run short", None, used, used),
    ]


def test_more_connections_than_files_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "limit", lambda: 1024)
    assert Settings(MODELS_MAX_CONNECTIONS="900").choose_max_connections() == 900
    assert Settings().choose_max_connections() == 618
    with pytest.raises(StartupError, match="MODELS_MAX_CONNECTIONS: 1024 open files leave room for 928 connections"):
        Settings(MODELS_MAX_CONNECTIONS="929").choose_max_connections()
