"""Answers in mutated streams and documents, read by the exchange itself out of bytes that are cut anywhere.

What was sent says what must be heard: all that was said as content, in order, and OK only where a reader may take it
for whole. However the bytes are cut, the same is heard. Most of the cases are stories, of which all is known; the
others are mutated anywhere, of which it is known what no whole answer can do without.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from proto import models_pb2
from services.models.providers.base import Target
from services.models.providers.chat import chat, chat_stream
from services.models.transport.base import Transport
from services.shared.errors import PlatformError
from tests.fuzz.http_answers import make_body
from tests.fuzz.played_transport import PlayedTransport
from tests.fuzz.report import Judged
from tests.fuzz.speech_stories import body_of, events_of
from tests.fuzz.spoken import SPOKEN, Spoken
from tests.fuzz.stories import (
    Event,
    Mark,
    Story,
    chat_body,
    chat_events,
    make_story,
    message_body,
    message_events,
    response_body,
    response_events,
)
from tests.wire.adapters import talk

LABELS = ("text/event-stream", "text/event-stream", "application/json", "application/x-ndjson", "text/plain", "")


class Ways(NamedTuple):
    """The ways in which servers write a story in a dialect."""

    events: Callable[[random.Random, Story], list[Event]]
    body: Callable[[Story], dict[str, Any]]
    failed: str = ""
    """The member of a whole answer that says why it ended; empty if no answer is made that says it failed."""
    is_of_speech: bool = False
    """Whether a speech writes it: then the arguments of calls may be JSON that an indentation changes, and it is not
    known whether anything is read behind the last event."""


class Tongue(NamedTuple):
    """A dialect: who speaks it, and how."""

    path: str
    spoken: Spoken
    ways: Ways


WAYS: Mapping[str, Ways] = {
    "/chat/completions": Ways(chat_events, chat_body, "finish_reason"),
    "/messages": Ways(message_events, message_body, "stop_reason"),
    "/responses": Ways(response_events, response_body, "status"),
}
TONGUES = [
    Tongue(path, spoken, WAYS.get(path) or Ways(events_of(spoken.speech), body_of(spoken.speech), is_of_speech=True))
    for path, spoken in SPOKEN.items()
]

ERRORS = (
    Event({"code": 500, "message": "x"}, "error", mark=Mark.ERROR),
    Event(b"not JSON", "error", mark=Mark.ERROR),
    Event(b"", "error", mark=Mark.ERROR),
    Event({"object": "error", "message": "x", "code": 500}, mark=Mark.ERROR),
    Event({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, mark=Mark.ERROR),
    Event({"error": {"message": "x", "code": 503}}, mark=Mark.ERROR),
    Event({"error": "x"}, mark=Mark.ERROR),
    Event({"message": "x", "code": 500}, mark=Mark.ERROR),
)
NOISE = (
    Event(b""),
    Event({"type": "ping"}, "ping"),
    Event({"error": None, "choices": []}),
    Event({"type": "new_kind", "value": [{}]}, "new_kind"),
)


class Sent(NamedTuple):
    """What goes out, and what must be heard."""

    body: bytes
    is_whole: bool | None
    """None where nobody can know."""
    said: Said | None
    """What an OK must bring; None where nobody can know."""
    changes: str
    breaks: bool = False
    needs: tuple[bytes, ...] = ()
    """One of these is in whatever may be whole."""


class Said(NamedTuple):
    text: str = ""
    thoughts: str = ""
    calls: tuple[tuple[str, str], ...] = ()


class Heard(NamedTuple):
    reason: str
    """Of the error, or OK."""
    said: Said
    """In pieces, as they came."""
    response: bytes


def main(numbers: Iterable[int], seed: int) -> Iterator[Judged]:
    """Runs the cases of these numbers, one after the other."""
    with asyncio.Runner() as runner:
        for number in numbers:
            yield runner.run(_judge(number, seed))


async def _judge(number: int, seed: int) -> Judged:
    rng = random.Random(f"{seed}:{number}")
    tongue = rng.choice(TONGUES)
    make = rng.choice((_stream, _stream, _document, _mutated))
    sent = make(rng, tongue)
    try:
        problem = await _problem(rng, tongue, sent)
    except Exception as error:
        problem = f"raises {type(error).__name__}: {error}"
    if problem:
        problem += f"\n{tongue.path}, {sent.changes} (seed {seed}, case {number}), of:\n{sent.body!r}"
    return Judged(f"{tongue.path} {sent.changes.partition(',')[0]}", problem)


async def _problem(rng: random.Random, tongue: Tongue, sent: Sent) -> str:
    target, label, is_stream = rng.choice(tongue.spoken.targets), rng.choice(LABELS), sent.breaks or rng.random() < 0.8
    whole = await _hear(target, [sent.body], label, sent.breaks, is_stream)
    if whole.reason == "OK" and (sent.is_whole is False or not _has_any(sent.body, sent.needs)):
        return f"a false completion: {whole.said}"
    if sent.is_whole and whole.reason != "OK":
        return f"whole, and {whole.reason}"
    if whole.reason == "OK" and sent.said is not None and whole.said != sent.said:
        return f"said {sent.said}, heard {whole.said}"
    for pieces in _cuts(rng, sent.body):
        cut = await _hear(target, pieces, label, sent.breaks, is_stream)
        if cut != whole:
            return f"cut in {len(pieces)}: {cut.reason} {cut.said}, in one: {whole.reason} {whole.said}"
    return ""


def _has_any(body: bytes, needed: Sequence[bytes]) -> bool:
    return not needed or any(word in body for word in needed)


def _cuts(rng: random.Random, body: bytes) -> Iterator[list[bytes]]:
    places = sorted(rng.sample(range(len(body) + 1), min(rng.choice((1, 3, 30)), len(body))))
    yield [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]
    if len(body) < 4000 and rng.random() < 0.1:
        yield [body[at : at + 1] for at in range(len(body))]


# ------------------------------------------------------------------------------------------------------------ hearing


async def _hear(target: Target, pieces: Sequence[bytes], label: str, breaks: bool, is_stream: bool) -> Heard:
    transport: Transport = PlayedTransport(pieces, label, breaks=breaks)
    chunks: list[models_pb2.ChatChunk] = []
    response: models_pb2.ChatResponse | None = None
    reason = "OK"
    try:
        if is_stream:
            async for chunk in chat_stream(transport, target, talk()):
                chunks += [chunk]
            response = chunks[-1].response
        else:
            response = await chat(transport, target, talk())
    except PlatformError as error:
        reason = error.reason
    said = _said_in(chunks) if is_stream else Said()
    if response is not None:
        told = _said_in_response(response)
        # Blocks of an answer have an order of their own, whatever came first.
        assert not is_stream or list(map(sorted, said)) == list(map(sorted, told)), f"in pieces {said}, in all {told}"
        said = told
    return Heard(reason, said, _written(response, b"".join(pieces)))


def _written(response: models_pb2.ChatResponse | None, sent: bytes) -> bytes:
    """The response, without the ids of calls that nobody sent: these may be made anew each time."""
    if response is None:
        return b""
    parts = [part.tool_call for part in response.message.parts if part.HasField("tool_call")]
    for call in (*response.tool_calls, *response.message.tool_calls, *parts):
        if json.dumps(call.id).encode() not in sent:
            call.id = ""
    return response.SerializeToString(deterministic=True)


def _said_in(chunks: Sequence[models_pb2.ChatChunk]) -> Said:
    calls: dict[int, tuple[str, str]] = {}
    for chunk in chunks:
        if chunk.HasField("tool_call_delta"):
            delta = chunk.tool_call_delta
            name, arguments = calls.get(delta.index, ("", ""))
            calls[delta.index] = (name + delta.name, arguments + delta.arguments_json)
    return Said(
        "".join(chunk.token for chunk in chunks),
        "".join(chunk.reasoning for chunk in chunks),
        tuple(call for _, call in sorted(calls.items())),
    )


def _said_in_response(response: models_pb2.ChatResponse) -> Said:
    thoughts = "".join(part.reasoning.text for part in response.message.parts if part.HasField("reasoning"))
    return Said(response.text, thoughts, tuple((call.name, call.arguments_json) for call in response.tool_calls))


# ------------------------------------------------------------------------------------------------------------ stories


def _stream(rng: random.Random, tongue: Tongue) -> Sent:
    story = make_story(rng)
    events, changes = tongue.ways.events(rng, story), ["stream"]
    if tongue.path == "/chat/completions" and not story.calls and rng.random() < 0.3:
        changes.append("other order")
        events = (
            [rng.choice(events) for _ in range(len(events) * 2)]
            if rng.random() < 0.5
            else rng.sample(events, len(events))
        )
    if rng.random() < 0.3:
        changes.append("error")
        events.insert(_place(rng, events, tongue), rng.choice(ERRORS))
    if rng.random() < 0.3:
        changes.append("cut off")
        events = events[: rng.randrange(len(events)) + 1]
    for _ in range(rng.choice((0, 0, 1, 3))):
        events.insert(_place(rng, events, tongue), rng.choice(NOISE))
    breaks = rng.random() < 0.1
    is_whole = _is_whole(tongue.path, events)
    body, is_cut = _framed(rng, events, changes)
    if is_cut:
        is_whole = False
    if breaks:
        changes.append("break")
        is_whole = None if is_whole else False
    return Sent(body, is_whole, _said_by(events), ", ".join(changes), breaks)


def _place(rng: random.Random, events: Sequence[Event], tongue: Tongue) -> int:
    return rng.randrange(len(events) if tongue.ways.is_of_speech else len(events) + 1)


def _heard_of(events: Sequence[Event]) -> Iterator[Event]:
    for event in events:
        yield event
        if event.mark is Mark.END:
            return


def _is_whole(path: str, events: Sequence[Event]) -> bool:
    is_finished = has_content = has_finish = False
    names: set[int] = set()
    argued: set[int] = set()
    for event in _heard_of(events):
        if event.mark is Mark.ERROR:
            return False
        for piece in event.says:
            if piece.kind in ("text", "reasoning") and not piece.text:
                continue
            is_finished, has_content = False, True
            if piece.kind == "name" and piece.text:
                names.add(piece.call)
            elif piece.kind == "arguments" and piece.text:
                argued.add(piece.call)
        if event.mark is Mark.FINISH:
            has_finish = True
            is_finished = has_content or path != "/chat/completions" or not _says_stop(event)
        elif event.mark is Mark.END:
            is_finished = has_finish or has_content or path != "/chat/completions"
    return is_finished and argued <= names


def _says_stop(event: Event) -> bool:
    """Whether the reason to finish is that all was said; where nothing was, it takes `[DONE]` to be believed."""
    return isinstance(event.value, dict) and event.value["choices"][0]["finish_reason"] == "stop"


def _said_by(events: Sequence[Event]) -> Said:
    text = thoughts = ""
    calls: dict[int, list[str]] = {}
    for piece in (piece for event in _heard_of(events) for piece in event.says):
        if piece.kind == "text":
            text += piece.text
        elif piece.kind == "reasoning":
            thoughts += piece.text
        else:
            told = calls.setdefault(piece.call, ["", ""])
            told[piece.kind == "arguments"] += piece.text
    return Said(text, thoughts, tuple((name, arguments or "{}") for name, arguments in calls.values()))


def _framed(rng: random.Random, events: Sequence[Event], changes: list[str]) -> tuple[bytes, bool]:
    """The bytes of a stream, and whether its last event is only there by half."""
    values = [event for event in events if isinstance(event.value, dict) or event.mark is Mark.END]
    can_be_lines = len(values) > 1 and isinstance(values[0].value, dict) and not any(e.name == "error" for e in events)
    if can_be_lines and rng.random() < 0.2:
        changes.append("lines")
        return b"\n".join(map(_data, values)) + rng.choice((b"", b"\n", b"\r\n")), False
    is_heard = not any(event.mark is Mark.END for event in events[:-1])
    is_cut = is_heard and isinstance(events[-1].value, dict) and rng.random() < 0.1
    space = rng.choice((b" ", b" ", b""))
    before = rng.choice((b"", b"", b": comment\nid: 1\n"))
    blocks = [before + _block(event, space) for event in events]
    body = b"\n\n".join(blocks) + rng.choice((b"\n\n", b"\n\n", b"\n", b""))
    if is_cut:
        changes.append("half an event")
        body = body.rstrip(b"\n")[: -rng.randrange(1, len(_data(events[-1])))]
    if rng.random() < 0.1:
        body = b"\xef\xbb\xbf" + body
    return body.replace(b"\n", rng.choice((b"\n", b"\n", b"\r\n", b"\r"))), is_cut


def _block(event: Event, space: bytes) -> bytes:
    name = b"event:" + space + event.name.encode() + b"\n" if event.name else b""
    return name + b"data:" + space + _data(event)


def _data(event: Event) -> bytes:
    return event.value if isinstance(event.value, bytes) else json.dumps(event.value, ensure_ascii=False).encode()


# ---------------------------------------------------------------------------------------------------------- documents


def _document(rng: random.Random, tongue: Tongue) -> Sent:
    story, changes = make_story(rng), ["document"]
    value = tongue.ways.body(story)
    is_whole = True
    kind = rng.random()
    if kind < 0.15:
        changes.append("error beside")
        value["error"] = rng.choice(({"message": "x"}, "x", {"code": 500}))
        is_whole = False
    elif kind < 0.25:
        value["error"] = None
    elif kind < 0.4 and tongue.ways.failed:
        changes.append("failed")
        holder = value["choices"][0] if "choices" in value else value
        failed = tongue.ways.failed
        holder[failed] = "failed" if failed == "status" else rng.choice(("error", "network_error"))
        is_whole = False
    indent = rng.choice((None, None, None if tongue.ways.is_of_speech else 1))
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=indent)
    body = rng.choice((b"", b"", b"\xef\xbb\xbf", b"\r\n \n")) + text.encode() + rng.choice((b"", b"\n", b" \r\n"))
    if rng.random() < 0.2:
        changes.append("cut off")
        body, is_whole = body[: rng.randrange(body.index(b"{"), body.rindex(b"}"))], False
    breaks = rng.random() < 0.05
    said = Said(
        "".join(story.texts),
        "".join(story.thoughts),
        tuple((call.name, "".join(call.arguments) or "{}") for call in story.calls),
    )
    return Sent(body, is_whole and not breaks, said, ", ".join(changes), breaks)


# ------------------------------------------------------------------------------------------------------------ mutated


def _mutated(rng: random.Random, tongue: Tongue) -> Sent:
    changes = ["mutated"]
    as_stream = rng.random() < 0.7
    body = make_body(rng, tongue.path, changes, as_stream=as_stream)
    needs = (
        tongue.spoken.speech.terminal_words
        if as_stream and not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))
        else ()
    )
    return Sent(body, None, None, ", ".join(changes), needs=needs)
