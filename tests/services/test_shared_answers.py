"""`cache` of a chat through a real Model Service: equal requests of one caller share an answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from proto import models_pb2, models_pb2_grpc
from services.models.calls import shared_answers
from services.models.calls.shared_answers import SharedAnswers, Sharing
from services.models.servicer import ModelServicer
from services.shared.call import Call
from tests.rows import for_each
from tests.scripted_upstream import ScriptedUpstream, event_stream, json_answer, no_answer
from tests.services.model_service import (
    END,
    STRANGER,
    ModelService,
    chat_request,
    completion,
    model_service,
    piece,
    registration,
    streamed_completion,
)
from tests.services.vendor_answers import answered_in_any_dialect
from tests.support.errors import failure_of, stream_failure

MINUTE = models_pb2.AnswerCache(max_age=Duration(seconds=60))


def is_shared(response: models_pb2.ChatResponse) -> bool:
    return any(notice.code == "ANSWER_FROM_MEMORY" for notice in response.warnings)


def beginnings(monkeypatch: pytest.MonkeyPatch, count: int) -> asyncio.Event:
    """Is set when so many calls have looked for an answer that they can share."""
    all_are_there, original, begun = asyncio.Event(), SharedAnswers.begin, itertools.count(1)

    async def begin(self: SharedAnswers, *arguments: Any) -> Sharing:
        if next(begun) == count:
            all_are_there.set()
        return await original(self, *arguments)

    monkeypatch.setattr(SharedAnswers, "begin", begin)
    return all_are_there


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
    gate, all_are_there = asyncio.Event(), beginnings(monkeypatch, 4)
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
    gate, both_are_there = asyncio.Event(), beginnings(monkeypatch, 2)
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


async def test_model_that_is_gone_or_is_elsewhere_has_no_answer_in_memory(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    request = chat_request("mine", cache=MINUTE)
    async with ScriptedUpstream(default=answered_in_any_dialect) as elsewhere:
        upstream.default = answered_in_any_dialect
        await service.stub.RegisterModel(registration(upstream))
        await service.stub.Chat(request)
        assert is_shared(await service.stub.Chat(request))
        await service.stub.DeregisterModel(models_pb2.DeregisterModelRequest(name="mine"))
        assert (await failure_of(service.stub.Chat(request))).reason == "MODEL_NOT_FOUND"
        await service.stub.RegisterModel(registration(elsewhere))
        assert not is_shared(await service.stub.Chat(request))
        assert [sent.path for sent in elsewhere.requests if sent.method == "POST"]


async def test_new_version_of_a_prompt_has_no_answer_in_memory(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.default = answered_in_any_dialect
    request = chat_request(system_prompt_name="support", cache=MINUTE)
    for content in ("Be kind.", "Be short."):
        await service.stub.RegisterPrompt(models_pb2.RegisterPromptRequest(name="support", content=content))
        await service.stub.SetPromptLabel(
            models_pb2.SetPromptLabelRequest(name="support", label="production", version=1 + len(upstream.requests))
        )
        assert not is_shared(await service.stub.Chat(request))
        assert is_shared(await service.stub.Chat(request))


async def read_to_the_end(stream: Any) -> list[models_pb2.ChatChunk]:
    chunks: list[models_pb2.ChatChunk] = []
    while (chunk := await stream.read()) is not grpc.aio.EOF:
        chunks.append(chunk)
    return chunks


async def test_caller_that_does_not_read_holds_up_nobody(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_answers, "STALLED_SECONDS", 0.2)
    both_are_there = beginnings(monkeypatch, 3)
    chunk = piece("x" * 32 * 1024)
    upstream.play(streamed_completion(*[chunk] * 40), answered_in_any_dialect)
    request = chat_request(cache=MINUTE)
    options = [("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(service.address, options) as channel:
        unread = models_pb2_grpc.ModelServiceStub(channel).ChatStream(request)
        await unread.read()
        others = [asyncio.ensure_future(service.stub.Chat(request, timeout=10)) for _ in range(2)]
        await both_are_there.wait()
        answers = await asyncio.gather(*others)
        assert {answer.text for answer in answers} == {"Hi."}
        assert sorted(map(is_shared, answers)) == [False, True]
        # Its own answer is whole all the same, as soon as it is read.
        chunks = [chunk for chunk in await read_to_the_end(unread) if chunk.HasField("response")]
    assert len(chunks[-1].response.text) == 40 * 32 * 1024
    assert len(upstream.requests) == 2


class SlowEnd:
    """Stands before a ModelServicer, and hands the end of a first stream on when it is open."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        self._servicer: Any = None

    def before(self, servicer: ModelServicer) -> SlowEnd:
        self._servicer = servicer
        return self

    async def ChatStream(self, request: models_pb2.ChatRequest, call: Call) -> AsyncIterator[models_pb2.ChatChunk]:
        async for chunk in self._servicer.ChatStream(request, call):
            if chunk.HasField("response") and not self.reached.is_set():
                self.reached.set()
                await self.open.wait()
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._servicer, name)


async def test_caller_that_is_slow_to_take_the_end_holds_up_nobody(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_answers, "STALLED_SECONDS", 3600)
    both_are_there, gate, end = beginnings(monkeypatch, 2), asyncio.Event(), SlowEnd()
    upstream.play(event_stream(piece("Hi."), gate, END))
    request = chat_request(cache=models_pb2.AnswerCache())
    async with model_service(tmp_path, upstream, servicer=end.before) as service:
        slow = service.stub.ChatStream(request)
        await upstream.received(1)
        other = asyncio.ensure_future(service.stub.Chat(request, timeout=10))
        await both_are_there.wait()
        gate.set()
        assert is_shared(await other)
        await end.reached.wait()
        end.open.set()
        assert [chunk async for chunk in slow][-1].response.text == "Hi."


async def test_timeout_of_one_caller_is_no_failure_of_another(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(no_answer(), answered_in_any_dialect)
    hasty = models_pb2.Timeouts(total=Duration(nanos=300_000_000))
    first = asyncio.ensure_future(failure_of(service.stub.Chat(chat_request(cache=MINUTE, timeouts=hasty))))
    await upstream.received(1)
    assert (await service.stub.Chat(chat_request(cache=MINUTE), timeout=10)).text == "Hi."
    assert (await first).reason == "UPSTREAM_TIMEOUT"
    assert is_shared(await service.stub.Chat(chat_request(cache=MINUTE, timeouts=hasty)))


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
