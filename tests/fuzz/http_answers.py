"""Answers of upstreams as no upstream should give them: in their JSON, their events, their bytes, their HTTP."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any, NamedTuple

from tests.fuzz.byte_changes import flipped
from tests.fuzz.event_mutations import mutate_events, read_events
from tests.fuzz.http_mutations import in_http
from tests.fuzz.json_mutations import SECRET, mutated, written
from tests.fuzz.spoken import SPOKEN
from tests.fuzz.upstream import MODEL_LIST, Last, Step
from tests.wire.dialects import HELLO, Call, Sample, Usage, encode

CALLS = [Call("call_1", "find", ['{"n":', "1}"]), Call("call_2", "find", ["{}"])]
SAMPLES = (
    HELLO,
    Sample(text=["Hm"], reasoning=["First ", "this."], usage=Usage(10, 20, cached=3, thought=5)),
    Sample(text=["Let me see. "], calls=CALLS),
    Sample(calls=CALLS, reasoning=["So."]),
    Sample(text=["a" * 200] * 20, usage=None),
    Sample(),
)


class Answer(NamedTuple):
    """What is played, and what may follow from it."""

    steps: list[Step]
    has_end: bool
    """Whether an OK can be true: the body holds what ends an answer."""
    changes: str


def make_answer(rng: random.Random, path: str, *, streams: bool) -> Answer:
    """An answer to a request at this path."""
    changes: list[str] = []
    as_stream = streams if rng.random() < 0.95 else not streams
    body = make_body(rng, path, changes, as_stream=as_stream)
    has_end = _has_end(path, body, as_stream=as_stream)
    data, framed = in_http(rng, body, as_stream=as_stream, changes=changes)
    if not as_stream and not framed:
        has_end = has_end and _is_json(body)
    return Answer(_play(rng, data, changes), has_end, ", ".join(changes))


def make_body(rng: random.Random, path: str, changes: list[str], *, as_stream: bool) -> bytes:
    """The body of such an answer, before it is put into HTTP."""
    body = _events(rng, path, changes) if as_stream else _whole(rng, path, changes)
    if rng.random() < 0.25:
        change = rng.choice(BODY_CHANGES)
        body = change(rng, body)
        changes.append(change.__name__.strip("_"))
    return body


def make_list(rng: random.Random) -> Answer:
    """An answer to the question which models there are."""
    changes: list[str] = []
    body = written(rng, mutated(rng, json.loads(MODEL_LIST), rng.choice((0, 1, 2))))
    data, _ = in_http(rng, body, as_stream=False, changes=changes)
    return Answer(_play(rng, data, changes), True, ", ".join(changes))


def _has_end(path: str, body: bytes, *, as_stream: bool) -> bool:
    return not as_stream or any(word in body for word in SPOKEN[path].speech.terminal_words)


def _is_json(body: bytes) -> bool:
    # Python takes it in any of Unicode's encodings, and so may others; numbers may be longer than Python's.
    for text in (body, body.decode(errors="replace").strip("\ufeff \t\r\n\0")):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text, parse_int=str)
            return True
    return False


def _whole(rng: random.Random, path: str, changes: list[str]) -> bytes:
    kind = rng.random()
    speech = SPOKEN[path].speech
    if kind < 0.1:
        changes.append("an error")
        value: Any = speech.error(rng.choice(("invalid_request_error", "overloaded_error", "x", SECRET)), SECRET)
    else:
        value = json.loads(encode(speech.body(rng.choice(SAMPLES))))
    times = rng.choice((0, 1, 1, 2, 4))
    changes.append(f"{times} in the JSON")
    return written(rng, mutated(rng, value, times))


def _events(rng: random.Random, path: str, changes: list[str]) -> bytes:
    if rng.random() < 0.5:
        stream = rng.choice(SPOKEN[path].transcripts)
    else:
        stream = "".join(SPOKEN[path].speech.events(rng.choice(SAMPLES))).encode()
    events = read_events(stream)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        events, change = mutate_events(rng, events)
        changes.append(change)
    return b"".join(events)


def _truncate(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _insert(rng: random.Random, body: bytes) -> bytes:
    place = rng.randrange(len(body) + 1)
    return (
        body[:place]
        + rng.choice((b"\0", b"\xff", b"\n", b"\r", b'"', b"\\", b"\xed\xa0\x80", rng.randbytes(20)))
        + body[place:]
    )


def _fill(rng: random.Random, body: bytes) -> bytes:
    """A great deal of nothing."""
    filler = rng.choice(
        (b"\n", b"\r\n", b": a\n", b"\n\n", b" ", b"data\n\n", b"data: \n", b"id: 1\n", b"\0")
    ) * rng.choice((1000, 20_000))
    return filler + body if rng.random() < 0.5 else body + filler


def _nothing(rng: random.Random, body: bytes) -> bytes:
    return rng.choice(
        (b"", b"\n", b"null", b"<html><body>Bad gateway</body></html>", SECRET.encode(), rng.randbytes(500))
    )


BODY_CHANGES = (flipped, _truncate, _insert, _fill, _nothing)


def _play(rng: random.Random, data: bytes, changes: list[str]) -> list[Step]:
    """The bytes in pieces, with pauses, and an end."""
    kind = rng.random()
    if kind < 0.8 or not data:
        steps: list[Step] = [data]
    else:
        size = rng.choice((1, 2, 7, 100, 1000)) if len(data) < 3000 else max(len(data) // 20, 1)
        steps = []
        for start in range(0, len(data), size):
            # What is written without a turn of the loop between would be read as one.
            steps += [data[start : start + size], 0.0]
        if rng.random() < 0.3:
            steps.insert(rng.randrange(len(steps)), rng.choice((0.01, 0.05)))
    # Nearly all end the connection, or each whose framing promises more would wait until its deadline.
    if rng.random() < 0.985:
        steps.append(rng.choice((Last.CLOSE, Last.CLOSE, Last.CLOSE, Last.RESET)))
        if rng.random() < 0.5:
            steps.insert(-1, 0.005)
    else:
        changes.append("silence")
        steps.append(Last.SILENCE)
    return steps
