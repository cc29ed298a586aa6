"""Chats in a session that are repeated with their request_id: each turn is in its session once, whatever was killed."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from proto import models_pb2, models_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from services.models.calls.kept_answers import KeptAnswers
from services.shared.errors import Unavailable
from tests.rows import for_each
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.chat_in_session import SESSION, Platform, chat, platform, turn
from tests.services.model_service import completion
from tests.services.test_idempotency import is_repeated
from tests.services.vendor_answers import answered_in_any_dialect
from tests.support.processes import Service, running, start

KILLED_AT_KEEP = """
import os, signal
from services.models.calls import idempotency, kept_answers

async def keep(*_):
    os.kill(os.getpid(), signal.SIGKILL)

kept_answers.LEASE_SECONDS = idempotency.LEASE_SECONDS = 0.5
kept_answers.KeptAnswers.keep = keep
"""
"""The program of a process that is killed between the append of a turn and the keeping of its answer."""


@pytest.fixture
def answers_are_lost(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No answer is kept under its request_id, until that is undone."""

    async def keep(*_: object) -> None:
        raise Unavailable("lost", reason="STORAGE_UNAVAILABLE")

    monkeypatch.setattr(KeptAnswers, "keep", keep)
    return monkeypatch


async def contents(p: Platform) -> list[str]:
    return [message.content for message in await p.history()]


async def test_turn_of_a_killed_process_is_in_its_session_once(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.default = answered_in_any_dialect
    with running("sessions", tmp_path) as sessions:
        settings = {
            "SESSIONS_ADDRESS": sessions.address,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{upstream.url}/v1",
        }

        async def ask(models: Service) -> models_pb2.ChatResponse:
            async with grpc.aio.insecure_channel(models.address) as channel:
                stub = models_pb2_grpc.ModelServiceStub(channel)
                return await chat(stub, turn(request_id="r-1"), "ChatStream", timeout=20)

        async with grpc.aio.insecure_channel(sessions.address) as channel:
            stub = sessions_pb2_grpc.SessionServiceStub(channel)
            await stub.CreateSession(sessions_pb2.CreateSessionRequest(session_id=SESSION))
            killed = start("models", tmp_path, before=KILLED_AT_KEEP, **settings)
            try:
                with pytest.raises(grpc.aio.AioRpcError):
                    await ask(killed)
                assert await killed.end() < 0
            finally:
                killed.close()
            with running("models", tmp_path, **settings) as models:
                first, second = await ask(models), await ask(models)
            page = await stub.ListMessages(sessions_pb2.ListMessagesRequest(session_id=SESSION))
    assert [entry.message.content for entry in page.messages] == ["Hello!", "Hi."]
    for answer in (first, second):
        assert (answer.text, answer.session_next_sequence, is_repeated(answer)) == ("Hi.", 3, True)
    assert len(upstream.requests) == 1


@for_each("verb", ("Chat", "ChatStream"))
async def test_answer_that_was_not_kept_is_given_as_the_session_has_it(
    tmp_path: Path, upstream: ScriptedUpstream, answers_are_lost: pytest.MonkeyPatch, verb: str
) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    request = turn("What time is it?", request_id="r-1", tools=[{"name": "clock"}])
    async with platform(tmp_path / verb, upstream) as p:
        upstream.play(json_answer(completion("", tool_calls=[call])))
        first = await p.models.Chat(request)
        again = await chat(p.models, request, verb)
        assert is_repeated(again)
        assert again.message == first.message
        assert (again.tool_calls, again.finish_reason) == (first.tool_calls, "tool_calls")
        assert again.session_next_sequence == first.session_next_sequence == 3
        assert await contents(p) == ["What time is it?", ""]


async def test_expected_sequence_of_a_repeated_turn_is_that_of_its_beginning(
    tmp_path: Path, upstream: ScriptedUpstream, answers_are_lost: pytest.MonkeyPatch
) -> None:
    request = turn(request_id="r-1", session={"expected_next_sequence": 1})
    async with platform(tmp_path, upstream) as p:
        upstream.play(json_answer(completion()))
        await p.models.Chat(request)
        assert is_repeated(await p.models.Chat(request))


async def test_another_request_is_a_turn_of_its_own_although_its_id_was_used(
    tmp_path: Path, upstream: ScriptedUpstream, answers_are_lost: pytest.MonkeyPatch
) -> None:
    upstream.default = answered_in_any_dialect
    async with platform(tmp_path, upstream) as p:
        for text in ("One", "Two"):
            assert not is_repeated(await p.models.Chat(turn(text, request_id="r-1")))
        assert await contents(p) == ["One", "Hi.", "Two", "Hi."]


async def test_turn_that_was_truncated_is_answered_and_appended_anew(
    tmp_path: Path, upstream: ScriptedUpstream, answers_are_lost: pytest.MonkeyPatch
) -> None:
    request = turn(request_id="r-1")
    async with platform(tmp_path, upstream) as p:
        upstream.play(json_answer(completion("First.")), json_answer(completion("Second.")))
        await p.models.Chat(request)
        await p.sessions.call(
            "TruncateMessages", sessions_pb2.TruncateMessagesRequest(session_id=SESSION, from_sequence=1)
        )
        # The second of them takes the place of the answer.
        await p.sessions.append("a", "b")
        assert (await p.models.Chat(request)).text == "Second."
        assert await contents(p) == ["a", "b", "Hello!", "Second."]
