"""Many chats at once, against a real server that limits them, refuses them and fails."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from genai_platform import (
    AsyncGenAIPlatform,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    ChatResults,
    GenAIPlatform,
    InvalidRequest,
    NotFound,
    RateLimited,
    TokenUsage,
)
from genai_platform.batches import Batch
from services.shared import errors
from services.shared.call import Call
from tests.services.sdk.backend import Backend, happens

PROMPTS = [f"Question {number}" for number in range(500)]


class LimitedModel:
    """Answers as many chats as are allowed, then none for a while, and says how long the others should wait."""

    def __init__(self, allowed: int, rest_seconds: float) -> None:
        self._allowed = allowed
        self._seconds = rest_seconds
        self._rests_until = 0.0
        self._served = 0
        self.refused = 0
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, request: ChatRequest, _: Call) -> ChatResponse:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self._admit()
            await asyncio.sleep(0.002)
        finally:
            self.at_once -= 1
        return answer(request)

    def _admit(self) -> None:
        now = time.monotonic()
        if now < self._rests_until:
            self.refused += 1
            raise errors.LimitExceeded("too many", reason="RATE_LIMITED", retry_after=self._rests_until - now)
        self._served += 1
        if self._served % self._allowed == 0:
            self._rests_until = now + self._seconds


def answer(request: ChatRequest) -> ChatResponse:
    usage = TokenUsage(prompt_tokens=3, completion_tokens=2, total_tokens=5, cost_nano_usd=1_000_000)
    return ChatResponse(text=f"Answer to {request.messages[-1].content}", usage=usage, finish_reason="stop")


async def run(client: GenAIPlatform | AsyncGenAIPlatform, *arguments: Any, **fields: Any) -> ChatResults:
    """A batch by either client, with the event loop free."""
    if isinstance(client, AsyncGenAIPlatform):
        return await client.models.map(*arguments, **fields)
    return await asyncio.to_thread(client.models.map, *arguments, **fields)


@pytest.fixture(params=["blocking", "asynchronous"])
def client(request: pytest.FixtureRequest, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform) -> Any:
    return platform if request.param == "blocking" else async_platform


async def test_five_hundred_prompts_pass_a_limit_of_three_hundred_a_minute(backend: Backend, client: Any) -> None:
    model = LimitedModel(allowed=300, rest_seconds=1.0)
    backend.answers["Chat"] = model
    results = await run(client, PROMPTS, model="m", concurrency=16)
    assert results.texts == [f"Answer to {prompt}" for prompt in PROMPTS]
    assert not results.failures
    assert model.most_at_once <= 16
    assert 1 <= model.refused <= 100
    assert results.retries == model.refused
    assert results.cost_usd == pytest.approx(0.5)
    assert results.total_tokens == 2500


async def test_failure_of_a_chat_is_its_result_and_ends_nothing(backend: Backend, client: Any) -> None:
    async def chat(request: ChatRequest, _: Call) -> ChatResponse:
        if request.messages[0].content == "bad":
            raise errors.NotFound("no such model", reason="MODEL_NOT_FOUND")
        return answer(request)

    backend.answers["Chat"] = chat
    prompts = ["a", [{"role": "user", "content": "bad"}], ChatRequest(messages=[ChatMessage(content="c")])]
    results = await run(client, prompts, model="m", temperature=0, concurrency=1)
    assert results.texts == ["Answer to a", None, "Answer to c"]
    assert [(failure.index, type(failure.error)) for failure in results.failures] == [(1, NotFound)]
    with pytest.raises(NotFound):
        _ = results[1].text
    assert str(results).startswith("2 answers, 1 failures, 10 tokens, $0.0020, ")
    assert len(backend.received) == 3
    first: Any = backend.received[0].request
    assert (first.model, first.config.temperature) == ("m", 0)


async def test_call_that_may_have_generated_is_not_made_again(backend: Backend, client: Any) -> None:
    backend.raises("Chat", errors.Unavailable("lost", reason="BACKEND_LOST"))
    results = await run(client, ["a"], model="m")
    assert (len(results.failures), results.retries, len(backend.received)) == (1, 0, 1)


async def test_batch_is_resumed_from_its_file(backend: Backend, client: Any, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    failing = {"Question 3", "Question 7"}

    async def chat(request: ChatRequest, _: Call) -> ChatResponse:
        if request.messages[0].content in failing:
            raise errors.Internal("a fault")
        return answer(request)

    backend.answers["Chat"] = chat
    prompts = [*PROMPTS[:10], PROMPTS[0]]
    first = await run(client, prompts, model="m", resume=path)
    assert [failure.index for failure in first.failures] == [3, 7]
    lines = path.read_text().splitlines()
    assert len(lines) == 9
    assert "Question 0" not in json.loads(lines[0])["request"]
    with path.open("a") as file:
        file.write(lines[0][:20])
    failing.clear()
    backend.received.clear()
    second = await run(client, prompts, model="m", resume=path)
    assert second.texts == [f"Answer to {prompt}" for prompt in prompts]
    assert sorted(received.request.messages[0].content for received in backend.received) == ["Question 3", "Question 7"]  # type: ignore[attr-defined]
    assert str(second).startswith("11 answers, 9 of them from the file, 55 tokens")
    assert second[0].response == first[0].response
    backend.received.clear()
    assert not (await run(client, prompts, model="other", resume=path)).failures
    assert len(backend.received) == 11


@pytest.mark.parametrize("notes", ["My notes\n", "My notes", '{"a": 1}\n'])
async def test_file_of_something_else_is_left_as_it_is(
    backend: Backend, client: Any, tmp_path: Path, notes: str
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(notes)
    with pytest.raises(InvalidRequest, match=r"line 1 of .* is no answer of a batch"):
        await run(client, ["a"], model="m", resume=path)
    assert path.read_text() == notes
    assert not backend.received


async def test_run_that_is_left_cancels_its_chats_and_keeps_its_answers(
    backend: Backend, async_platform: AsyncGenAIPlatform, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"

    async def chat(request: ChatRequest, call: Call) -> ChatResponse:
        if request.messages[0].content == "Question 0":
            return answer(request)
        await backend.hang(request, call)
        raise AssertionError("never")

    backend.answers["Chat"] = chat
    task = asyncio.create_task(async_platform.models.map(PROMPTS[:2], model="m", resume=path, concurrency=1))
    assert await happens(backend.started)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await happens(backend.cancelled)
    assert len(path.read_text().splitlines()) == 1


def test_interrupted_run_of_the_blocking_client_cancels_its_chats(
    backend: Backend, platform: GenAIPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.answers["Chat"] = backend.hang

    def interrupt(*_: object) -> None:
        assert backend.started.wait(5)
        raise KeyboardInterrupt

    monkeypatch.setattr("genai_platform.batch_runs.BatchRun._take_one", interrupt)
    with pytest.raises(KeyboardInterrupt):
        platform.models.map(PROMPTS[:2], model="m")
    assert backend.cancelled.wait(5)


async def test_bar_is_drawn_on_a_terminal_only(backend: Backend, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    async def chat(request: ChatRequest, _: Call) -> ChatResponse:
        return answer(request)

    backend.answers["Chat"] = chat
    for screen, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", screen)
        await run(client, ["a", "b"], model="m", progress=True)
        assert ("2/2, $0.0020, 0 s" in screen.getvalue()) is shown
        assert screen.getvalue().endswith("\n") is shown


@pytest.mark.parametrize(
    ("prompts", "options", "text"),
    [
        ("one", {}, "prompts must be a list of texts"),
        ({"role": "user"}, {}, "prompts must be a list of texts"),
        (["a", 3], {}, r"prompts\[1\]: a chat is a ChatRequest, a text or a list of messages, not 3"),
        (["a"], {"concurrency": 0}, "concurrency must be a whole number from 1, not 0"),
        (["a"], {"stop": "x"}, r"prompts\[0\]: stop: no such field; did you mean stop_sequences\?"),
    ],
)
async def test_what_cannot_be_a_batch_is_refused_before_anything_is_sent(
    backend: Backend, client: Any, prompts: Any, options: dict[str, Any], text: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        await run(client, prompts, model="m", **options)
    assert not backend.received


async def test_batch_of_nothing_is_done_at_once(client: Any) -> None:
    assert list(await run(client, [])) == []


# ------------------------------------------------------------------------------------------------ the state alone


def begin_all(batch: Batch, now: float) -> list[int]:
    begun = []
    while (index := batch.begin_next(now)) is not None:
        begun.append(index)
    return begun


def test_limit_halves_what_runs_at_once_and_answers_raise_it_again() -> None:
    batch = Batch([ChatRequest()] * 100, 8, {})
    assert begin_all(batch, 0) == list(range(8))
    limited = RateLimited("limited", retry_after=2)
    assert [batch.finish(index, limited, 1.0) for index in range(8)] == [None] * 8
    assert (begin_all(batch, 2.9), batch.pause(2.0)) == ([], 1.0)
    assert begin_all(batch, 3.0) == [0, 1, 2, 3]
    assert batch.pause(3.0) is None
    for index in range(4):
        batch.finish(index, ChatResponse(), 3.0)
    assert begin_all(batch, 3.0) == [4, 5, 6, 7]


def test_retries_of_a_batch_have_a_budget_and_those_of_a_chat_an_end() -> None:
    busy = errors_of_a_busy_service()
    alone = Batch([ChatRequest()], 1, {})
    now = 0.0
    while not alone.is_done():
        now += 1
        alone.finish(begin_all(alone, now)[0], busy, now)
    assert (alone.retries, alone.results[0].error) == (7, busy)
    many = Batch([ChatRequest()] * 10, 10, {})
    while not many.is_done():
        now += 1
        for index in begin_all(many, now):
            many.finish(index, busy, now)
    assert many.retries == 20
    assert len(many.summary(0).failures) == 10


def errors_of_a_busy_service() -> RateLimited:
    return RateLimited("busy", retry_after=0.5)
