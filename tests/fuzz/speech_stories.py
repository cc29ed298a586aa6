"""Stories in a dialect that has no ways of its own in `stories.py`: as its speech writes them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from services.models.transport import sse
from services.models.transport.sse import EventStream
from tests.fuzz.stories import Event, Mark, Piece, Story
from tests.wire.dialects import Call, Sample, Speech, encode


def events_of(speech: Speech) -> Callable[[random.Random, Story], list[Event]]:
    """The one way in which a speech writes a story. All of it counts as said by the last event."""

    def events(_: random.Random, story: Story) -> list[Event]:
        *before, last = EventStream().feed("".join(speech.events(_sample(story))).encode())
        return [*map(_read, before), _read(last)._replace(says=tuple(_all_of(story)), mark=Mark.FINISH)]

    return events


def body_of(speech: Speech) -> Callable[[Story], dict[str, Any]]:
    """A story as a speech writes it whole."""

    def body(story: Story) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(encode(speech.body(_sample(story))))
        return value

    return body


def _sample(story: Story) -> Sample:
    calls = [Call(f"c{number}", call.name, call.arguments) for number, call in enumerate(story.calls)]
    return Sample(story.texts, story.thoughts, calls)


def _read(event: sse.Event) -> Event:
    return Event(json.loads(event.data) if event.data.startswith(b"{") else event.data, event.name)


def _all_of(story: Story) -> Iterator[Piece]:
    yield from (Piece("reasoning", text) for text in story.thoughts)
    yield from (Piece("text", text) for text in story.texts)
    for number, call in enumerate(story.calls):
        yield Piece("name", call.name, number)
        yield Piece("arguments", "".join(call.arguments), number)
