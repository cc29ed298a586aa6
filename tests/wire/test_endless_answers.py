"""Answers that never end, that never say anything, or that are larger than any: in every dialect bounded in bytes,
memory and time, and no hold of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.models.providers import completion, framing, stream
from services.models.providers.stream import MAX_STREAM_BYTES
from services.models.transport import sse
from services.models.transport.response import MAX_BODY_BYTES
from services.models.transport.sse import MAX_EMPTY_BYTES, MAX_EVENT_BYTES
from tests.scripted_upstream import Ending, Pause, Script, answer, event, event_stream
from tests.services.event_loop import watched_loop
from tests.wire.adapters import ADAPTERS, Subject, Verb, both_verbs
from tests.wire.dialects import Call, Sample, encode

MIB = 1024 * 1024
STEP_BYTES = 256 * 1024
ON_THE_WAY_BYTES = 16 * MIB
"""What a server may have written before it notices that nobody reads: it stands in the buffers of the system."""

MAX_EVENTS = 4000
"""In place of a bound that it takes seconds to reach."""

HOLD_SECONDS = 0.1
"""CPU time of the loop's thread, the scripted server's included."""

DIALECTS = [adapter for adapter in ADAPTERS if adapter.name in ("openai", "openai-responses", "anthropic-endpoint")]
every_dialect = pytest.mark.parametrize("adapter", DIALECTS, ids=lambda adapter: adapter.name)
one_dialect = pytest.mark.parametrize("adapter", DIALECTS[:1], ids=lambda adapter: adapter.name)
"""Where nothing has come yet that a dialect could read."""


@contextlib.asynccontextmanager
async def bounded(taken: int) -> AsyncIterator[None]:
    """A block in which so many bytes are taken, and nobody suffers from it: the loop is never held, and memory grows by
    no more than ten times as much."""
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    async with watched_loop() as loop:
        yield
    assert loop.longest < HOLD_SECONDS
    assert memory("VmHWM") - before < 10 * taken


def memory(field: str) -> int:
    """What this process has in memory, or had at most, in bytes."""
    [kibibytes] = re.findall(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kibibytes) * 1024


# ----------------------------------------------------------------------------------------------------- without end


def repeated(piece: str | bytes) -> bytes:
    data = piece.encode() if isinstance(piece, str) else piece
    return data * (STEP_BYTES // len(data))


ENDLESS = {
    "blank lines": ("\n", MAX_EMPTY_BYTES),
    "comments": (": ping\n\n", MAX_EMPTY_BYTES),
    "one comment": (":", MAX_EVENT_BYTES),
    "an event": ("data: x", MAX_EVENT_BYTES),
    "lines of an event": ("data\n", MAX_EVENT_BYTES),
}


@one_dialect
@pytest.mark.parametrize("case", ENDLESS)
async def test_stream_without_end_is_left(subject: Subject, case: str) -> None:
    piece, limit = ENDLESS[case]
    await check_left(subject, repeated(piece), "UPSTREAM_PROTOCOL_ERROR", limit)


@every_dialect
async def test_text_without_end_is_left(subject: Subject) -> None:
    await check_left(subject, repeated(subject.speech.piece("x" * 10_000)), "OUTPUT_LIMIT", MAX_STREAM_BYTES)


async def check_left(subject: Subject, step: bytes, reason: str, limit: int) -> None:
    subject.upstream.play(event_stream(*subject.speech.opening(), *[step] * 1000))
    async with bounded(limit + ON_THE_WAY_BYTES):
        outcome = await subject.ask("chat_stream")
    assert outcome.error
    assert outcome.error.reason == reason
    [request] = subject.upstream.requests
    await request.closed_by_peer()
    await request.finished.wait()
    assert request.generated * STEP_BYTES < limit + ON_THE_WAY_BYTES


SAYING_NOTHING = {
    "pings": lambda speech: speech.ping,
    "events of unknown kinds": lambda _: event({"type": "new"}),
    "empty events": lambda _: "data:\n\n",
    "empty objects": lambda _: "data: {}\n\n",
    "empty pieces": lambda speech: speech.piece(""),
}


@every_dialect
@pytest.mark.parametrize("case", SAYING_NOTHING)
async def test_stream_that_never_says_anything_is_left(
    subject: Subject, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_EVENTS", MAX_EVENTS)
    monkeypatch.setattr(sse, "MAX_EMPTY_BYTES", MAX_EMPTY_BYTES // 16)
    nothing = repeated(SAYING_NOTHING[case](subject.speech))
    subject.upstream.play(event_stream(*[nothing] * 200))
    async with bounded(50 * MIB):
        outcome = await subject.ask("chat_stream")
    assert outcome.error
    assert outcome.error.reason in ("OUTPUT_LIMIT", "UPSTREAM_PROTOCOL_ERROR")
    await subject.upstream.requests[0].closed_by_peer()


@one_dialect
@both_verbs
@pytest.mark.parametrize("step", [repeated(" "), repeated("["), repeated("1"), repeated('{"a":'), repeated('"\\"')])
async def test_whole_answer_without_end_is_left(subject: Subject, verb: Verb, step: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    subject.upstream.play(Script(head, [step] * 1000))
    async with bounded(MAX_BODY_BYTES + ON_THE_WAY_BYTES):
        outcome = await subject.ask(verb)
    assert outcome.error
    assert outcome.error.reason == "UPSTREAM_PROTOCOL_ERROR"
    await subject.upstream.requests[0].closed_by_peer()


MANY_EVENTS = {"documents on lines": "{}\n", "events": "data: {}\n\n"}
MANY_OF_NOTHING = {"empty events": "data\n\n", "blank lines": "\n", "comments": ":\n\n"}


@every_dialect
@both_verbs
@pytest.mark.parametrize("case", MANY_EVENTS)
async def test_body_of_events_without_number_is_none(
    subject: Subject, verb: Verb, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told as a whole answer, whatever it is."""
    start = b'{"id":"a"}\n' if "documents" in case else b""
    await check_many(subject, verb, start + repeated(MANY_EVENTS[case]), monkeypatch)


@one_dialect
@both_verbs
@pytest.mark.parametrize("case", MANY_OF_NOTHING)
async def test_body_of_nothing_without_number_is_none(
    subject: Subject, verb: Verb, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await check_many(subject, verb, repeated(MANY_OF_NOTHING[case]), monkeypatch)


async def check_many(subject: Subject, verb: Verb, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (stream, framing):
        monkeypatch.setattr(module, "MAX_EVENTS", MAX_EVENTS)
    subject.upstream.play(answer(body, headers={"Content-Type": "application/json"}))
    async with bounded(len(body) + 4 * MIB):
        outcome = await subject.ask(verb)
    assert outcome.error
    assert outcome.error.reason in ("OUTPUT_LIMIT", "UPSTREAM_PROTOCOL_ERROR", "UPSTREAM_STREAM_TRUNCATED")


@one_dialect
@both_verbs
async def test_line_without_end_behind_a_document_costs_what_it_has(subject: Subject, verb: Verb) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    subject.upstream.play(Script(head, [b'{"id":"a"}\n{"b":"', *[repeated("x")] * 1000]))
    began = time.thread_time()
    async with bounded(MAX_BODY_BYTES + ON_THE_WAY_BYTES):
        outcome = await subject.ask(verb)
    assert outcome.error
    # Gone through again with each piece of it, it would take a hundred times as long.
    assert time.thread_time() - began < 5


SLOW: dict[str, Sequence[Any]] = {
    "comments": [": ping\n\n", Pause(0.01)],
    "blank lines": ["\n", Pause(0.01)],
    "half a head": [],
}


@one_dialect
@both_verbs
@pytest.mark.parametrize("case", SLOW)
async def test_deadline_ends_what_goes_on_for_ever(subject: Subject, verb: Verb, case: str) -> None:
    steps = list(SLOW[case]) * 10_000
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + (b"\r\n" if steps else b"")
    subject.upstream.play(Script(head, steps, Ending.STALL))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await subject.ask(verb)
    await subject.upstream.requests[0].closed_by_peer()


# ---------------------------------------------------------------------------------------------------------- packed


def packed_stream(*steps: bytes) -> Script:
    body = gzip.compress(b"".join(steps))
    return answer(body, headers={"Content-Type": "text/event-stream", "Content-Encoding": "gzip"})


NOTHING_PACKED = {"blank lines": b"\n", "comments": b": ping\n\n", "small events": b"data:1\n\n"}


@one_dialect
@pytest.mark.parametrize("case", NOTHING_PACKED)
async def test_packed_stream_of_nothing_is_left(subject: Subject, case: str) -> None:
    await check_packed(subject, repeated(NOTHING_PACKED[case]) * 30)


@one_dialect
async def test_packed_event_that_is_out_of_proportion_is_none(subject: Subject) -> None:
    await check_packed(subject, subject.speech.piece("x" * (MAX_EVENT_BYTES - 1000)).encode())


async def check_packed(subject: Subject, events: bytes) -> None:
    subject.upstream.play(packed_stream(events))
    async with bounded(20 * MIB):
        outcome = await subject.ask("chat_stream")
    assert outcome.error
    assert outcome.error.reason == "UPSTREAM_PROTOCOL_ERROR"


@one_dialect
@both_verbs
async def test_packed_answer_that_is_out_of_proportion_is_none(subject: Subject, verb: Verb) -> None:
    body = gzip.compress(encode(subject.speech.body(Sample(text=["x" * (24 * MIB)]))))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    subject.upstream.play(answer(body, headers=headers))
    async with bounded(20 * MIB):
        outcome = await subject.ask(verb)
    assert outcome.error
    assert outcome.error.reason == "UPSTREAM_PROTOCOL_ERROR"


# ----------------------------------------------------------------------------------------------------------- large

HALF = "<half>"
TEXTS = {"plain": "x", "escapes": "\n", "characters": "中", "pairs": "\U0001f600"}


@every_dialect
@both_verbs
@pytest.mark.parametrize("filling", TEXTS.values(), ids=TEXTS.keys())
async def test_large_answer_is_read_without_holding_the_loop(subject: Subject, verb: Verb, filling: str) -> None:
    """One event of a stream, or one body, of half a MiB."""
    text = filling * (MIB // 2 // len(filling.encode()))
    await check_large(subject, verb, Sample(text=[text]), lambda response: response.text == text)


@every_dialect
@both_verbs
async def test_large_answer_may_end_in_half_a_character(subject: Subject, verb: Verb) -> None:
    text = "x" * MIB
    await check_large(
        subject, verb, Sample(text=[text + HALF]), lambda response: response.text == text + "\ufffd", HALF, "\\ud83d"
    )


@every_dialect
@both_verbs
async def test_arguments_in_thousands_of_pieces(subject: Subject, verb: Verb) -> None:
    pieces = ['{"a": "', *["x" * 50] * 5000, '"}']
    call = Call("call_1", "lookup", pieces)
    await check_large(
        subject, verb, Sample(calls=[call]), lambda response: response.tool_calls[0].arguments_json == "".join(pieces)
    )


async def check_large(
    subject: Subject, verb: Verb, sample: Sample, is_right: Callable[[Any], bool], *changed: str
) -> None:
    data = encode(subject.speech.body(sample)) if verb == "chat" else "".join(subject.speech.events(sample)).encode()
    if changed:
        data = data.replace(*(text.encode() for text in changed))
    whole = answer(data, headers={"Content-Type": "application/json"})
    subject.upstream.play(whole if verb == "chat" else event_stream(*in_steps(data)))
    async with bounded(len(data) + ON_THE_WAY_BYTES):
        outcome = await subject.ask(verb)
    assert outcome.error is None
    assert is_right(outcome.response)


def in_steps(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), STEP_BYTES):
        yield data[start : start + STEP_BYTES]


@every_dialect
@both_verbs
async def test_answer_of_more_text_than_any_is_refused(
    subject: Subject, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (stream, completion):
        monkeypatch.setattr(module, "MAX_CHARACTERS", MIB)
    sample = Sample(text=["x" * (MIB + 1)])
    events = "".join(subject.speech.events(sample)).encode()
    body = encode(subject.speech.body(sample))
    whole = answer(body, headers={"Content-Type": "application/json"})
    subject.upstream.play(whole if verb == "chat" else event_stream(*in_steps(events)))
    async with bounded(len(body) + ON_THE_WAY_BYTES):
        outcome = await subject.ask(verb)
    assert outcome.error
    assert outcome.error.reason == "OUTPUT_LIMIT"
