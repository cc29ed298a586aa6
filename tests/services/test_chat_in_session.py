"""Chat and ChatStream in a session: what is read, sent and appended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from proto import sessions_pb2 as pb
from proto.models_pb2 import ChatMessage, SessionOptions, ToolCall, WindowPolicy
from services.shared.logs import open_log
from tests.rows import row
from tests.scripted_upstream import Ending, Received, Script, ScriptedUpstream, event_stream, json_answer
from tests.services.chat_in_session import SESSION, Platform, chat, platform, turn
from tests.services.log_file import LogFile
from tests.services.model_service import (
    chat_request,
    completion,
    model_service,
    piece,
    registration,
    streamed_completion,
)
from tests.services.session_service import said
from tests.support.errors import failure_of, stream_failure

VERBS = ["Chat", "ChatStream"]
ABORTED = grpc.StatusCode.ABORTED


def echo(request: Received) -> Script:
    """Answers with the number of messages that came, whole or streamed."""
    if request.method == "GET":
        return json_answer({"data": []})
    sent = request.json()
    text = f"answer to {len(sent['messages'])}"
    return streamed_completion(piece(text)) if sent.get("stream") else json_answer(completion(text))


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=echo) as server:
        yield server


@pytest.fixture
async def p(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Platform]:
    async with platform(tmp_path, upstream) as running:
        yield running


@pytest.fixture
async def replicated(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Platform]:
    async with platform(tmp_path, upstream, replicated=True) as running:
        yield running


def sent(upstream: ScriptedUpstream) -> list[tuple[str, Any]]:
    """Role and content of the messages of the newest upstream request."""
    return [(message["role"], message["content"]) for message in upstream.requests[-1].json()["messages"]]


@pytest.mark.parametrize("verb", VERBS)
async def test_the_second_turn_knows_the_first(tmp_path: Path, upstream: ScriptedUpstream, verb: str) -> None:
    async with platform(tmp_path, upstream) as p:
        first = await chat(p.models, turn("one"), verb)
        second = await chat(p.models, turn("two"), verb)
        assert sent(upstream) == [("user", "one"), ("assistant", "answer to 1"), ("user", "two")]
        assert [(r.session_id, r.session_next_sequence) for r in (first, second)] == [(SESSION, 3), (SESSION, 5)]
        assert [message.content for message in await p.history()] == ["one", "answer to 1", "two", "answer to 3"]
        assert (await p.history())[1] == first.message
        assert not first.warnings


@pytest.mark.parametrize("verb", VERBS)
async def test_a_chat_without_a_session_tells_of_none(p: Platform, verb: str) -> None:
    response = await chat(p.models, chat_request(), verb)
    assert (response.session_id, response.session_next_sequence) == ("", 0)
    assert await p.history() == []


async def test_the_system_prompt_is_sent_first_and_never_stored(p: Platform, upstream: ScriptedUpstream) -> None:
    await p.models.RegisterPrompt(models_pb2.RegisterPromptRequest(name="brief", content="Be brief."))
    for text in ("one", "two"):
        await p.models.Chat(turn(text, system_prompt_name="brief"))
    assert sent(upstream) == [("system", "Be brief."), ("user", "one"), ("assistant", "answer to 2"), ("user", "two")]
    assert [message.role for message in await p.history()] == ["user", "assistant"] * 2


async def test_the_stream_s_tokens_come_before_the_append_and_the_last_chunk_behind_it(
    p: Platform, upstream: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    upstream.play(streamed_completion(piece("a"), gate))
    chunks = aiter(p.models.ChatStream(turn()))
    assert (await anext(chunks)).token == "a"
    assert await p.history() == []
    gate.set()
    last = [chunk async for chunk in chunks][-1]
    assert last.response.session_next_sequence == 3
    assert len(await p.history()) == 2


BROKEN: dict[str, Script] = {
    "refused": json_answer({"error": {"message": "no"}}, status=400),
    "cut in mid-stream": event_stream(piece("a"), ending=Ending.CUT),
    "without an end": event_stream(piece("a")),
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN.keys())
async def test_a_failed_stream_stores_nothing_and_lets_the_next_turn_begin_at_once(
    replicated: Platform, upstream: ScriptedUpstream, script: Script
) -> None:
    upstream.play(script)
    await stream_failure(replicated.models.ChatStream(turn("failed")))
    assert await replicated.history() == []
    assert (await replicated.replica.Chat(turn("again"))).session_next_sequence == 3


@pytest.mark.parametrize("verb", VERBS)
async def test_a_second_turn_at_the_same_time_is_refused_at_once_in_every_replica(
    tmp_path: Path, upstream: ScriptedUpstream, verb: str
) -> None:
    gate = asyncio.Event()
    async with platform(tmp_path, upstream, replicated=True) as p:
        upstream.play(streamed_completion(piece("first"), gate))
        first = aiter(p.models.ChatStream(turn("first")))
        await anext(first)
        for stub in (p.models, p.replica):
            call = stub.Chat(turn("second")) if verb == "Chat" else stub.ChatStream(turn("second")).read()
            failure = await failure_of(call)
            assert (failure.code, failure.reason) == (ABORTED, "SESSION_BUSY")
        assert len(upstream.requests) == 1
        gate.set()
        assert [chunk async for chunk in first][-1].response.session_next_sequence == 3
        assert (await p.replica.Chat(turn("second"))).session_next_sequence == 5


async def test_of_many_turns_at_once_one_is_answered_and_no_other_is_sent(
    database_url: str, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async def attempt(stub: Any) -> str:
        try:
            await stub.Chat(turn())
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    gate = asyncio.Event()
    async with platform(tmp_path, upstream, database_url, replicated=True) as p:
        upstream.play(json_answer(completion(), before=[gate]))
        attempts = [asyncio.create_task(attempt(stub)) for stub in [p.models, p.replica] * 8]
        for finished, ended in enumerate(asyncio.as_completed(attempts)):
            outcome = await ended
            assert outcome == ("OK" if finished == 15 else "ABORTED")
            if finished == 14:
                gate.set()
        assert len(upstream.requests) == 1
        assert len(await p.history()) == 2


async def test_a_turn_that_takes_longer_than_a_lease_keeps_its_session(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The clock of the store moves only when it is set: an extended lease reaches beyond its first end."""
    gate = asyncio.Event()
    async with platform(tmp_path, upstream, replicated=True, lease_seconds=1.5) as p:
        upstream.play(json_answer(completion(), before=[gate]))
        answering = asyncio.ensure_future(p.models.Chat(turn()))
        await upstream.received(1)
        p.sessions.clock.advance(1)
        assert (await p.session_log.calls(3))[-1]["method"] == "TurnService/ExtendTurn"
        p.sessions.clock.advance(1)
        assert (await failure_of(p.replica.Chat(turn()))).reason == "SESSION_BUSY"
        gate.set()
        assert (await answering).session_next_sequence == 3


async def test_after_a_lease_that_nobody_extends_another_turn_begins_and_the_lost_one_is_answered_with_a_warning(
    replicated: Platform, upstream: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    upstream.play(json_answer(completion("late"), before=[gate]))
    answering = asyncio.ensure_future(replicated.models.Chat(turn("lost")))
    await upstream.received(1)
    replicated.sessions.clock.advance(16)
    upstream.play(json_answer(completion("other"), before=[gate]))
    other = asyncio.ensure_future(replicated.replica.Chat(turn("other")))
    await upstream.received(2)
    gate.set()
    lost, kept = await asyncio.gather(answering, other)
    assert [notice.code for notice in lost.warnings] == ["SESSION_APPEND_FAILED"]
    assert (lost.text, lost.session_next_sequence) == ("late", 0)
    assert kept.session_next_sequence == 3
    assert [message.content for message in await replicated.history()] == ["other", "other"]


@pytest.mark.parametrize("verb", VERBS)
async def test_an_append_by_others_during_a_turn_costs_the_append_and_not_the_answer(
    tmp_path: Path, upstream: ScriptedUpstream, verb: str
) -> None:
    gate = asyncio.Event()
    async with platform(tmp_path, upstream) as p:
        answer = json_answer(completion("paid"), before=[gate])
        streamed = streamed_completion(piece("paid"), before=[gate])
        upstream.play(answer if verb == "Chat" else streamed)
        answering = asyncio.create_task(chat(p.models, turn(), verb))
        await upstream.received(1)
        await p.sessions.append("in between", session_id=SESSION)
        gate.set()
        response = await answering
        assert (response.text, response.session_id, response.session_next_sequence) == ("paid", SESSION, 0)
        assert [(notice.code, notice.field) for notice in response.warnings] == [
            ("SESSION_APPEND_FAILED", "session_id")
        ]
        assert [message.content for message in await p.history()] == ["in between"]
        assert (await p.models.Chat(turn())).session_next_sequence == 4


async def test_a_session_truncated_and_refilled_during_a_turn_does_not_take_its_answer(
    p: Platform, upstream: ScriptedUpstream
) -> None:
    """The next sequence is what it was, and yet the turn answers something that was never said."""
    await p.sessions.append("old", session_id=SESSION)
    gate = asyncio.Event()
    upstream.play(json_answer(completion(), before=[gate]))
    answering = asyncio.ensure_future(p.models.Chat(turn()))
    await upstream.received(1)
    await p.sessions.call("TruncateMessages", pb.TruncateMessagesRequest(session_id=SESSION, from_sequence=1))
    await p.sessions.append("new", session_id=SESSION)
    gate.set()
    assert [notice.code for notice in (await answering).warnings] == ["SESSION_APPEND_FAILED"]
    assert [message.content for message in await p.history()] == ["new"]


async def test_a_turn_that_appends_nothing_reads_only_and_waits_for_nobody(
    p: Platform, upstream: ScriptedUpstream
) -> None:
    await p.models.Chat(turn("one"))
    gate = asyncio.Event()
    upstream.play(json_answer(completion("two"), before=[gate]))
    answering = asyncio.ensure_future(p.models.Chat(turn("two")))
    await upstream.received(2)
    aside = await p.models.Chat(turn("aside", session=SessionOptions(skip_append=True)))
    assert (aside.text, aside.session_id, aside.session_next_sequence) == ("answer to 3", SESSION, 3)
    gate.set()
    await answering
    assert [message.content for message in await p.history()] == ["one", "answer to 1", "two", "two"]


@pytest.mark.parametrize("skip_append", [False, True])
async def test_a_turn_that_expects_another_sequence_conflicts_before_anything_is_sent(
    p: Platform, upstream: ScriptedUpstream, skip_append: bool
) -> None:
    await p.models.Chat(turn(session=SessionOptions(expected_next_sequence=1, skip_append=skip_append)))
    await p.sessions.append("more", session_id=SESSION)
    failure = await failure_of(p.models.Chat(turn(session=SessionOptions(expected_next_sequence=1))))
    assert (failure.code, failure.reason) == (ABORTED, "SEQUENCE_CONFLICT")
    assert failure.metadata["expected_next_sequence"] == "1"
    assert len(upstream.requests) == 1
    await p.models.Chat(turn())


async def test_no_session_and_somebody_else_s_are_both_not_found_before_anything_is_sent(
    p: Platform, upstream: ScriptedUpstream
) -> None:
    for skip_append in [False, True]:
        for fields in [{"session_id": "nowhere"}, {"session": {"user_id": "bob"}}]:
            with row(skip_append, fields):
                request = turn()
                request.MergeFrom(models_pb2.ChatRequest(**fields))
                request.session.skip_append = skip_append
                failure = await failure_of(p.models.Chat(request))
                assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
                assert not upstream.requests


async def test_the_owner_chats_in_their_session(p: Platform) -> None:
    response = await p.models.Chat(turn(session=SessionOptions(user_id="ann")))
    assert response.session_next_sequence == 3


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "options without a session": ({"session": SessionOptions()}, "session"),
    "an id of other characters": ({"session_id": "a b"}, "session_id"),
    "an id too long": ({"session_id": "a" * 129}, "session_id"),
    "a negative window": (
        {"session_id": "s", "session": SessionOptions(window=WindowPolicy(max_tokens=-1))},
        "session.window.max_tokens",
    ),
    "a sequence below the first": (
        {"session_id": "s", "session": SessionOptions(expected_next_sequence=0)},
        "session.expected_next_sequence",
    ),
    "a user too long": ({"session_id": "s", "session": SessionOptions(user_id="a" * 257)}, "session.user_id"),
    "more messages than one append takes": (
        {"session_id": "s", "messages": [ChatMessage(role="user", content="x")] * 1000},
        "messages",
    ),
}


async def test_what_is_wrong_with_a_session_is_named(p: Platform, upstream: ScriptedUpstream) -> None:
    for fields, field in INVALID.values():
        with row(fields, field):
            failure = await failure_of(p.models.Chat(chat_request(**fields)))
            assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
            assert not upstream.requests


async def test_the_window_of_the_request_is_what_is_sent(p: Platform, upstream: ScriptedUpstream) -> None:
    for text in ("one", "two", "three"):
        await p.models.Chat(turn(text))
    window = SessionOptions(window=WindowPolicy(max_messages=3))
    response = await p.models.Chat(turn("four", session=window))
    assert sent(upstream) == [("user", "three"), ("assistant", "answer to 5"), ("user", "four")]
    assert not response.warnings
    assert response.session_next_sequence == 9


async def test_without_a_window_the_model_s_own_is_kept_to_and_a_cut_is_told(
    p: Platform, upstream: ScriptedUpstream
) -> None:
    """1000 tokens, less a tenth, 200 for the answer and 100 for the question: two turns of 208 fit, three do not."""
    capabilities = models_pb2.ModelCapabilities(context_window=1000, max_output_tokens=200)
    await p.models.RegisterModel(registration(upstream, "small", capabilities=capabilities))
    for number in range(4):
        await p.sessions.append(said("user", f"{number}" * 400), said("assistant", "x" * 400), session_id=SESSION)
    response = await p.models.Chat(turn("x" * 400, "small"))
    contents = [message["content"][0] for message in upstream.requests[-1].json()["messages"]]
    assert contents == ["2", "x", "3", "x", "x"]
    assert [(notice.code, notice.field) for notice in response.warnings] == [("SESSION_HISTORY_CUT", "session.window")]
    assert "4 older messages" in response.warnings[0].message


async def test_a_model_of_an_unknown_window_is_sent_everything(p: Platform, upstream: ScriptedUpstream) -> None:
    await p.models.RegisterModel(registration(upstream, "unknown"))
    await p.sessions.append(*["x" * 4000] * 100, session_id=SESSION)
    response = await p.models.Chat(turn(model="unknown"))
    assert len(sent(upstream)) == 101
    assert not response.warnings


async def test_a_result_whose_call_the_window_leaves_out_is_refused_before_anything_is_sent(
    p: Platform, upstream: ScriptedUpstream
) -> None:
    call = said("assistant", tool_calls=[ToolCall(id="c", name="f", arguments_json="{}")])
    await p.sessions.append(said("user", "x"), call, session_id=SESSION)
    result = [ChatMessage(role="tool", content="42", tool_call_id="c")]
    window = SessionOptions(window=WindowPolicy(max_messages=1))
    failure = await failure_of(p.models.Chat(turn(messages=result, session=window)))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOOL_CALL_NOT_IN_CONTEXT")
    assert not upstream.requests
    assert (await p.models.Chat(turn(messages=result))).session_next_sequence == 5


async def test_a_history_that_no_request_could_have_is_named_and_not_sent(
    p: Platform, upstream: ScriptedUpstream
) -> None:
    state = models_pb2.ProviderState(provider="anthropic", data=b'{"role": "system"}, "injected": {')
    forged = ChatMessage(role="assistant", parts=[models_pb2.ContentPart(provider_state=state)])
    await p.sessions.append("fine", forged, session_id=SESSION)
    failure = await failure_of(p.models.Chat(turn(model="claude-sonnet-4-6")))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_HISTORY_INVALID")
    assert failure.metadata["sequence"] == "2"
    assert not upstream.requests


async def test_what_is_left_out_of_the_history_is_told_once_and_of_the_request_by_its_place(
    p: Platform, upstream: ScriptedUpstream
) -> None:
    thought = models_pb2.ContentPart(reasoning=models_pb2.Reasoning(text="hm"))
    thinking = ChatMessage(role="assistant", parts=[thought, models_pb2.ContentPart(text="so")])
    await p.sessions.append("a", thinking, "b", thinking, session_id=SESSION)
    asked = [ChatMessage(role="user", content="c"), thinking, ChatMessage(role="user", content="d")]
    response = await p.models.Chat(turn(messages=asked))
    assert [(notice.code, notice.field) for notice in response.warnings] == [
        ("REASONING_DROPPED", "messages[1].parts[0]"),
        ("REASONING_DROPPED", "session_id"),
    ]


async def test_the_log_has_the_session_and_nothing_of_what_was_said(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    log = LogFile()
    async with platform(tmp_path, upstream) as p:
        there = {"SESSIONS_ADDRESS": p.sessions.address}
        async with model_service(tmp_path / "logged", upstream, log=open_log("models", file=log), **there) as service:
            await service.stub.Chat(turn("a secret"))
            await service.stub.Chat(turn("a secret"))
            entry = (await log.calls(2))[-1]
    assert (entry["session_id"], entry["session_messages"], entry["session_append"]) == (SESSION, 2, "OK")
    assert b"secret" not in log.getvalue()
