"""Streams of both clients: their end can be trusted, and leaving one early ends the server's work at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import pytest
from google.protobuf.message import Message

import genai_platform
from genai_platform import AsyncGenAIPlatform, ChatChunk, ChatRequest, ChatResponse, GenAIPlatform, Unavailable
from genai_platform.async_models import AsyncModels
from genai_platform.models import Models
from services.shared import errors
from services.shared.call import Call
from tests.services.sdk.backend import WAIT_SECONDS, Backend, happens, last_chunk, serving

REQUEST = ChatRequest(model="m")
DEADLINE = 1.5


def test_a_stream_gives_its_tokens_and_then_the_response(platform: GenAIPlatform) -> None:
    stream = platform.models.chat_stream("Hi", model="m")
    assert stream.response is None
    assert "".join(chunk.token for chunk in stream) == "Hello you"
    assert stream.response == last_chunk("Hello you").response
    assert list(stream) == []


async def test_an_async_stream_gives_its_tokens_and_then_the_response(async_platform: AsyncGenAIPlatform) -> None:
    stream = async_platform.models.chat_stream("Hi", model="m")
    assert stream.response is None
    assert "".join([chunk.token async for chunk in stream]) == "Hello you"
    assert stream.response == last_chunk("Hello you").response
    assert [chunk async for chunk in stream] == []


async def test_the_text_alone_may_be_streamed(platform: GenAIPlatform, async_platform: AsyncGenAIPlatform) -> None:
    assert list(platform.models.stream_text("Hi", model="m")) == ["Hello", " you"]
    assert [text async for text in async_platform.models.stream_text("Hi", model="m")] == ["Hello", " you"]


async def stop_after_two(request: ChatRequest, _: object) -> AsyncGenerator[ChatChunk]:
    yield ChatChunk(token="Hel")
    yield ChatChunk(token="lo", index=1)


async def finish_without_response(request: ChatRequest, _: object) -> AsyncGenerator[ChatChunk]:
    yield ChatChunk(token="Hello", finish_reason="stop")


async def respond_without_finish(request: ChatRequest, _: object) -> AsyncGenerator[ChatChunk]:
    yield ChatChunk(token="Hello", response=ChatResponse(text="Hello"))


@pytest.mark.parametrize("script", [stop_after_two, finish_without_response, respond_without_finish])
async def test_a_stream_that_just_stops_is_an_error(
    script: Callable[[ChatRequest, object], AsyncGenerator[ChatChunk]],
    backend: Backend,
    platform: GenAIPlatform,
    async_platform: AsyncGenAIPlatform,
) -> None:
    backend.stream = script
    with pytest.raises(genai_platform.ServerError, match="ended without a last chunk") as caught:
        list(platform.models.chat_stream(REQUEST))
    assert caught.value.reason == "STREAM_INCOMPLETE"
    with pytest.raises(genai_platform.ServerError, match="ended without a last chunk"):
        [chunk async for chunk in async_platform.models.chat_stream(REQUEST)]
    with pytest.raises(genai_platform.ServerError, match="ended without a last chunk"):
        list(platform.models.stream_text(REQUEST))


async def test_an_error_in_mid_stream_is_raised_after_the_tokens_before_it(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    async def fail(request: ChatRequest, _: object) -> AsyncGenerator[ChatChunk]:
        yield ChatChunk(token="Hel")
        raise errors.Unavailable("the provider went away", reason="PROVIDER_UNAVAILABLE", retry_after=2)

    backend.stream = fail
    stream = platform.models.chat_stream(REQUEST)
    assert next(stream).token == "Hel"
    with pytest.raises(genai_platform.Unavailable, match="the provider went away") as caught:
        next(stream)
    assert (caught.value.reason, caught.value.retry_after) == ("PROVIDER_UNAVAILABLE", 2)
    async_stream = async_platform.models.chat_stream(REQUEST)
    assert (await anext(async_stream)).token == "Hel"
    with pytest.raises(genai_platform.Unavailable, match="the provider went away") as caught:
        await anext(async_stream)
    assert caught.value.request_id == backend.metadata()["x-request-id"]
    assert backend.names() == ["ChatStream"] * 2


async def test_a_break_after_the_last_chunk_is_no_error(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    async def break_at_the_end(request: ChatRequest, _: object) -> AsyncGenerator[ChatChunk]:
        yield last_chunk("Hello")
        raise errors.Unavailable("the process was killed")

    backend.stream = break_at_the_end
    stream = platform.models.chat_stream(REQUEST)
    assert [chunk.response.text for chunk in stream] == ["Hello"]
    assert list(stream) == []
    async_stream = async_platform.models.chat_stream(REQUEST)
    assert [chunk.response.text async for chunk in async_stream] == ["Hello"]
    assert [chunk async for chunk in async_stream] == []
    assert async_stream.response == stream.response


async def test_a_stream_that_fails_before_its_first_token_is_not_asked_for_again(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    async def fail(request: ChatRequest, _: object) -> AsyncGenerator[ChatChunk]:
        if request.model:
            raise errors.Unavailable("no provider")
        yield ChatChunk()

    backend.stream = fail
    with pytest.raises(genai_platform.Unavailable):
        next(platform.models.chat_stream(REQUEST))
    with pytest.raises(genai_platform.Unavailable):
        await anext(async_platform.models.chat_stream(REQUEST))
    assert backend.names() == ["ChatStream"] * 2


def test_a_stream_that_takes_too_long_is_a_timeout(backend: Backend, platform: GenAIPlatform) -> None:
    backend.stream = backend.endless_stream
    stream = platform.models.chat_stream(REQUEST, timeout=DEADLINE)
    # It has come to the server, with time left.
    assert next(stream).token == "one "
    with pytest.raises(genai_platform.Timeout, match=r"within 1\.5 s"):
        list(stream)
    assert backend.cancelled.wait(WAIT_SECONDS)


async def test_an_async_stream_that_takes_too_long_is_a_timeout(
    backend: Backend, async_platform: AsyncGenAIPlatform
) -> None:
    backend.stream = backend.endless_stream
    stream = async_platform.models.chat_stream(REQUEST, timeout=DEADLINE)
    assert (await anext(stream)).token == "one "
    with pytest.raises(genai_platform.Timeout, match=r"within 1\.5 s"):
        [chunk async for chunk in stream]
    assert await happens(backend.cancelled)


# ------------------------------------------------------------------------------------------- leaving early, sync


def leave_by_break(models: Models) -> None:
    for _ in models.chat_stream(REQUEST):
        break


def leave_by_error(models: Models) -> None:
    with contextlib.suppress(KeyError):
        for chunk in models.chat_stream(REQUEST):
            raise KeyError(chunk.token)


def leave_by_end_of_with(models: Models) -> None:
    with models.chat_stream(REQUEST) as stream:
        next(stream)


def leave_by_error_in_with(models: Models) -> None:
    with contextlib.suppress(KeyError), models.chat_stream(REQUEST) as stream:
        raise KeyError(next(stream).token)


def leave_by_dropping(models: Models) -> None:
    stream = models.chat_stream(REQUEST)
    next(stream)
    del stream


def leave_text_by_break(models: Models) -> None:
    for _ in models.stream_text(REQUEST):
        break


WAYS = [
    leave_by_break,
    leave_by_error,
    leave_by_end_of_with,
    leave_by_error_in_with,
    leave_by_dropping,
    leave_text_by_break,
]


@pytest.mark.parametrize("leave", WAYS)
def test_leaving_a_stream_cancels_the_call_at_once(
    leave: Callable[[Models], None], backend: Backend, platform: GenAIPlatform
) -> None:
    """At once: by reference counting, so without the collector."""
    backend.stream = backend.endless_stream
    gc.disable()
    try:
        leave(platform.models)
        assert backend.cancelled.wait(WAIT_SECONDS)
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["close", "cancel"])
def test_a_closed_stream_cancels_the_call_and_never_ends_silently(
    name: str, backend: Backend, platform: GenAIPlatform
) -> None:
    backend.stream = backend.endless_stream
    stream = platform.models.chat_stream(REQUEST)
    next(stream)
    getattr(stream, name)()
    getattr(stream, name)()
    assert backend.cancelled.wait(WAIT_SECONDS)
    with pytest.raises(genai_platform.Cancelled):
        list(stream)


def test_a_stream_closed_by_another_thread_wakes_the_one_that_waits(backend: Backend, platform: GenAIPlatform) -> None:
    backend.stream = backend.endless_stream
    stream = platform.models.chat_stream(REQUEST)
    next(stream)
    next(stream)
    threading.Timer(0.1, stream.close).start()
    with pytest.raises(genai_platform.Cancelled):
        next(stream)
    assert backend.cancelled.wait(WAIT_SECONDS)


def test_an_unread_stream_is_cancelled_when_it_is_dropped(backend: Backend, platform: GenAIPlatform) -> None:
    backend.stream = backend.endless_stream
    stream = platform.models.chat_stream(REQUEST)
    assert backend.started.wait(WAIT_SECONDS)
    del stream
    assert backend.cancelled.wait(WAIT_SECONDS)


def test_closing_the_client_ends_its_streams(backend: Backend) -> None:
    backend.stream = backend.endless_stream
    platform = GenAIPlatform(backend.address)
    stream = platform.models.chat_stream(REQUEST)
    next(stream)
    platform.close()
    assert backend.cancelled.wait(WAIT_SECONDS)
    with pytest.raises(genai_platform.Cancelled):
        list(stream)


# A program that was started in the background of a shell does not heed interrupts.
HEED_INTERRUPTS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""

INTERRUPTED_CHAT = """
import sys
from genai_platform import GenAIPlatform
try:
    GenAIPlatform(sys.argv[1]).models.chat("Hi", model="m")
except KeyboardInterrupt as error:
    print("interrupted", flush=True)
    sys.stdin.readline()
"""

# Interrupts itself when the stream waits in grpc: between two chunks an interrupt is the program's own affair.
INTERRUPTED_STREAM = """
import os, signal, sys, threading, time, traceback
from genai_platform import GenAIPlatform

def waits_in_grpc(thread):
    frames = [frame for frame, _ in traceback.walk_stack(sys._current_frames()[thread.ident])]
    return frames[0].f_code.co_name == "wait" and any("grpc" in frame.f_code.co_filename for frame in frames)

def interrupt():
    while not waits_in_grpc(threading.main_thread()):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

stream = GenAIPlatform(sys.argv[1]).models.chat_stream("Hi", model="m")
try:
    next(stream), next(stream)
    threading.Thread(target=interrupt, daemon=True).start()
    next(stream)
except KeyboardInterrupt as error:
    print("interrupted", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("script", [INTERRUPTED_CHAT, INTERRUPTED_STREAM], ids=["chat", "stream"])
def test_an_interrupt_cancels_the_call_although_the_program_goes_on(script: str, backend: Backend) -> None:
    """As in a notebook, where the interrupted cell's error, and with it every frame, is kept."""
    backend.stream = backend.endless_stream
    backend.answers["Chat"] = backend.hang
    command = [sys.executable, "-c", HEED_INTERRUPTS + script, backend.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            assert backend.started.wait(WAIT_SECONDS)
            if script == INTERRUPTED_CHAT:
                program.send_signal(signal.SIGINT)
            assert program.stdout.readline() == "interrupted\n"
            assert backend.cancelled.wait(WAIT_SECONDS)
            assert program.poll() is None
        finally:
            program.kill()


# ------------------------------------------------------------------------------------------ leaving early, async


@pytest.fixture
async def own_backend() -> AsyncIterator[Backend]:
    """A backend in the client's own event loop, which streams without end."""
    async with serving() as backend:
        backend.stream = backend.endless_stream
        yield backend


async def leave_async_by_break(models: AsyncModels) -> None:
    async for _ in models.chat_stream(REQUEST):
        break


async def leave_async_by_error(models: AsyncModels) -> None:
    with contextlib.suppress(KeyError):
        async for chunk in models.chat_stream(REQUEST):
            raise KeyError(chunk.token)


async def leave_async_by_end_of_with(models: AsyncModels) -> None:
    async with models.chat_stream(REQUEST) as stream:
        await anext(stream)
    with pytest.raises(genai_platform.Cancelled):
        await anext(stream)


async def leave_async_text_by_break(models: AsyncModels) -> None:
    async for _ in models.stream_text(REQUEST):
        break


ASYNC_WAYS = [leave_async_by_break, leave_async_by_error, leave_async_by_end_of_with, leave_async_text_by_break]


@pytest.mark.parametrize("leave", ASYNC_WAYS)
async def test_leaving_an_async_stream_cancels_the_call_at_once(
    leave: Callable[[AsyncModels], Awaitable[None]], backend: Backend, async_platform: AsyncGenAIPlatform
) -> None:
    """At once: by reference counting, so without the collector."""
    backend.stream = backend.endless_stream
    gc.disable()
    try:
        await leave(async_platform.models)
        assert await happens(backend.cancelled)
    finally:
        gc.enable()


async def test_an_unread_async_stream_is_cancelled_when_it_is_dropped(
    backend: Backend, async_platform: AsyncGenAIPlatform
) -> None:
    backend.stream = backend.endless_stream
    stream = async_platform.models.chat_stream(REQUEST)
    assert await happens(backend.started)
    del stream
    assert await happens(backend.cancelled)


async def test_an_async_stream_collected_in_another_thread_is_cancelled(
    backend: Backend, async_platform: AsyncGenAIPlatform
) -> None:
    backend.stream = backend.endless_stream
    held = [async_platform.models.chat_stream(REQUEST)]
    await anext(held[0])
    await asyncio.to_thread(held.clear)
    assert await happens(backend.cancelled)


async def test_cancelling_the_reading_task_cancels_the_call(own_backend: Backend) -> None:
    async with AsyncGenAIPlatform(own_backend.address) as platform:
        stream = platform.models.chat_stream(REQUEST)

        async def read() -> None:
            async for _ in stream:
                pass

        task = asyncio.create_task(read())
        assert await happens(own_backend.started)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await happens(own_backend.cancelled)


async def test_a_timeout_around_an_async_stream_cancels_the_call(own_backend: Backend) -> None:
    async with AsyncGenAIPlatform(own_backend.address) as platform:
        stream = platform.models.chat_stream(REQUEST)
        await anext(stream)
        await anext(stream)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.1)
        assert await happens(own_backend.cancelled)


async def test_an_async_stream_closed_by_another_task_is_an_error_for_the_one_that_waits(own_backend: Backend) -> None:
    async with AsyncGenAIPlatform(own_backend.address) as platform:
        stream = platform.models.chat_stream(REQUEST)
        await anext(stream)
        await anext(stream)
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        await stream.close()
        with pytest.raises(genai_platform.Cancelled, match="the stream was closed"):
            await waiting
        assert await happens(own_backend.cancelled)


async def test_text_that_its_session_does_not_have_ends_with_an_error(
    backend: Backend, platform: GenAIPlatform, async_platform: AsyncGenAIPlatform
) -> None:
    """Who reads only the text would not see the warning."""

    async def unstored(request: Message, call: Call) -> AsyncGenerator[Message]:
        yield ChatChunk(token="Hello you")
        last = last_chunk("Hello you")
        last.response.session_id = "s"
        last.response.warnings.add(code="SESSION_APPEND_FAILED", message="the session is away")
        yield last

    backend.stream = unstored
    texts: list[str] = []
    with pytest.raises(Unavailable, match="given whole, but the session is away") as caught:
        texts += platform.models.stream_text("Hi", model="m", session_id="s")
    assert (caught.value.reason, caught.value.metadata) == ("SESSION_APPEND_FAILED", {"session_id": "s"})
    stream = async_platform.models.stream_text("Hi", model="m", session_id="s")
    texts.append(await anext(stream))
    with pytest.raises(Unavailable, match="SESSION_APPEND_FAILED"):
        await anext(stream)
    assert texts == ["Hello you"] * 2
