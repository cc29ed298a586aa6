"""Tool calls as servers really send them: none is invented, merged or lost without an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.scripted_upstream import event, event_stream
from tests.wire.adapters import (
    Subject,
    every_responses_like,
    one_anthropic_like,
    one_openai_like,
)
from tests.wire.dialects import Call, Sample, encode

NO_ARGUMENTS = ["", " ", None, "null", {}]


async def reason_of(subject: Subject, *events: str) -> str:
    subject.upstream.play(event_stream(*events))
    outcome = await subject.ask("chat_stream")
    return outcome.error.reason if outcome.error else "OK"


ENDED = Sample(calls=[Call("a", "find", [])])

# ------------------------------------------------------------------------------------------------ Chat Completions


@one_openai_like
@pytest.mark.parametrize("arguments", NO_ARGUMENTS)
async def test_no_arguments_are_an_empty_object(subject: Subject, arguments: Any) -> None:
    body = subject.speech.body(Sample(calls=[Call("a", "find", []), Call("b", "keep", ['{"b": 2}'])]))
    calls = body["choices"][0]["message"]["tool_calls"]
    calls[0]["function"]["arguments"] = arguments
    pieces = [subject.speech.call_delta(index=place, **call) for place, call in enumerate(calls)]
    response = await subject.answered_with(encode(body), [*pieces, *subject.speech.ending(ENDED)])
    told = [(call.id, call.name, call.arguments_json.strip()) for call in response.tool_calls]
    assert told == [("a", "find", "{}"), ("b", "keep", '{"b": 2}')]


@one_openai_like
async def test_one_call_that_stands_alone_is_a_list(subject: Subject) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}
    body = subject.speech.body(Sample())
    body["choices"][0]["message"]["tool_calls"] = call
    streamed = subject.speech.delta({"tool_calls": call})
    response = await subject.answered_with(encode(body), [streamed, *subject.speech.ending(Sample())])
    assert [(call.id, call.arguments_json) for call in response.tool_calls] == [("a", '{"a": 1}')]


@one_openai_like
@pytest.mark.parametrize("in_text", [False, True])
async def test_calls_by_their_numbers_and_calls_that_are_none(subject: Subject, in_text: bool) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}
    calls: Any = {"0": call, "1": {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}}
    calls = json.dumps([None, *calls.values()]) if in_text else calls
    body = subject.speech.body(Sample())
    body["choices"][0]["message"]["tool_calls"] = calls
    streamed = subject.speech.delta({"tool_calls": calls})
    response = await subject.answered_with(encode(body), [streamed, *subject.speech.ending(Sample())])
    assert [(call.id, call.arguments_json) for call in response.tool_calls] == [("a", '{"a": 1}')]


@one_openai_like
async def test_an_object_that_holds_one_like_itself_goes_on(subject: Subject) -> None:
    """What looks like all of the arguments once more may be what stands within them; half of either is a fault."""
    begun = subject.speech.call_delta(index=0, id="a", function={"name": "find", "arguments": '{"a": '})
    ending = subject.speech.ending(ENDED)
    pieces = [subject.speech.call_delta(index=0, function={"arguments": piece}) for piece in ('{"a": 1}', "}")]
    subject.upstream.play(event_stream(begun, *pieces, *ending))
    outcome = await subject.ask("chat_stream")
    assert outcome.response is not None
    assert [call.arguments_json for call in outcome.response.tool_calls] == ['{"a": {"a": 1}}']
    assert await reason_of(subject, begun, pieces[0], *ending) == "UPSTREAM_PROTOCOL_ERROR"


@one_openai_like
@pytest.mark.parametrize("told", ["", "{}", '{"a": ', '{"a":1}'])
async def test_message_at_the_end_tells_the_rest_of_its_calls(subject: Subject, told: str) -> None:
    def ending(call: dict[str, Any]) -> str:
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return event({"object": "chat.completion", "choices": [{"message": message, "finish_reason": "tool_calls"}]})

    begun = subject.speech.call_delta(index=0, id="a", function={"name": "find", "arguments": told})
    whole = {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}
    for call_id in ("a", "other"):
        subject.upstream.play(event_stream(begun, ending(whole | {"id": call_id}), event("[DONE]")))
        outcome = await subject.ask("chat_stream")
        assert outcome.response is not None
        [call] = outcome.response.tool_calls
        assert (call.id, json.loads(call.arguments_json)) == ("a", {"a": 1})
    other = whole | {"id": "b", "function": {"name": "keep", "arguments": '{"b": 1}'}}
    assert await reason_of(subject, begun, ending(other), event("[DONE]")) == "UPSTREAM_PROTOCOL_ERROR"


@one_openai_like
async def test_half_a_call_is_not_whole_because_the_stream_has_ended(subject: Subject) -> None:
    half = subject.speech.call_delta(index=0, id="a", function={"name": "find", "arguments": '{"a": '})
    assert await reason_of(subject, half, event("[DONE]")) == "UPSTREAM_STREAM_TRUNCATED"
    # The model itself may write what is none.
    assert await reason_of(subject, half, *subject.speech.ending(ENDED)) == "OK"


@one_openai_like
@pytest.mark.parametrize("former", [False, True], ids=["tool_calls", "function_call"])
async def test_calls_in_a_message_in_place_of_a_delta(subject: Subject, former: bool) -> None:
    function = {"name": "find", "arguments": '{"a": 1}'}
    calls = {"function_call": function} if former else {"tool_calls": [{"id": "a", "function": function}]}
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **calls}, "finish_reason": "stop"}
    body = {"id": "c", "model": "m", "choices": [choice]}
    response = await subject.answered_with(encode(body), [event(body), event("[DONE]")])
    assert [(call.name, call.arguments_json) for call in response.tool_calls] == [("find", '{"a": 1}')]
    assert response.finish_reason == "tool_calls"


@one_openai_like
@pytest.mark.parametrize(
    "pieces",
    [
        [{"index": 0, "id": "a", "function": {"arguments": '{"a": 1}'}}],
        [
            {"index": 0, "id": "a", "function": {"name": "fi", "arguments": '{"a"'}},
            {"index": 0, "function": {"name": "nd", "arguments": ": 1}"}},
        ],
        [{"index": 0, "id": "a", "type": "web_search", "web_search": {"query": "x"}}],
        [{"index": 0, "id": "a", "function": "find"}],
    ],
    ids=["never named", "a name that goes on too late", "another kind", "no object"],
)
async def test_calls_that_cannot_be_told_are_a_fault(subject: Subject, pieces: list[dict[str, Any]]) -> None:
    told = [subject.speech.call_delta(**piece) for piece in pieces]
    assert await reason_of(subject, *told, *subject.speech.ending(ENDED)) == "UPSTREAM_PROTOCOL_ERROR"


# -------------------------------------------------------------------------------------------------------- Messages


def blocks(subject: Subject, *started: dict[str, Any], deltas: list[dict[str, Any]], ends: bool = True) -> list[str]:
    events = list(subject.speech.events(Sample()))
    told = [step for place, block in enumerate(started) for step in subject.speech.block(place, block, deltas)]
    if not ends:
        told = [step for step in told if "content_block_stop" not in step]
    return [*events[:-2], *told, *events[-2:]]


@one_anthropic_like
@pytest.mark.parametrize("arguments", [*NO_ARGUMENTS[:3], {}, '{"a": 1}', {"a": 1}])
async def test_input_in_every_form(subject: Subject, arguments: Any) -> None:
    block = {"type": "tool_use", "id": "a", "name": "find", "input": arguments}
    body = subject.speech.body(Sample(calls=[Call("a", "find", [])])) | {"content": [block]}
    for deltas in ([], [{"type": "input_json_delta", "partial_json": ""}]):
        response = await subject.answered_with(
            encode(body | {"stop_reason": "end_turn"}), blocks(subject, block, deltas=deltas)
        )
        [call] = response.tool_calls
        assert call.arguments_json.replace(" ", "") == ('{"a":1}' if arguments and str(arguments).strip() else "{}")


@one_anthropic_like
async def test_pieces_of_input_that_are_an_object_or_blank_and_blocks_without_an_end(subject: Subject) -> None:
    block = {"type": "tool_use", "id": "a", "name": "find", "input": {}}
    for piece, told in (({"a": 1}, '{"a":1}'), (" ", " {}"), (None, "{}")):
        deltas = [{"type": "input_json_delta", "partial_json": piece}]
        for ends in (True, False):
            subject.upstream.play(event_stream(*blocks(subject, block, deltas=deltas, ends=ends)))
            outcome = await subject.ask("chat_stream")
            assert outcome.response is not None
            assert [call.arguments_json for call in outcome.response.tool_calls] == [told]


@one_anthropic_like
async def test_sources_behind_the_end_of_their_text_are_a_fault(subject: Subject) -> None:
    """The text has been told with its sources, so that these would be lost."""
    told = blocks(subject, {"type": "text", "text": "Hi"}, deltas=[])
    late = {"type": "citations_delta", "citation": {"type": "web_search_result_location", "url": "u"}}
    place = next(place for place, event in enumerate(told) if "content_block_stop" in event)
    cited = subject.speech.named("content_block_delta", index=0, delta=late)
    assert await reason_of(subject, *told[:place], cited, *told[place:]) == "OK"
    assert await reason_of(subject, *told[: place + 1], cited, *told[place + 1 :]) == "UPSTREAM_PROTOCOL_ERROR"


@one_anthropic_like
async def test_call_that_begins_more_than_once_is_one(subject: Subject) -> None:
    block = {"type": "tool_use", "id": "a", "name": "find", "input": {}}
    told = blocks(subject, block, deltas=[{"type": "input_json_delta", "partial_json": '{"a": 1}'}])
    place = next(place for place, event in enumerate(told) if "content_block_start" in event)
    subject.upstream.play(event_stream(*told[: place + 1], *told[place:]))
    outcome = await subject.ask("chat_stream")
    assert outcome.response is not None
    assert [(call.id, call.arguments_json) for call in outcome.response.tool_calls] == [("a", '{"a": 1}')]
    other = subject.speech.block(0, block | {"input": {"b": 2}}, [])[0]
    assert await reason_of(subject, *told[: place + 1], other, *told[place + 1 :]) == "UPSTREAM_PROTOCOL_ERROR"


@one_anthropic_like
async def test_calls_of_one_index_that_begin_before_the_end_of_the_last_stay_two(subject: Subject) -> None:
    block = {"type": "tool_use", "name": "find", "input": {}}
    pieces = [{"type": "input_json_delta", "partial_json": '{"a": 1}'}]
    both = [step for call_id in "ab" for step in subject.speech.block(0, block | {"id": call_id}, pieces)[:-1]]
    events = list(subject.speech.events(Sample()))
    subject.upstream.play(event_stream(*events[:-2], *both, *events[-2:]))
    outcome = await subject.ask("chat_stream")
    assert outcome.response is not None
    calls = [(call.id, call.arguments_json) for call in outcome.response.tool_calls]
    assert calls == [("a", '{"a": 1}'), ("b", '{"a": 1}')]


@one_anthropic_like
@pytest.mark.parametrize(
    ("kind", "delta"),
    [
        ("tool_use", {"type": "text_delta", "text": "x"}),
        ("text", {"type": "input_json_delta", "partial_json": "{}"}),
        ("text", {"type": "thinking_delta", "thinking": "x"}),
    ],
)
async def test_piece_of_another_kind_than_its_block_is_a_fault(subject: Subject, kind: str, delta: Any) -> None:
    block = {"type": kind, "id": "a", "name": "find", "input": {}, "text": ""}
    assert await reason_of(subject, *blocks(subject, block, deltas=[delta])) == "UPSTREAM_PROTOCOL_ERROR"


@one_anthropic_like
@pytest.mark.parametrize(
    "pieces",
    [
        ["{}", '{"a"', ": 1}"],
        ["{}", '{"a": 1}'],
        ["{", '{"a"', '{"a": 1}', '{"a": 1}'],
        ['{"a": 1}', ""],
    ],
)
async def test_input_behind_an_empty_object_or_with_all_that_came_before(subject: Subject, pieces: list[str]) -> None:
    block = {"type": "tool_use", "id": "a", "name": "find", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    subject.upstream.play(event_stream(*blocks(subject, block, deltas=deltas)))
    outcome = await subject.ask("chat_stream")
    assert outcome.response is not None
    assert [call.arguments_json for call in outcome.response.tool_calls] == ['{"a": 1}']


@one_anthropic_like
async def test_half_a_call_without_a_reason_to_stop_is_cut(subject: Subject) -> None:
    block = {"type": "tool_use", "id": "a", "name": "find", "input": {}}
    told = blocks(subject, block, deltas=[{"type": "input_json_delta", "partial_json": '{"a":'}])
    assert await reason_of(subject, *told) == "OK"
    assert await reason_of(subject, *told[:-2], told[-1]) == "UPSTREAM_STREAM_TRUNCATED"


@one_anthropic_like
async def test_signature_of_a_block_without_an_end_is_kept(subject: Subject) -> None:
    deltas = [{"type": "thinking_delta", "thinking": "Hm."}, {"type": "signature_delta", "signature": "c2ln"}]
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    told = []
    for ends in (True, False):
        subject.upstream.play(event_stream(*blocks(subject, thinking, deltas=deltas, ends=ends)))
        outcome = await subject.ask("chat_stream")
        assert outcome.response is not None
        told.append(outcome.response.message)
    assert told[0] == told[1]
    assert b"c2ln" in told[1].parts[0].provider_state.data


# ------------------------------------------------------------------------------------------------------- Responses


def output(subject: Subject, *items: dict[str, Any], streamed: list[str]) -> list[str]:
    return [*subject.speech.opening()[:1], *streamed, *subject.speech.ended(list(items), Sample())]


@every_responses_like
@pytest.mark.parametrize("arguments", ["", " ", None, {}, {"a": 1}, '{"a":1}'])
async def test_arguments_of_an_item_in_every_form(subject: Subject, arguments: Any) -> None:
    item = subject.speech.call(Call("a", "find", [])) | {"arguments": arguments}
    streamed = [
        subject.speech.item_event("added", 0, item | {"arguments": ""}),
        subject.speech.item_event("done", 0, item),
    ]
    body = subject.speech.response([item])
    response = await subject.answered_with(encode(body), output(subject, item, streamed=streamed))
    [call] = response.tool_calls
    assert call.arguments_json == ('{"a":1}' if arguments and str(arguments).strip() not in ("", "{}") else "{}")


@every_responses_like
async def test_arguments_before_the_name_of_their_call(subject: Subject) -> None:
    item = subject.speech.call(Call("a", "find", ['{"a": ', "1}"]))
    place = {"item_id": item["id"], "output_index": 0}
    kind = "response.function_call_arguments"
    pieces = [subject.speech.named(f"{kind}.delta", **place, delta=piece) for piece in ('{"a": ', "1}")]
    done = subject.speech.item_event("done", 0, item)
    late = subject.speech.item_event("added", 0, item | {"arguments": ""})
    for streamed, items in (([*pieces, done], []), ([pieces[0], late, pieces[1]], []), (pieces, [item])):
        subject.upstream.play(event_stream(*output(subject, *items, streamed=streamed)))
        outcome = await subject.ask("chat_stream")
        assert outcome.response is not None
        assert [call.arguments_json for call in outcome.response.tool_calls] == ['{"a": 1}']
    assert await reason_of(subject, *output(subject, streamed=pieces)) == "UPSTREAM_PROTOCOL_ERROR"


@every_responses_like
async def test_rest_that_only_the_end_of_a_part_tells(subject: Subject) -> None:
    item = subject.speech.call(Call("a", "find", ["{}"]))
    place = {"item_id": item["id"], "output_index": 1}
    streamed = [
        subject.speech.piece("So"),
        subject.speech.named("response.output_text.done", item_id="m", output_index=0, content_index=0, text="So far"),
        subject.speech.item_event("added", 1, item | {"arguments": ""}),
        subject.speech.named("response.function_call_arguments.done", **place, arguments='{"a": 1}'),
    ]
    subject.upstream.play(event_stream(*output(subject, streamed=streamed)))
    outcome = await subject.ask("chat_stream")
    assert outcome.response is not None
    assert outcome.response.text == "So far"
    assert [call.arguments_json for call in outcome.response.tool_calls] == ['{"a": 1}']


@every_responses_like
@pytest.mark.parametrize("interleaved", [False, True])
async def test_items_that_all_have_one_number_stay_apart(subject: Subject, interleaved: bool) -> None:
    calls = [Call("a", "find", ['{"a"', ": 1}"]), Call("b", "keep", ['{"b"', ": 2}"])]
    items = [subject.speech.call(call) for call in calls]
    streams = [subject.speech.call_events(0, item, call.pieces) for item, call in zip(items, calls, strict=True)]
    streamed = (
        [step for pair in zip(*streams, strict=True) for step in pair] if interleaved else [*streams[0], *streams[1]]
    )
    subject.upstream.play(event_stream(*output(subject, *items, streamed=streamed)))
    outcome = await subject.ask("chat_stream")
    assert outcome.response is not None
    told = [(call.id, call.name, call.arguments_json) for call in outcome.response.tool_calls]
    assert told == [("a", "find", '{"a": 1}'), ("b", "keep", '{"b": 2}')]


@every_responses_like
async def test_item_that_has_another_id_in_every_event_is_one(subject: Subject) -> None:
    call = Call("a", "find", ['{"a"', ": 1}"])
    item = subject.speech.call(call)
    steps = subject.speech.call_events(0, item, call.pieces)
    streamed = [step.replace(item["id"], f"random_{number}") for number, step in enumerate(steps)]
    subject.upstream.play(event_stream(*output(subject, item, streamed=streamed)))
    outcome = await subject.ask("chat_stream")
    assert outcome.response is not None
    assert [call.arguments_json for call in outcome.response.tool_calls] == ['{"a": 1}']
