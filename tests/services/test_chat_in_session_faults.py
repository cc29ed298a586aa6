"""Chats in a session whose caller leaves, or whose Session Service does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2_grpc
from proto import sessions_pb2 as pb
from proto.models_pb2 import SessionOptions
from services.models.sessions import turn as turns
from services.sessions import rows
from services.sessions.servicer import SessionServicer
from services.shared.call import Call
from services.shared.errors import Unavailable
from tests.scripted_upstream import Ending, Script, ScriptedUpstream, event_stream, json_answer, no_answer
from tests.services.chat_in_session import SESSION, chat, platform, turn
from tests.services.model_service import chat_request, completion, model_service, piece, streamed_completion
from tests.services.session_service import Service, served
from tests.support.errors import failure_of

VERBS = ["Chat", "ChatStream"]
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
RETURN_SECONDS = 1.5


class Door:
    """Stands before a SessionServicer and lets an append in when it is open."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.appends: list[pb.AppendMessagesRequest] = []
        self._servicer: Any = None

    def before(self, servicer: SessionServicer) -> Door:
        self._servicer = servicer
        return self

    async def AppendMessages(self, request: pb.AppendMessagesRequest, call: Call) -> pb.AppendMessagesResponse:
        self.appends.append(request)
        self.reached.set()
        await self.open.wait()
        response: pb.AppendMessagesResponse = await self._servicer.AppendMessages(request, call)
        return response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._servicer, name)


class LosingDoor(Door):
    """Lets an append in, and loses the answer to the first one."""

    async def AppendMessages(self, request: pb.AppendMessagesRequest, call: Call) -> pb.AppendMessagesResponse:
        self.open.set()
        response = await super().AppendMessages(request, call)
        if len(self.appends) == 1:
            raise Unavailable("lost", reason="STORAGE_UNAVAILABLE", retry_after=1.0)
        return response


def whole(verb: str, text: str = "paid") -> Script:
    return json_answer(completion(text)) if verb == "Chat" else streamed_completion(piece(text))


def start(stub: Any, verb: str) -> Any:
    """A call in progress, and the task that reads it to its end."""
    call = getattr(stub, verb)(turn())

    async def read() -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            if verb == "Chat":
                await call
            else:
                async for _ in call:
                    pass

    return call, asyncio.create_task(read())


# ---------------------------------------------------------------------------------------------- whoever leaves


STAGES: dict[str, Script] = {
    "before the head": no_answer(),
    "before the first token": event_stream(ending=Ending.STALL),
    "in mid-stream": event_stream(piece("a"), ending=Ending.STALL),
}


@pytest.mark.parametrize("script", STAGES.values(), ids=STAGES.keys())
async def test_a_cancelled_turn_stores_nothing_and_frees_the_session(
    tmp_path: Path, upstream: ScriptedUpstream, script: Script
) -> None:
    async with platform(tmp_path, upstream, replicated=True) as p:
        upstream.play(script)
        call, reading = start(p.models, "ChatStream")
        received = await upstream.received(1)
        call.cancel()
        await reading
        await received.closed_by_peer()
        # CreateSession, BeginTurn, EndTurn.
        assert (await p.session_log.calls(3))[-1]["method"] == "TurnService/EndTurn"
        assert await p.history() == []
        upstream.play(whole("Chat"))
        assert (await p.replica.Chat(turn())).session_next_sequence == 3


@pytest.mark.parametrize(("verb", "database_kind"), [("Chat", "sqlite"), ("ChatStream", "postgresql")])
async def test_a_turn_cancelled_at_any_moment_is_whole_or_absent_and_blocks_nobody(
    default_database_url: str, tmp_path: Path, upstream: ScriptedUpstream, verb: str
) -> None:
    upstream.default = whole(verb)
    async with platform(tmp_path, upstream, default_database_url, replicated=True) as p:
        await chat(p.models, turn(), verb)
        for number in range(20):
            call, reading = start(p.models, verb)
            await asyncio.sleep(number * 0.002)
            call.cancel()
            await reading
            await chat_until_it_works(p.replica, verb)
        contents = [message.content for message in await p.history()]
        assert contents == ["Hello!", "paid"] * (len(contents) // 2)


@pytest.mark.parametrize("verb", VERBS)
async def test_whoever_leaves_during_the_append_leaves_a_whole_turn(
    tmp_path: Path, upstream: ScriptedUpstream, verb: str
) -> None:
    door = Door()
    async with platform(tmp_path, upstream, replicated=True, front=door.before) as p:
        upstream.play(whole(verb))
        call, reading = start(p.models, verb)
        await asyncio.wait_for(door.reached.wait(), 5)
        call.cancel()
        await reading
        assert await call.code() is grpc.StatusCode.CANCELLED
        door.open.set()
        # CreateSession, BeginTurn, AppendMessages.
        assert (await p.session_log.calls(3))[-1]["method"] == "SessionService/AppendMessages"
        assert [message.content for message in await p.history()] == ["Hello!", "paid"]
        upstream.play(whole(verb))
        assert (await chat(p.replica, turn(), verb)).session_next_sequence == 5


async def test_a_caller_in_a_hurry_has_the_answer_before_its_deadline_although_the_append_hangs(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "APPEND_SECONDS", 60)
    door = Door()
    async with platform(tmp_path, upstream, front=door.before) as p:
        upstream.play(whole("Chat"))
        # Half of what is left may go into the append.
        response = await chat(p.models, turn(), "Chat", timeout=3)
        assert response.text == "paid"
        assert [notice.code for notice in response.warnings] == ["SESSION_APPEND_FAILED"]
        door.open.set()


# ------------------------------------------------------------------------------------- an append that goes wrong


async def test_an_append_whose_answer_is_lost_is_repeated_and_appends_once(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    door = LosingDoor()
    async with platform(tmp_path, upstream, front=door.before) as p:
        upstream.play(whole("Chat"))
        response = await p.models.Chat(turn())
        assert (response.session_next_sequence, list(response.warnings)) == (3, [])
        assert len(door.appends) == 2
        assert door.appends[0] == door.appends[1]
        assert [message.content for message in await p.history()] == ["Hello!", "paid"]


@pytest.mark.parametrize("verb", VERBS)
async def test_an_append_that_hangs_does_not_cost_the_answer(
    tmp_path: Path, upstream: ScriptedUpstream, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "APPEND_SECONDS", 0.2)
    door = Door()
    async with platform(tmp_path, upstream, front=door.before) as p:
        upstream.play(whole(verb))
        response = await chat(p.models, turn(), verb)
        assert (response.text, response.session_next_sequence) == ("paid", 0)
        assert [notice.code for notice in response.warnings] == ["SESSION_APPEND_FAILED"]
        door.open.set()


# ------------------------------------------------------------------------------- a Session Service that is not there


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def chat_until_it_works(stub: models_pb2_grpc.ModelServiceStub, verb: str = "Chat") -> None:
    """Asks until it is answered; fails when that takes too long."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while loop.time() - started < RETURN_SECONDS:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await chat(stub, turn(), verb)
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"no turn was answered within {RETURN_SECONDS} s")


async def test_without_the_session_service_only_chats_in_a_session_fail_at_once_until_it_is_there(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.default = json_answer(completion())
    port = free_port()
    async with model_service(tmp_path / "models", upstream, SESSIONS_ADDRESS=f"127.0.0.1:{port}") as service:
        for request in (turn(), turn(session={"skip_append": True})):
            started = asyncio.get_running_loop().time()
            failure = await failure_of(service.stub.Chat(request))
            assert asyncio.get_running_loop().time() - started < 1
            assert (failure.code, failure.reason) == (UNAVAILABLE, "SESSIONS_UNAVAILABLE")
            assert failure.retry_seconds == 1.0
        assert not upstream.requests
        await service.stub.Chat(chat_request())
        async with served(f"sqlite:///{tmp_path}/sessions.db", port=port) as sessions:
            await sessions.create(SESSION)
            await chat_until_it_works(service.stub)
        assert (await failure_of(service.stub.Chat(turn()))).reason == "SESSIONS_UNAVAILABLE"
        async with served(f"sqlite:///{tmp_path}/sessions.db", port=port):
            await chat_until_it_works(service.stub)


async def test_chats_without_a_session_never_connect_to_the_session_service(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.default = json_answer(completion())
    connections: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, model_service(tmp_path, upstream, SESSIONS_ADDRESS=f"127.0.0.1:{port}") as service:
        for _ in range(3):
            await service.stub.Chat(chat_request())
        assert connections == []


@contextlib.asynccontextmanager
async def chat_of_a_service_that_stops(
    tmp_path: Path, upstream: ScriptedUpstream, port: int
) -> AsyncIterator[asyncio.Task[Any]]:
    """A chat that waits for its provider while the Session Service, which it began with, stops."""
    gate = asyncio.Event()
    upstream.play(json_answer(completion("paid"), before=[gate]))
    async with model_service(tmp_path / "models", upstream, SESSIONS_ADDRESS=f"127.0.0.1:{port}") as service:
        async with served(f"sqlite:///{tmp_path}/sessions.db", port=port) as sessions:
            await sessions.create(SESSION)
            answering = asyncio.ensure_future(service.stub.Chat(turn()))
            await upstream.received(1)
        gate.set()
        yield answering


async def test_an_answer_that_finds_no_session_service_is_given_with_a_warning(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "APPEND_SECONDS", 0.2)
    async with chat_of_a_service_that_stops(tmp_path, upstream, free_port()) as answering:
        response = await answering
    assert (response.text, response.session_id, response.session_next_sequence) == ("paid", SESSION, 0)
    assert [notice.code for notice in response.warnings] == ["SESSION_APPEND_FAILED"]
    assert "cannot be reached" in response.warnings[0].message


async def test_a_session_service_that_is_back_in_time_gets_the_turn(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """The lease is in its database, so that the turn goes on in another process."""
    port = free_port()
    async with (
        chat_of_a_service_that_stops(tmp_path, upstream, port) as answering,
        served(f"sqlite:///{tmp_path}/sessions.db", port=port) as sessions,
    ):
        assert (await answering).session_next_sequence == 3
        assert await stored(sessions) == ["Hello!", "paid"]


async def stored(sessions: Service) -> list[str]:
    page = await sessions.call("ListMessages", pb.ListMessagesRequest(session_id=SESSION))
    return [entry.message.content for entry in page.messages]


# ------------------------------------------------------------------------------------------ what is too large


@pytest.mark.parametrize("verb", VERBS)
async def test_a_turn_in_a_full_session_is_refused_before_anything_is_sent(
    tmp_path: Path, upstream: ScriptedUpstream, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with platform(tmp_path, upstream) as p:
        monkeypatch.setattr(rows, "MAX_SESSION_MESSAGES", 1)
        failure = await failure_of(chat(p.models, turn(), verb))
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSION_FULL")
        monkeypatch.setattr(rows, "MAX_SESSION_MESSAGES", 2)
        monkeypatch.setattr(rows, "MAX_SESSION_BYTES", 100)
        failure = await failure_of(chat(p.models, turn("x" * 100), verb))
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSION_FULL")
        assert upstream.requests == []


@pytest.mark.parametrize("verb", VERBS)
async def test_an_answer_that_the_session_has_no_room_for_is_given_and_that_is_told(
    tmp_path: Path, upstream: ScriptedUpstream, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_SESSION_BYTES", 100)
    async with platform(tmp_path, upstream) as p:
        upstream.play(whole(verb, "x" * 100))
        response = await chat(p.models, turn(), verb)
        assert response.text == "x" * 100
        [notice] = response.warnings
        assert notice.code == "SESSION_APPEND_FAILED"
        assert "go on in a new session" in notice.message
        assert await p.history() == []


async def test_large_histories_take_so_much_memory_and_others_wait_for_their_turn(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with platform(tmp_path, upstream) as p:
        await p.sessions.create("small", user_id="ann")
        await p.sessions.append("x" * 1000, session_id=SESSION)
        monkeypatch.setattr(turns, "LARGE_HISTORY_BYTES", 1000)
        monkeypatch.setattr(turns, "MAX_HISTORY_BYTES", 2000)
        upstream.play(no_answer())
        call, reading = start(p.models, "Chat")
        await upstream.received(1)
        reading_only = chat_request("gpt-5.4", session_id=SESSION, session=SessionOptions(skip_append=True))
        failure = await failure_of(p.models.Chat(reading_only))
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "HISTORIES_TOO_LARGE")
        upstream.play(whole("Chat"))
        assert (await p.models.Chat(chat_request("gpt-5.4", session_id="small"))).text == "paid"
        call.cancel()
        await reading
        # Two sessions and what one holds; the turn that was cancelled, the context that was refused, a whole turn.
        assert (await p.session_log.calls(8))[-1]["method"] == "TurnService/EndTurn"
        upstream.play(whole("Chat"))
        assert (await p.models.Chat(reading_only)).text == "paid"


async def test_a_turn_of_somebody_who_names_no_user_stays_in_its_session(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    door = Door()
    async with platform(tmp_path, upstream, front=door.before) as p:
        upstream.play(whole("Chat"))
        answering = asyncio.create_task(chat(p.models, turn(), "Chat"))
        await asyncio.wait_for(door.reached.wait(), 5)
        await p.sessions.create(SESSION, user_id="bob")
        door.open.set()
        assert list((await answering).warnings) == []
        [append] = door.appends
        assert append.user_id == "ann"
