"""Streams of Responses as servers really write them: items without places, with other places at the end, told by one
event only. What was sent comes out once, or there is an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto import models_pb2
from tests.scripted_upstream import event, event_stream
from tests.wire.adapters import RESPONSES_LIKE, Adapter, Outcome, Subject, check_chunks

CREATED = {"type": "response.created", "response": {"id": "r", "model": "m", "status": "in_progress", "output": []}}
PLACE = {"item_id": "msg", "output_index": 0, "content_index": 0}
CALL_PLACE = {"item_id": "fc", "output_index": 0}
ARGUMENTS = "response.function_call_arguments"


@pytest.fixture
def adapter() -> Adapter:
    return RESPONSES_LIKE[0]


def text(piece: str, **place: Any) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": piece, **place}


def message(said: Any = "Hi you", item_id: str = "msg") -> dict[str, Any]:
    content = said if isinstance(said, list) else [{"type": "output_text", "text": said, "annotations": []}]
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": content}


def call(arguments: str = '{"n": 1}', item_id: str = "fc", call_id: str = "c") -> dict[str, Any]:
    return {"id": item_id, "type": "function_call", "call_id": call_id, "name": "find", "arguments": arguments}


def thought(item_id: str = "rs") -> dict[str, Any]:
    return {"id": item_id, "type": "reasoning", "summary": []}


def done(item: dict[str, Any], **place: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "item": item, **place}


def ended(*items: dict[str, Any], kind: str = "response.completed", **members: Any) -> dict[str, Any]:
    response = {"id": "r", "model": "m", "status": "completed", "output": list(items)} | members
    return {"type": kind, "response": response}


async def ask(subject: Subject, *told: dict[str, Any]) -> Outcome:
    subject.upstream.play(event_stream(event(CREATED), *(event(data, data["type"]) for data in told)))
    return await subject.ask("chat_stream")


async def answered(subject: Subject, *told: dict[str, Any]) -> models_pb2.ChatResponse:
    outcome = await ask(subject, *told)
    assert outcome.response is not None
    check_chunks(outcome.chunks)
    return outcome.response


PIECES = [text("Hi", **PLACE), text(" you", **PLACE)]
UNPLACED = [text("Hi"), text(" you")]
NULLS = [text("Hi", output_index=None, content_index=None), text(" you", output_index=None, content_index=None)]
TEXTS: dict[str, list[dict[str, Any]]] = {
    "pieces without a place": [*UNPLACED, ended(message())],
    "pieces without a place, and nothing at the end": [*UNPLACED, ended()],
    "pieces without a place, and an item with one": [*UNPLACED, done(message(), output_index=0), ended(message())],
    "pieces without a place, and an item behind another": [
        *UNPLACED,
        done(message(), output_index=1),
        ended(message()),
    ],
    "pieces without a place, and an item without one": [*UNPLACED, done(message()), ended(message())],
    "pieces without a place, and thoughts before them at the end": [*UNPLACED, ended(thought(), message())],
    "places that are null": [*NULLS, ended(message())],
    "other ids at the end": [*PIECES, ended(message(item_id="other"))],
    "another place at the end": [text("Hi", **PLACE | {"output_index": 1}), ended(message())],
    "another place and another id at the end": [
        *(piece | {"output_index": 2} for piece in PIECES),
        ended(message(item_id="other")),
    ],
    "an item that moves behind another": [*PIECES, done(message(), output_index=0), ended(thought(), message())],
    "the end of a part alone": [
        {"type": "response.content_part.done", "part": {"type": "output_text", "text": "Hi you"}, **PLACE},
        ended(),
    ],
    "the end of a text alone": [{"type": "response.output_text.done", "text": "Hi you", **PLACE}, ended()],
    "a text in place of parts": [ended({**message(), "content": "Hi you"})],
    "a part of Chat Completions": [ended(message([{"type": "text", "text": "Hi you"}]))],
    "the event that other servers end with": [*PIECES, ended(message(), kind="response.done")],
    "an end without a status": [*PIECES, ended(message(), status=None)],
    "an end without its output": [*PIECES, {"type": "response.completed", "response": {"id": "r"}}],
    "white space that the whole text lacks": [text(" Hi\n you\n", **PLACE), ended(message("Hi you"))],
}


@pytest.mark.parametrize("case", TEXTS)
async def test_a_text_comes_out_once(subject: Subject, case: str) -> None:
    response = await answered(subject, *TEXTS[case])
    assert " ".join(response.text.split()) == "Hi you"
    assert (response.finish_reason, response.raw_finish_reason) == ("stop", "completed")


@pytest.mark.parametrize(
    "told",
    [
        [*PIECES, ended(message("Hello to you"))],
        [{"type": f"{ARGUMENTS}.delta", "delta": '{"n": 2}', **CALL_PLACE}, done(call(), output_index=0), ended()],
    ],
    ids=["text", "arguments"],
)
async def test_pieces_that_the_whole_contradicts_are_a_fault(subject: Subject, told: list[dict[str, Any]]) -> None:
    opened = {"type": "response.output_item.added", "item": call(""), **CALL_PLACE}
    begins = [opened] if told[0]["type"].startswith(ARGUMENTS) else []
    outcome = await ask(subject, *begins, *told)
    assert outcome.error is not None
    assert outcome.error.reason == "UPSTREAM_PROTOCOL_ERROR"


CALLS: dict[str, list[dict[str, Any]]] = {
    "another place at the end": [done(call(), output_index=1), ended(call())],
    "other ids at the end": [done(call(), output_index=0), ended(call(item_id="x", call_id="y"))],
    "arguments written otherwise at the end": [
        {"type": "response.output_item.added", "item": call(""), **CALL_PLACE},
        {"type": f"{ARGUMENTS}.delta", "delta": '{"n": 1}', **CALL_PLACE},
        ended(call('{"n":1}')),
    ],
    "an end that is sent twice": [done(call(), output_index=0), done(call(), output_index=0), ended(call())],
    "neither a number nor an id at the beginning": [
        {"type": "response.output_item.added", "item": {"type": "function_call", "name": "find", "arguments": ""}},
        done(call()),
        ended(),
    ],
    "a name that only the end of the arguments tells": [
        {"type": f"{ARGUMENTS}.delta", "delta": '{"n": 1}', **CALL_PLACE},
        {"type": f"{ARGUMENTS}.done", "name": "find", "arguments": '{"n": 1}', **CALL_PLACE},
        ended(),
    ],
}


async def test_calls_that_are_alike_stay_two(subject: Subject) -> None:
    told = [done(call(item_id=f"f{place}", call_id=f"c{place}"), output_index=place) for place in (1, 2)]
    again = [call(item_id=f"x{place}", call_id=f"y{place}") for place in (1, 2)]
    response = await answered(subject, *told, ended(*again))
    assert [told.id for told in response.tool_calls] == ["c1", "c2"]


def added(item: dict[str, Any], place: int) -> dict[str, Any]:
    return {"type": "response.output_item.added", "item": item, "output_index": place}


async def test_messages_that_are_alike_keep_the_sources_of_each(subject: Subject) -> None:
    def source(n: int) -> dict[str, Any]:
        return {"type": "url_citation", "url": f"https://{n}.example", "start_index": 0, "end_index": 1}

    pieces = [text("a", output_index=place, item_id=f"m{place}") for place in (1, 2)]
    whole = [message([{"type": "output_text", "text": "a", "annotations": [source(n)]}], f"w{n}") for n in range(2)]
    response = await answered(subject, *pieces, ended(*whole))
    found = sorted(json.loads(part.citations_json)[0]["url"] for part in response.message.parts)
    assert found == ["https://0.example", "https://1.example"]


async def test_calls_whose_items_lose_their_ids_are_known_by_their_own(subject: Subject) -> None:
    calls = [call(f'{{"n": {n}}}', item_id="", call_id=f"c{n}") for n in range(2)]
    begun = [added(item | {"id": f"f{place}", "arguments": ""}, place) for place, item in enumerate(calls)]
    pieces = [
        {"type": f"{ARGUMENTS}.delta", "delta": item["arguments"], "output_index": place}
        for place, item in enumerate(calls)
    ]
    response = await answered(subject, *begun, *pieces, ended(*reversed(calls)))
    assert [(each.id, each.arguments_json) for each in response.tool_calls] == [("c0", '{"n": 0}'), ("c1", '{"n": 1}')]


async def test_a_piece_whose_number_is_another_kind_of_item_is_none_of_it(subject: Subject) -> None:
    opened = [
        {"type": "response.output_item.added", "output_index": place, "item": item}
        for place, item in enumerate([thought(), message("")])
    ]
    for pieces in (PIECES, UNPLACED, [text(piece["delta"], output_index=0) for piece in PIECES]):
        response = await answered(subject, *opened, *pieces, ended(thought(), message()))
        parts = [(part.reasoning.text, part.text) for part in response.message.parts]
        assert parts == [("", ""), ("", "Hi you")]


@pytest.mark.parametrize("case", CALLS)
async def test_a_call_comes_out_once(subject: Subject, case: str) -> None:
    response = await answered(subject, *CALLS[case])
    assert [(told.name, told.arguments_json) for told in response.tool_calls] == [("find", '{"n": 1}')]


SUMMARY = {"item_id": "rs", "output_index": 0, "summary_index": 0}
THOUGHTS: dict[str, list[dict[str, Any]]] = {
    "an early form": [{"type": "response.reasoning.delta", "delta": "Hm.", **SUMMARY}],
    "an early form of summaries": [{"type": "response.reasoning_summary.delta", "delta": {"text": "Hm."}, **SUMMARY}],
    "the end of a text alone": [{"type": "response.reasoning_summary_text.done", "text": "Hm.", **SUMMARY}],
    "the end of a part alone": [
        {"type": "response.reasoning_summary_part.done", "part": {"type": "summary_text", "text": "Hm."}, **SUMMARY}
    ],
    "the end of a part of the content alone": [
        {"type": "response.content_part.done", "part": {"type": "reasoning_text", "text": "Hm."}, **PLACE}
    ],
    "a piece, and its end": [
        {"type": "response.reasoning_text.delta", "delta": "Hm.", **PLACE},
        {"type": "response.reasoning_text.done", "text": "Hm.", **PLACE},
    ],
}


@pytest.mark.parametrize("case", THOUGHTS)
async def test_thoughts_come_out_once(subject: Subject, case: str) -> None:
    response = await answered(subject, *THOUGHTS[case], text("Hi", **PLACE | {"output_index": 1}), ended())
    assert [part.reasoning.text for part in response.message.parts if part.HasField("reasoning")] == ["Hm."]


async def test_sources_that_only_an_event_tells(subject: Subject) -> None:
    source = {"type": "url_citation", "url": "https://example.com", "start_index": 0, "end_index": 2}
    told = {"type": "response.output_text.annotation.added", "annotation_index": 0, "annotation": source, **PLACE}
    for rest in ([ended()], [done(message(), output_index=0), ended(message())]):
        [part] = (await answered(subject, *PIECES, told, *rest)).message.parts
        assert json.loads(part.citations_json) == [source]


async def test_sources_of_a_second_text_that_only_an_event_tells(subject: Subject) -> None:
    source = {"type": "url_citation", "url": "https://example.com", "start_index": 0, "end_index": 3}
    second = PLACE | {"content_index": 1}
    cited = {"type": "response.output_text.annotation.added", "annotation": source, **second}
    response = await answered(subject, text("One", **PLACE), text("Two", **second), cited, ended())
    assert [part.citations_json for part in response.message.parts] == ["", json.dumps([source], separators=(",", ":"))]


async def test_counts_beside_the_response(subject: Subject) -> None:
    usage = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}
    response = await answered(subject, *PIECES, ended(message()) | {"usage": usage})
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (9, 2)
    assert not response.usage.estimated


async def test_more_items_than_an_answer_may_have_are_refused(subject: Subject) -> None:
    empty = [done(message([], f"m{n}"), output_index=n) for n in range(2001)]
    assert (await ask(subject, *empty[:2000], ended())).error is None
    outcome = await ask(subject, *empty, ended())
    assert outcome.error is not None
    assert outcome.error.reason == "OUTPUT_LIMIT"


async def test_items_that_the_end_numbers_otherwise_are_not_looked_for_among_hundreds(subject: Subject) -> None:
    """That would hold the event loop: each of the one is compared with each of the other."""
    pieces = [text(f"piece {place}", output_index=place, item_id=f"p{place}") for place in range(400)]
    outcome = await ask(subject, *pieces, ended(call(), *(message(f"other {place}", "") for place in range(800))))
    assert outcome.error is not None
    assert outcome.error.reason == "UPSTREAM_PROTOCOL_ERROR"
    few = [text(f"piece {place}", output_index=place, item_id=f"p{place}") for place in range(3)]
    ending = ended(thought(), thought(), thought(), *(message(f"piece {place}", "") for place in range(3)))
    assert (await answered(subject, *few, ending)).text == "piece 0piece 1piece 2"


async def test_an_end_without_its_output_behind_nothing_is_no_answer(subject: Subject) -> None:
    assert (await answered(subject, ended())).text == ""
    outcome = await ask(subject, {"type": "response.completed", "response": {"id": "r"}})
    assert outcome.error is not None
    assert outcome.error.reason == "UPSTREAM_STREAM_TRUNCATED"
