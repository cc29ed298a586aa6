"""Changes in a stream of server-sent events, which is a list of events here."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from tests.fuzz.json_mutations import SECRET, mutate_json, written

ODD_EVENTS = (
    b"\n", b"\n\n\n", b": ping\n\n", b":\n", b"data\n\n", b"data:\n\n", b"data: \n\n", b"data: {}\n\n",
    b"data: null\n\n", b"data: []\n\n",
    b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE] \n\n", b"event: done\n\n", b"event: error\ndata: {}\n\n",
    b"id: 1\nretry: 1\n\n",
    b"retry: 99999999999999999999\n\n", b"\xef\xbb\xbfdata: {}\n\n", b"data: {\ndata: }\n\n", b"foo: bar\n\n",
    b"data: {\"a\":\n\n",
    b"event: ping\ndata: {\"type\":\"ping\"}\n\n", b"data: \xff\xfe\n\n", b"\0\0\0",
    b"data: {\"error\":{\"message\":\"" + SECRET.encode() + b"\"}}\n\n",
    b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"" + SECRET.encode() + b"\"}}\n\n",
    b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", b"data: {\"choices\":[]}\n\n",
    b"data: {\"choices\":[{}]}\n\n",
    b"event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"x\"}}}\n\n",
    b"<html>\n\n", b"data: \"a\"\n\n",
)  # fmt: skip


def read_events(stream: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in stream.replace(b"\r\n", b"\n").split(b"\n\n") if event]


def mutate_events(rng: random.Random, events: list[bytes]) -> tuple[list[bytes], str]:
    """The events with one change, and what it was."""
    change = rng.choice(EVENT_CHANGES)
    return change(rng, events) or events, change.__name__.strip("_")


def _change_data(rng: random.Random, events: list[bytes]) -> list[bytes]:
    """One place in the JSON of one event."""
    index = rng.randrange(len(events))
    head, mark, data = events[index].partition(b"data: ")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return events
    changed = head + mark + written(rng, mutate_json(rng, value)) + b"\n\n"
    return [*events[:index], changed, *events[index + 1 :]]


def _drop(rng: random.Random, events: list[bytes]) -> list[bytes]:
    index = rng.randrange(len(events))
    return events[:index] + events[index + rng.choice((1, 1, 3)) :]


def _cut(rng: random.Random, events: list[bytes]) -> list[bytes]:
    return events[: rng.randrange(len(events)) + 1]


def _double(rng: random.Random, events: list[bytes]) -> list[bytes]:
    index = rng.randrange(len(events))
    return events[:index] + [events[index]] * rng.choice((2, 2, 10, 300)) + events[index:]


def _swap(rng: random.Random, events: list[bytes]) -> list[bytes]:
    return rng.sample(events, len(events))


def _put_in(rng: random.Random, events: list[bytes]) -> list[bytes]:
    index = rng.randrange(len(events) + 1)
    return events[:index] + [rng.choice(ODD_EVENTS)] * rng.choice((1, 1, 1, 500)) + events[index:]


def _rename(rng: random.Random, events: list[bytes]) -> list[bytes]:
    index = rng.randrange(len(events))
    name = rng.choice(
        (b"", b"message", b"error", b"ping", b"message_stop", b"response.completed", b"\xff", b"a" * 2000)
    )
    return [*events[:index], b"event: " + name + b"\n" + events[index], *events[index + 1 :]]


def _other_lines(rng: random.Random, events: list[bytes]) -> list[bytes]:
    end = rng.choice((b"\r\n", b"\r", b"\n\r", b"\r\n\n"))
    return [event.replace(b"\n", end) for event in events]


def _unspaced(rng: random.Random, events: list[bytes]) -> list[bytes]:
    return [event.replace(b"data: ", rng.choice((b"data:", b"data:  ", b"data :", b"Data: "))) for event in events]


def _unended(rng: random.Random, events: list[bytes]) -> list[bytes]:
    return [*events[:-1], events[-1].rstrip(b"\n")]


EVENT_CHANGES: tuple[Callable[[random.Random, list[bytes]], list[bytes]], ...] = (
    _change_data, _change_data, _change_data, _drop, _cut, _double, _swap, _put_in, _rename, _other_lines, _unspaced,
    _unended,
)  # fmt: skip
