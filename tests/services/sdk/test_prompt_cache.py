"""The client's cache of prompts, against a registry whose answers are scripted and counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from genai_platform import (
    AsyncGenAIPlatform,
    GenAIPlatform,
    GetPromptRequest,
    InvalidRequest,
    NotFound,
    Prompt,
    Timeout,
    Unavailable,
)
from genai_platform.async_prompts import AsyncPrompts
from genai_platform.prompt_cache import MAX_ENTRIES, REFRESH_SECONDS, RETRY_SECONDS, LocalPromptCache
from services.shared import errors
from tests.services.sdk.backend import Backend


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def backend(backend: Backend) -> Backend:
    """A registry that answers the version, else 10 and one more with each change."""
    backend.answers["GetPrompt"] = lambda request, call: answer(backend, request)
    return backend


async def answer(backend: Backend, request: GetPromptRequest) -> Prompt:
    changes = len([name for name in backend.names() if name in ("RegisterPrompt", "SetPromptLabel", "ArchivePrompt")])
    return Prompt(name=request.name, version=request.version or 10 + changes, content="Hello")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def prompts(backend: Backend, clock: Clock) -> AsyncIterator[AsyncPrompts]:
    async with AsyncGenAIPlatform(backend.address) as platform:
        yield AsyncPrompts(platform.models, LocalPromptCache(60, clock=clock))


def asked(backend: Backend) -> int:
    return backend.names().count("GetPrompt")


async def test_a_version_is_asked_once_and_a_label_once_a_minute(
    prompts: AsyncPrompts, backend: Backend, clock: Clock
) -> None:
    for _ in range(3):
        await prompts.get("a", version=1)
        await prompts.get("a", label="x")
        await prompts.get("a")
    assert asked(backend) == 3
    clock.now += 59
    await prompts.get("a", label="x")
    assert asked(backend) == 3
    clock.now += 1
    await prompts.get("a", version=1)
    await prompts.get("a", label="x")
    await prompts.get("a")
    assert asked(backend) == 5


async def test_what_is_handed_out_may_be_changed(prompts: AsyncPrompts) -> None:
    for _ in range(3):
        prompt = await prompts.get("a")
        assert prompt.content == "Hello"
        prompt.content = "changed"


@pytest.mark.parametrize(
    "change",
    [
        lambda prompts: prompts.register("a", "New."),
        lambda prompts: prompts.promote("a", 3),
        lambda prompts: prompts.archive("a", 3),
        lambda prompts: prompts.unarchive("a"),
    ],
    ids=["register", "promote", "archive", "unarchive"],
)
async def test_a_change_by_this_client_is_seen_at_once_and_other_prompts_are_kept(
    change: Any, prompts: AsyncPrompts, backend: Backend
) -> None:
    for name in ("a", "ab"):
        await prompts.get(name)
    await change(prompts)
    assert (await prompts.get("a")).version == 11
    assert (await prompts.get("ab")).version == 10
    assert asked(backend) == 3


async def test_a_change_that_failed_is_taken_for_one_that_may_have_happened(
    prompts: AsyncPrompts, backend: Backend
) -> None:
    await prompts.get("a")
    backend.raises("SetPromptLabel", errors.Unavailable("lost"))
    with pytest.raises(Unavailable):
        await prompts.promote("a", 3)
    assert (await prompts.get("a")).version == 11


def test_an_answer_from_before_a_change_is_not_remembered(backend: Backend) -> None:
    """The read is answered before another thread's change, and comes to be remembered after it."""
    cache = LocalPromptCache()
    lookup = cache.look_up(GetPromptRequest(name="a"))
    cache.forget("a")
    cache.keep(lookup, Prompt(name="a", version=1))
    assert cache.look_up(GetPromptRequest(name="a")).entry is None


async def test_while_the_platform_cannot_be_reached_the_old_answer_is_given_and_said_to_be_old(
    prompts: AsyncPrompts, backend: Backend, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await prompts.get("a")
    backend.raises("GetPrompt", errors.Unavailable("down", reason="STORAGE_UNAVAILABLE"))
    clock.now += 90
    with caplog.at_level(logging.WARNING, "genai_platform"):
        assert (await prompts.get("a", fallback="not this")).version == 10
    assert caplog.messages == ["prompt a is 90 s old: the platform cannot be reached [STORAGE_UNAVAILABLE]"]
    tries = asked(backend)
    assert (await prompts.get("a")).version == 10
    assert asked(backend) == tries, "a platform that is down is not asked by every call"

    clock.now += RETRY_SECONDS
    backend.answers["GetPrompt"] = lambda request, call: answer(backend, request)
    await prompts.get("a")
    assert asked(backend) == tries + 1


async def test_an_old_answer_is_not_waited_for_long(prompts: AsyncPrompts, backend: Backend, clock: Clock) -> None:
    await prompts.get("a")
    clock.now += 90
    await prompts.get("a")
    clock.now += 90
    await prompts.get("a", timeout=7)
    seconds = [received.seconds for received in backend.received]
    assert seconds == [pytest.approx(expected, abs=1) for expected in (30, REFRESH_SECONDS, 7)]


async def test_a_platform_that_does_not_answer_in_time_is_one_that_cannot_be_reached(
    prompts: AsyncPrompts, backend: Backend, clock: Clock
) -> None:
    await prompts.get("a")
    clock.now += 90
    backend.answers["GetPrompt"] = backend.hang
    assert (await prompts.get("a", timeout=0.2)).version == 10
    with pytest.raises(Timeout):
        await prompts.get("b", timeout=0.2)


@pytest.mark.parametrize(
    "fallback",
    ["Text.", Prompt(name="a", content="Text."), lambda: "Text.", lambda: Prompt(name="a", content="Text.")],
    ids=["text", "prompt", "function of text", "function of prompt"],
)
async def test_the_fallback_is_given_only_when_there_is_nothing_else(
    fallback: Any, prompts: AsyncPrompts, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await prompts.get("a", fallback=fallback)).content == "Hello"
    backend.raises("GetPrompt", errors.Unavailable("down"))
    prompt = await prompts.get("a", label="x", fallback=fallback)
    assert (prompt.name, prompt.content, prompt.version) == ("a", "Text.", 0)
    assert "prompt a is the fallback" in caplog.text
    with pytest.raises(Unavailable):
        await prompts.get("a", label="x")


async def test_no_fallback_for_a_prompt_that_is_not_there_or_a_question_that_is_wrong(
    prompts: AsyncPrompts, backend: Backend
) -> None:
    for raised, expected in ((errors.NotFound, NotFound), (errors.InvalidRequest, InvalidRequest)):
        backend.raises("GetPrompt", raised("no", reason="NO"))
        with pytest.raises(expected):
            await prompts.get("a", fallback="Text.")


async def test_what_the_platform_no_longer_knows_is_forgotten(
    prompts: AsyncPrompts, backend: Backend, clock: Clock
) -> None:
    await prompts.get("a", label="x")
    await prompts.get("a")
    clock.now += 90
    backend.raises("GetPrompt", errors.NotFound("gone", reason="PROMPT_LABEL_NOT_FOUND"))
    with pytest.raises(NotFound):
        await prompts.get("a", label="x")
    backend.raises("GetPrompt", errors.Unavailable("down"))
    with pytest.raises(Unavailable):
        await prompts.get("a", label="x")
    assert (await prompts.get("a")).version == 10


async def test_the_least_recently_used_leaves_first(prompts: AsyncPrompts, backend: Backend) -> None:
    for number in range(MAX_ENTRIES):
        await prompts.get(f"p{number}")
    await prompts.get("p0")
    await prompts.get("one more")
    assert asked(backend) == MAX_ENTRIES + 1
    await prompts.get("p0")
    assert asked(backend) == MAX_ENTRIES + 1
    await prompts.get("p1")
    assert asked(backend) == MAX_ENTRIES + 2


def test_switched_off_every_call_asks_and_fails_by_itself(backend: Backend) -> None:
    with GenAIPlatform(backend.address, prompt_cache_seconds=0) as platform:
        for _ in range(2):
            platform.prompts.get("a", version=1)
        assert asked(backend) == 2
        backend.raises("GetPrompt", errors.Unavailable("down"))
        with pytest.raises(Unavailable):
            platform.prompts.get("a", version=1)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_a_value_error(seconds: float) -> None:
    for client in (GenAIPlatform, AsyncGenAIPlatform):
        with pytest.raises(ValueError, match="prompt_cache_seconds"):
            client(prompt_cache_seconds=seconds)


def test_many_threads_share_one_memory(backend: Backend) -> None:
    together = threading.Barrier(8)

    def read(platform: GenAIPlatform) -> set[int]:
        together.wait(5)
        return {platform.prompts.get(f"p{number % 20}", version=7).version for number in range(400)}

    with GenAIPlatform(backend.address) as platform, ThreadPoolExecutor(8) as threads:
        versions = [threads.submit(read, platform) for _ in range(8)]
        assert {7} == set().union(*(found.result() for found in versions))
    assert asked(backend) <= 8 * 20
