"""A request_id through real Model Services: one answer for a day, whichever replica is asked and however often."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from proto import models_pb2
from services.models.calls import idempotency, kept_answers
from services.models.calls.kept_answers import Found, KeptAnswers, Key
from tests.rows import for_each
from tests.scripted_upstream import ScriptedUpstream, event_stream, json_answer
from tests.services.model_service import (
    END,
    ModelService,
    chat_request,
    completion,
    model_service,
    piece,
    registration,
)
from tests.services.vendor_answers import answered_in_any_dialect
from tests.support.databases import provide_behind
from tests.support.errors import failure_of, stream_failure


async def stream(service: ModelService, request: models_pb2.ChatRequest) -> list[models_pb2.ChatChunk]:
    return [chunk async for chunk in service.stub.ChatStream(request)]


def is_repeated(response: models_pb2.ChatResponse) -> bool:
    return any(notice.code == "ANSWER_REPEATED" for notice in response.warnings)


def first_answer(response: models_pb2.ChatResponse) -> models_pb2.ChatResponse:
    """The first answer, which a repetition is but for its notice."""
    notices = [notice for notice in response.warnings if notice.code != "ANSWER_REPEATED"]
    copy = models_pb2.ChatResponse()
    copy.CopyFrom(response)
    del copy.warnings[:]
    copy.warnings.extend(notices)
    return copy


async def test_repetition_gets_the_first_answer_whole_and_streamed(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.default = answered_in_any_dialect
    request = chat_request(request_id="r-1")
    first = await service.stub.Chat(request)
    again = await service.stub.Chat(request)
    chunks = await stream(service, request)
    assert not is_repeated(first)
    for repeated in (again, chunks[-1].response):
        assert is_repeated(repeated)
        assert first_answer(repeated) == first
    assert "".join(chunk.token for chunk in chunks) == "Hi."
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert chunks[-1].finish_reason == "stop"
    assert len(upstream.requests) == 1


async def test_answer_of_a_stream_is_kept_before_its_caller_has_it(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.default = answered_in_any_dialect
    request = chat_request(request_id="r-1")
    chunks = await stream(service, request)
    again = await service.stub.Chat(request)
    assert first_answer(again) == chunks[-1].response
    assert len(upstream.requests) == 1


async def test_parts_of_every_kind_come_again_in_a_stream(service: ModelService, upstream: ScriptedUpstream) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": '{"zone":"UTC"}'}}
    upstream.play(json_answer(completion("Looking.", tool_calls=[call], reasoning_content="Hm.")))
    request = chat_request(request_id="r-1", tools=[models_pb2.ToolDefinition(name="clock")])
    first = await service.stub.Chat(request)
    chunks = await stream(service, request)
    assert "".join(chunk.token for chunk in chunks) == first.text == "Looking."
    deltas = [chunk.tool_call_delta for chunk in chunks if chunk.HasField("tool_call_delta")]
    assert [(delta.index, delta.id, delta.name, delta.arguments_json) for delta in deltas] == [
        (0, "call_1", "clock", '{"zone":"UTC"}')
    ]
    assert first_answer(chunks[-1].response) == first


async def test_running_call_is_waited_for(service: ModelService, upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.play(event_stream(piece("Hi."), gate, END))
    request = chat_request(request_id="r-1")
    first = asyncio.create_task(stream(service, request))
    await upstream.received(1)
    second = asyncio.ensure_future(service.stub.Chat(request))
    done, _ = await asyncio.wait({second}, timeout=0.3)
    assert not done
    gate.set()
    assert first_answer(await second) == (await first)[-1].response
    assert len(upstream.requests) == 1


async def test_failed_or_abandoned_call_is_answered_anew(service: ModelService, upstream: ScriptedUpstream) -> None:
    request = chat_request(request_id="r-1")
    upstream.play(json_answer({"error": {"message": "no"}}, status=400))
    await failure_of(service.stub.Chat(request))
    gate = asyncio.Event()
    upstream.play(event_stream(piece("Hi."), gate, END))
    left = service.stub.ChatStream(request)
    await left.read()
    left.cancel()
    await upstream.requests[1].closed_by_peer()
    upstream.default = answered_in_any_dialect
    assert not is_repeated(await service.stub.Chat(request))
    assert len(upstream.requests) == 3
    gate.set()


async def test_another_request_under_the_id_is_refused(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.default = answered_in_any_dialect
    await service.stub.Chat(chat_request(request_id="r-1"))
    other = chat_request(text="Bye!", request_id="r-1")
    _, streamed = await stream_failure(service.stub.ChatStream(other))
    for failure in (await failure_of(service.stub.Chat(other)), streamed):
        assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
        assert list(failure.fields) == ["request_id"]
    assert len(upstream.requests) == 1


@for_each("request_id", ["x" * 65, "a\nb", "\u202e"])
async def test_id_that_is_none_is_refused_by_its_field(service: ModelService, request_id: str) -> None:
    failure = await failure_of(service.stub.Chat(chat_request(request_id=request_id)))
    assert list(failure.fields) == ["request_id"]


async def test_first_answer_is_given_again_although_its_model_and_prompt_are_gone(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.default = answered_in_any_dialect
    await service.stub.RegisterModel(registration(upstream))
    await service.stub.RegisterPrompt(models_pb2.RegisterPromptRequest(name="support", content="Be kind."))
    request = chat_request("mine", system_prompt_name="support", request_id="r-1")
    first = await service.stub.Chat(request)
    await service.stub.DeregisterModel(models_pb2.DeregisterModelRequest(name="mine"))
    await service.stub.ArchivePrompt(models_pb2.ArchivePromptRequest(name="support"))
    assert first_answer(await service.stub.Chat(request)) == first


async def test_wrong_field_is_named_before_the_id_is_looked_up(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.default = answered_in_any_dialect
    await service.stub.Chat(chat_request(request_id="r-1"))
    wrong = chat_request(request_id="r-1", config=models_pb2.ChatConfig(temperature=9), end_user_id="x" * 2000)
    assert list((await failure_of(service.stub.Chat(wrong))).fields) == ["config.temperature", "end_user_id"]


async def test_replicas_share_the_answers(tmp_path: Path, upstream: ScriptedUpstream, postgresql_url: str) -> None:
    upstream.default = answered_in_any_dialect
    provide_behind(postgresql_url, "calls")
    settings = {"MODELS_CALLS_DATABASE_URL": postgresql_url}
    request = chat_request(request_id="r-1")
    async with (
        model_service(tmp_path / "a", upstream, **settings) as one,
        model_service(tmp_path / "b", upstream, **settings) as other,
    ):
        answers = await asyncio.gather(*(service.stub.Chat(request) for service in (one, other) * 10))
    assert len({answer.response_id for answer in answers}) == 1
    assert len(upstream.requests) == 1


async def test_call_of_a_process_that_was_killed_is_taken_over(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "LEASE_SECONDS", 0.2)
    monkeypatch.setattr(idempotency, "LEASE_SECONDS", 3600)
    gate = asyncio.Event()
    upstream.play(event_stream(piece("Hi."), gate, END), answered_in_any_dialect)
    request = chat_request(request_id="r-1")
    stuck = service.stub.ChatStream(request)
    await upstream.received(1)
    assert (await service.stub.Chat(request)).text == "Hi."
    stuck.cancel()
    gate.set()


async def test_call_whose_place_was_taken_says_that_its_answer_is_not_kept(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "LEASE_SECONDS", 0.2)
    monkeypatch.setattr(idempotency, "LEASE_SECONDS", 3600)
    gate = asyncio.Event()
    upstream.play(event_stream(piece("Late."), gate, END), answered_in_any_dialect)
    request = chat_request(request_id="r-1")
    late = asyncio.create_task(stream(service, request))
    await upstream.received(1)
    taken = await service.stub.Chat(request)
    gate.set()
    answer = (await late)[-1].response
    assert answer.text == "Late."
    assert "ANSWER_NOT_KEPT" in [notice.code for notice in answer.warnings]
    assert first_answer(await service.stub.Chat(request)) == taken


async def test_answer_is_kept_for_a_day_and_no_longer(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept_answers.KEPT_SECONDS == 24 * 3600
    monkeypatch.setattr(kept_answers, "KEPT_SECONDS", 0.0)
    upstream.default = answered_in_any_dialect
    request = chat_request(request_id="r-1")
    for _ in range(2):
        assert not is_repeated(await service.stub.Chat(request))
    assert len(upstream.requests) == 2


async def test_ids_belong_to_their_callers(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.default = answered_in_any_dialect
    for number, host in enumerate(("10.0.0.1", "10.0.0.2"), 1):
        request = chat_request(text=host, request_id="r-1")
        answer = await service.stub.Chat(request, metadata=[("x-genai-caller", f"ipv4:{host}:5")])
        assert not is_repeated(answer)
        assert len(upstream.requests) == number


async def test_an_answer_is_kept_for_its_day_although_its_lease_is_extended_just_then(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Leases are over at once, as this one would be some seconds later.
    monkeypatch.setattr(kept_answers, "LEASE_SECONDS", -1.0)
    original, extended = KeptAnswers.keep, []

    async def keep(self: KeptAnswers, key: Key, holder: str, response: bytes) -> None:
        await original(self, key, holder, response)
        extended.append(await self.extend(key, holder))

    monkeypatch.setattr(KeptAnswers, "keep", keep)
    upstream.default = answered_in_any_dialect
    request = chat_request(request_id="r-1")
    await service.stub.Chat(request)
    assert is_repeated(await service.stub.Chat(request))
    assert extended == [False]
    assert len(upstream.requests) == 1


async def test_answer_is_kept_although_its_caller_leaves_while_it_is_stored(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing, go_on = asyncio.Event(), asyncio.Event()
    original = KeptAnswers.keep

    async def keep(self: KeptAnswers, key: Key, holder: str, response: bytes) -> None:
        storing.set()
        await go_on.wait()
        await original(self, key, holder, response)

    monkeypatch.setattr(KeptAnswers, "keep", keep)
    upstream.default = answered_in_any_dialect
    request = chat_request(request_id="r-1")
    left = service.stub.Chat(request)
    waiting = asyncio.ensure_future(left)
    await storing.wait()
    left.cancel()
    await asyncio.wait({waiting})
    go_on.set()
    assert is_repeated(await service.stub.Chat(request))
    assert len(upstream.requests) == 1


async def test_id_is_free_after_a_caller_has_left_while_it_was_claimed(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed, original = asyncio.Event(), KeptAnswers.claim

    async def claim(self: KeptAnswers, key: Key, fingerprint: str, holder: str) -> Found:
        found = await original(self, key, fingerprint, holder)
        if not claimed.is_set():
            claimed.set()
            await asyncio.Event().wait()
        return found

    monkeypatch.setattr(KeptAnswers, "claim", claim)
    upstream.default = answered_in_any_dialect
    request = chat_request(request_id="r-1")
    left = service.stub.Chat(request)
    waiting = asyncio.ensure_future(left)
    await claimed.wait()
    left.cancel()
    await asyncio.wait({waiting})
    assert not is_repeated(await service.stub.Chat(request, timeout=5))
