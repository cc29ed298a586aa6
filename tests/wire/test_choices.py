"""Answers of several choices, which nobody asked for: the first is the answer, and the others are told of."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.scripted_upstream import answer, event, event_stream
from tests.wire.adapters import JSON, Subject, both_verbs, one_openai_like, serve
from tests.wire.dialects import MODEL

FIRST, SECOND, THIRD = ["One ", "and ", "one."], ["Two ", "and ", "two."], ["Three ", "and ", "three."]


def body(*choices: dict[str, Any]) -> bytes:
    return json.dumps({"id": "a", "model": MODEL, "choices": choices}).encode()


def whole(index: int, text: list[str]) -> dict[str, Any]:
    return {"index": index, "message": {"role": "assistant", "content": "".join(text)}, "finish_reason": "stop"}


def piece(index: int, text: str | None, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": {} if text is None else {"content": text}, "finish_reason": finish}


def pieces(index: int, text: list[str]) -> list[dict[str, Any]]:
    return [*(piece(index, part) for part in text), piece(index, None, "stop")]


def stream(*chunks: list[dict[str, Any]]) -> list[str]:
    return [*(event(body(*choices).decode()) for choices in chunks), event("[DONE]")]


one, two, three = (pieces(index, text) for index, text in enumerate((FIRST, SECOND, THIRD)))
STREAMS: dict[str, list[list[dict[str, Any]]]] = {
    "by turns": [[choice] for choice in itertools.chain(*zip(one, two, three, strict=True))],
    "by turns, the second first": [[choice] for choice in itertools.chain(*zip(two, one, strict=True))],
    "one after the other": [[choice] for choice in (*one, *two)],
    "the second first": [[choice] for choice in (*two, *one)],
    "together": [list(choices) for choices in zip(one, two, strict=True)],
    "together, the second first": [list(choices) for choices in zip(two, one, strict=True)],
    "with a longer second": [[one[0]], *([choice] for choice in two), *([choice] for choice in one[1:])],
}
BODIES = {
    "in order": [whole(0, FIRST), whole(1, SECOND)],
    "the second first": [whole(1, SECOND), whole(0, FIRST)],
    "with one number": [whole(0, FIRST), whole(0, SECOND)],
    "without numbers": [{**whole(0, FIRST), "index": None}, {**whole(1, SECOND), "index": None}],
}


@one_openai_like
@pytest.mark.parametrize("way", STREAMS)
async def test_stream_of_several_choices_is_the_first(subject: Subject, way: str) -> None:
    subject.upstream.default = event_stream(*stream(*STREAMS[way]))
    outcome = await subject.ask("chat_stream")
    assert outcome.response is not None
    assert "".join(chunk.token for chunk in outcome.chunks) == outcome.response.text == "".join(FIRST)
    assert outcome.response.finish_reason == "stop"
    assert [warning.code for warning in outcome.response.warnings] == ["CHOICES_DROPPED"]


@one_openai_like
@pytest.mark.parametrize("way", BODIES)
async def test_whole_answer_of_several_choices_is_the_first(subject: Subject, way: str) -> None:
    subject.upstream.default = serve(
        answer(body(*BODIES[way]), headers=JSON), event_stream(*stream([whole(0, FIRST)], [whole(1, SECOND)]))
    )
    outcome = await subject.ask("chat")
    assert outcome.response is not None
    assert outcome.response.text == "".join(FIRST)
    assert [warning.code for warning in outcome.response.warnings] == ["CHOICES_DROPPED"]


@one_openai_like
@both_verbs
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("step", [0, 1])
async def test_pieces_of_one_choice_that_are_numbered_wrongly(
    subject: Subject, verb: Any, first: int, step: int
) -> None:
    """Its numbers begin with 1, or count its pieces."""
    chunks = [[{**choice, "index": first + step * place}] for place, choice in enumerate(one)]
    subject.upstream.default = serve(
        answer(body({**whole(0, FIRST), "index": first}), headers=JSON), event_stream(*stream(*chunks))
    )
    outcome = await subject.ask(verb)
    assert outcome.response is not None
    assert (outcome.response.text, outcome.response.finish_reason) == ("".join(FIRST), "stop")
    assert list(outcome.response.warnings) == []


@one_openai_like
async def test_what_a_further_choice_calls_is_not_called(subject: Subject) -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    other = {"index": 1, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
    subject.upstream.default = event_stream(*stream([one[0]], [other], *([choice] for choice in one[1:])))
    outcome = await subject.ask("chat_stream")
    assert outcome.response is not None
    assert (outcome.response.text, list(outcome.response.tool_calls)) == ("".join(FIRST), [])
    assert outcome.response.finish_reason == "stop"
