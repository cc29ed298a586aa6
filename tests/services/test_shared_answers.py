"""`cache` of a chat through a real Model Service: equal requests of one caller share an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from proto import models_pb2
from services.models.calls import shared_answers
from services.models.calls.shared_answers import SharedAnswers, Sharing
from services.shared.rpc import Call
from tests.rows import for_each
from tests.scripted_upstream import ScriptedUpstream, event_stream, json_answer
from tests.services.model_service import END, STRANGER, ModelService, chat_request, completion, piece
from tests.services.vendor_answers import answered_in_any_dialect
from tests.support.errors import failure_of, stream_failure

MINUTE = models_pb2.AnswerCache(max_age=Duration(seconds=60))


def is_shared(response: models_pb2.ChatResponse) -> bool:
    return any(notice.code == "ANSWER_FROM_MEMORY" for notice in response.warnings)


async def test_equal_requests_share_an_answer_whole_and_streamed(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.default = answered_in_any_dialect
    first = await service.stub.Chat(chat_request(cache=MINUTE))
    second = await service.stub.Chat(chat_request(cache=MINUTE, tags={"team": "x"}))
    chunks = [chunk async for chunk in service.stub.ChatStream(chat_request(cache=MINUTE))]
    assert not is_shared(first)
    for response in (second, chunks[-1].response):
        assert is_shared(response)
        assert response.response_id == first.response_id
    assert "".join(chunk.token for chunk in chunks) == first.text
    assert len(upstream.requests) == 1


OTHERS: dict[str, dict[str, Any]] = {
    "without cache": {},
    "another text": {"text": "Bye!", "cache": MINUTE},
    "another model": {"model": "gpt-4o-mini", "cache": MINUTE},
    "another end user": {"end_user_id": "u", "cache": MINUTE},
    "other fallbacks": {"fallback_models": ["gpt-4o-mini"], "cache": MINUTE},
    "no age": {"cache": models_pb2.AnswerCache()},
}


@for_each("case", OTHERS)
async def test_other_requests_are_answered_anew(service: ModelService, upstream: ScriptedUpstream, case: str) -> None:
    upstream.default = answered_in_any_dialect
    await service.stub.Chat(chat_request(cache=MINUTE))
    assert not is_shared(await service.stub.Chat(chat_request(**OTHERS[case])))


async def test_other_callers_are_answered_anew(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.default = answered_in_any_dialect
    answers = [
        await service.stub.Chat(chat_request(cache=MINUTE), metadata=[("x-genai-caller", f"ipv4:{host}:5")])
        for host in ("10.0.0.1", "10.0.0.2", "10.0.0.1")
    ]
    assert [is_shared(answer) for answer in answers] == [False, False, True]
    stranger = [("x-genai-caller", "ipv4:10.0.0.1:5"), *STRANGER]
    assert not is_shared(await service.stub.Chat(chat_request(cache=MINUTE), metadata=stranger))


async def test_requests_that_run_at_once_are_one(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, all_are_there = asyncio.Event(), asyncio.Event()
    begun: list[models_pb2.ChatRequest] = []

    async def begin(self: SharedAnswers, request: models_pb2.ChatRequest, call: Call) -> Sharing:
        begun.append(request)
        if len(begun) == 4:
            all_are_there.set()
        return await original(self, request, call)

    original = SharedAnswers.begin
    monkeypatch.setattr(SharedAnswers, "begin", begin)
    upstream.play(event_stream(piece("Hi."), gate, END))
    request = chat_request(cache=models_pb2.AnswerCache())

    async def stream() -> models_pb2.ChatResponse:
        return [chunk async for chunk in service.stub.ChatStream(request)][-1].response

    first = asyncio.create_task(stream())
    await upstream.received(1)
    others = [asyncio.create_task(stream()) for _ in range(3)]
    await all_are_there.wait()
    gate.set()
    answers = await asyncio.gather(first, *others)
    assert {answer.text for answer in answers} == {"Hi."}
    assert len({answer.response_id for answer in answers}) == 1
    assert len(upstream.requests) == 1


async def test_failure_is_that_of_all_who_wait_and_of_nobody_later(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_are_there, begun = asyncio.Event(), 0
    original = SharedAnswers.begin

    async def begin(self: SharedAnswers, request: models_pb2.ChatRequest, call: Call) -> Sharing:
        nonlocal begun
        begun += 1
        if begun == 2:
            both_are_there.set()
        return await original(self, request, call)

    monkeypatch.setattr(SharedAnswers, "begin", begin)
    gate = asyncio.Event()
    upstream.play(json_answer({"error": {"message": "no"}}, status=400, before=[gate]), answered_in_any_dialect)
    request = chat_request(cache=MINUTE)
    first = asyncio.ensure_future(failure_of(service.stub.Chat(request)))
    await upstream.received(1)
    second = asyncio.ensure_future(failure_of(service.stub.Chat(request)))
    await both_are_there.wait()
    gate.set()
    assert (await first).reason == (await second).reason == "UPSTREAM_INVALID_REQUEST"
    assert not is_shared(await service.stub.Chat(request))
    assert len(upstream.requests) == 2


async def test_caller_that_leaves_hands_on_to_the_next(service: ModelService, upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.play(event_stream(piece("Hi."), gate, END), answered_in_any_dialect)
    request = chat_request(cache=MINUTE)
    left = service.stub.ChatStream(request)
    await left.read()
    second = asyncio.ensure_future(service.stub.Chat(request))
    left.cancel()
    assert not is_shared(await second)
    gate.set()


async def test_memory_is_bounded(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_answers, "MAX_BYTES", 8_000)
    monkeypatch.setattr(shared_answers, "MAX_ANSWER_BYTES", 4_500)
    texts = {"a": "x" * 1_500, "b": "x" * 1_500, "large": "x" * 4_000, "c": "x" * 1_500}
    for name, text in texts.items():
        upstream.play(json_answer(completion(text)))
        await service.stub.Chat(chat_request(text=name, cache=MINUTE))
    upstream.default = answered_in_any_dialect
    shared = {name: is_shared(await service.stub.Chat(chat_request(text=name, cache=MINUTE))) for name in "cb"}
    assert shared == {"c": True, "b": True}
    assert not is_shared(await service.stub.Chat(chat_request(text="large", cache=MINUTE)))
    assert not is_shared(await service.stub.Chat(chat_request(text="a", cache=MINUTE)))


@for_each(
    ("fields", "field"),
    [
        ({"cache": models_pb2.AnswerCache(max_age=Duration(seconds=-1))}, "cache.max_age"),
        ({"cache": models_pb2.AnswerCache(max_age=Duration(seconds=24 * 3600 + 1))}, "cache.max_age"),
        ({"cache": MINUTE, "session_id": "s"}, "cache"),
    ],
)
async def test_cache_that_cannot_be_is_refused_by_its_field(
    service: ModelService, fields: dict[str, Any], field: str
) -> None:
    request = chat_request(**fields)
    _, streamed = await stream_failure(service.stub.ChatStream(request))
    for failure in (await failure_of(service.stub.Chat(request)), streamed):
        assert list(failure.fields) == [field]
