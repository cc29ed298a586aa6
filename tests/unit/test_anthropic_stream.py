"""The events of a streamed message → an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto.models_pb2 import (
    ChatChunk,
    ChatMessage,
    ChatResponse,
    ContentPart,
    ProviderState,
    Reasoning,
    TokenUsage,
    ToolCallDelta,
)
from services.models.providers.anthropic.response import read_answer
from services.models.providers.anthropic.stream import MessageDecoder
from services.models.providers.errors.faults import Fault
from services.models.transport.sse import Event
from tests.rows import for_each


def event(kind: str, **members: Any) -> Event:
    return Event(kind, json.dumps({"type": kind, **members}).encode())


def start(index: int, **block: Any) -> Event:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, kind: str, **members: Any) -> Event:
    return event("content_block_delta", index=index, delta={"type": kind, **members})


def stop(index: int) -> Event:
    return event("content_block_stop", index=index)


STOP = event("message_stop")


def fed(*events: Event) -> MessageDecoder:
    decoder = MessageDecoder()
    decoder.answer.state_owner = "anthropic"
    decoder.feed(events)
    return decoder


def response_of(*events: Event) -> ChatResponse:
    decoder = fed(*events)
    decoder.answer.complete()
    return decoder.answer.response()


def test_only_message_stop_ends_a_message() -> None:
    decoder = fed(start(0, type="text", text=""), stop(0), event("message_delta", delta={"stop_reason": "end_turn"}))
    assert (decoder.finished, decoder.ended) == (False, False)
    decoder.feed([STOP])
    assert (decoder.finished, decoder.ended) == (True, True)


def test_usage_is_told_again_and_again_and_never_added_up() -> None:
    first = {"input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 0, "output_tokens": 1}
    decoder = fed(
        event("message_start", message={"id": "msg_1", "model": "m", "usage": first}),
        event("message_delta", delta={}, usage={"output_tokens": 7, "cache_read_input_tokens": None}),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9, "input_tokens": 11}),
        STOP,
    )
    assert decoder.answer.usage == TokenUsage(
        prompt_tokens=101, completion_tokens=9, total_tokens=110, cached_prompt_tokens=90, cache_write_tokens=0
    )


def test_what_was_written_for_an_hour_is_told_once_and_overwritten() -> None:
    def creation(**tokens: int) -> dict[str, Any]:
        return {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 9, "cache_creation": tokens}

    decoder = fed(
        event("message_start", message={"usage": creation(ephemeral_1h_input_tokens=5, ephemeral_5m_input_tokens=4)}),
        event("message_delta", delta={}, usage={"output_tokens": 2}),
    )
    assert decoder.answer.usage
    assert decoder.answer.usage.long_cache_write_tokens == 5
    decoder.feed([event("message_delta", delta={}, usage=creation(ephemeral_1h_input_tokens=6)), STOP])
    assert decoder.answer.usage.long_cache_write_tokens == 6


def test_usage_is_known_from_the_beginning() -> None:
    """A stream that breaks off has cost what was told of the prompt."""
    decoder = fed(event("message_start", message={"usage": {"input_tokens": 10, "output_tokens": 1}}))
    assert decoder.answer.usage == TokenUsage(prompt_tokens=10, completion_tokens=1, total_tokens=11)


@for_each("told_at", ["message_start", "message_delta"])
def test_rates_other_than_the_usual_are_known(told_at: str) -> None:
    usages = {kind: {"output_tokens": 1, "service_tier": "standard"} for kind in ("message_start", "message_delta")}
    usages[told_at]["service_tier"] = "priority"
    decoder = fed(
        event("message_start", message={"usage": usages["message_start"]}),
        event("message_delta", delta={}, usage=usages["message_delta"]),
        STOP,
    )
    assert decoder.answer.at_standard_rates is False


@for_each(("told", "sequence"), [("END", "END"), (None, ""), (7, "")])
def test_stop_sequence_that_ended_the_answer(told: Any, sequence: str) -> None:
    ended = event("message_delta", delta={"stop_reason": "stop_sequence", "stop_sequence": told})
    assert response_of(ended, STOP).stop_sequence == sequence


def test_chunks_of_a_tool_use() -> None:
    decoder = fed(
        start(0, type="tool_use", id="a", name="find", input={}),
        delta(0, "input_json_delta", partial_json=""),
        delta(0, "input_json_delta", partial_json='{"n"'),
        delta(0, "input_json_delta", partial_json=": 1}"),
        stop(0),
    )
    assert [chunk.tool_call_delta for chunk in decoder.answer.drain_chunks()] == [
        ToolCallDelta(index=0, id="a", name="find"),
        ToolCallDelta(index=0, arguments_json='{"n": 1}'),
    ]


def test_input_that_comes_whole_with_the_block() -> None:
    response = response_of(start(0, type="tool_use", id="a", name="find", input={"n": 2**70}), stop(0), STOP)
    assert response.tool_calls[0].arguments_json == f'{{"n": {2**70}}}'


def test_text_and_thinking_that_come_with_the_block() -> None:
    response = response_of(
        start(0, type="thinking", thinking="Hm ", signature="c2"),
        delta(0, "thinking_delta", thinking="\ud83e"),
        delta(0, "thinking_delta", thinking="\udd14"),
        delta(0, "signature_delta", signature="ln"),
        stop(0),
        start(1, type="text", text="So"),
        delta(1, "text_delta", text="."),
        stop(1),
        STOP,
    )
    data = '{"type":"thinking","thinking":"Hm \U0001f914","signature":"c2ln"}'.encode()
    assert list(response.message.parts) == [
        ContentPart(
            reasoning=Reasoning(text="Hm \U0001f914"), provider_state=ProviderState(provider="anthropic", data=data)
        ),
        ContentPart(text="So."),
    ]


def test_signed_block_is_a_completed_part_once_it_ends() -> None:
    decoder = fed(
        start(0, type="thinking", thinking=""),
        delta(0, "thinking_delta", thinking="Hm"),
        delta(0, "signature_delta", signature="c2ln"),
    )
    assert decoder.answer.drain_chunks() == [ChatChunk(reasoning="Hm")]
    decoder.feed([stop(0)])
    (chunk,) = decoder.answer.drain_chunks()
    assert chunk.completed_part.reasoning.text == "Hm"
    assert json.loads(chunk.completed_part.provider_state.data)["signature"] == "c2ln"


def test_citations_stay_with_their_text() -> None:
    response = response_of(
        start(0, type="text", text="", citations=None),
        delta(0, "citations_delta", citation={"n": 1}),
        delta(0, "text_delta", text="Found."),
        delta(0, "citations_delta", citation={"n": 2}),
        stop(0),
        STOP,
    )
    (part,) = response.message.parts
    assert (part.text, part.citations_json) == ("Found.", '[{"n": 1},{"n": 2}]')
    assert json.loads(part.provider_state.data) == {"type": "text", "text": "Found.", "citations": [{"n": 1}, {"n": 2}]}


def test_citations_byte_for_byte() -> None:
    citation = '{ "n":1.50, "s": "\\u00e9", "big":12345678901234567890123 }'
    data = f'{{"type":"content_block_delta", "index":0, "delta":{{"citation":{citation},"type":"citations_delta"}}}}'
    response = response_of(
        start(0, type="text", text="", citations=[]),
        Event("content_block_delta", data.encode()),
        delta(0, "text_delta", text="Found."),
        Event("content_block_delta", data.encode()),
        stop(0),
        STOP,
    )
    (part,) = response.message.parts
    assert part.citations_json == f"[{citation},{citation}]"
    block = f'{{"type":"text","text":"Found.","citations":[{citation},{citation}]}}'
    assert part.provider_state.data.decode() == block


def test_citation_with_half_a_character_keeps_its_value() -> None:
    response = response_of(
        start(0, type="text", text="x", citations=None),
        delta(0, "citations_delta", citation={"s": "1\ud83d2"}),
        delta(0, "citations_delta"),
        stop(0),
        STOP,
    )
    assert response.message.parts[0].citations_json == '[{"s":"1\ufffd2"},null]'


@for_each(
    "block",
    [
        '{"type":"redacted_thinking", "data":"b3Bh" }',
        '{ "type":"thinking",  "thinking":"Hm \\u00e9\\/", "signature":"c2ln"}',
        '{"type":"web_search_tool_result", "content":[ {"n":1.50e0, "big":12345678901234567890123} ]}',
        '{"type":"text","text":"So.", "citations":[ {"page":1.0} ]}',
        '{"type":"tool_use","id":"a","name":"f","input":{ "n":1.0 }, "toolset_name":"browser"}',
    ],
)
def test_block_that_comes_whole_is_kept_byte_for_byte(block: str) -> None:
    """As it is in a whole answer, with the citations and arguments in it."""
    opened = Event("", f'{{"type":"content_block_start","index":0, "content_block": {block} }}'.encode())
    streamed = response_of(opened, stop(0), STOP)
    assert streamed.message.parts[0].provider_state.data.decode() == block
    whole = read_answer(f'{{"content": [{block}]}}'.encode())
    whole.state_owner = "anthropic"
    whole.complete()
    assert streamed.message == whole.response().message


def test_whole_block_with_half_a_character_keeps_its_value() -> None:
    response = response_of(start(0, type="a_new_block", s="1\ud83d2"), stop(0), STOP)
    assert response.message.parts[0].provider_state.data == '{"type":"a_new_block","s":"1\ufffd2"}'.encode()


def test_unknown_deltas_are_pieces_of_their_block() -> None:
    deltas = [delta(0, "a_new_delta", x=1, text="o"), delta(0, "a_new_delta", text="ne", s=None)]
    response = response_of(start(0, type="a_new_block", n=1, text=None), *deltas, stop(0), STOP)
    kept = response.message.parts[0].provider_state.data
    assert kept == b'{"type":"a_new_block","n":1,"text":"one","x":1,"s":null}'


def test_summary_of_a_compaction_may_come_in_pieces() -> None:
    deltas = [
        delta(0, "compaction_delta", content="Ear", encrypted_content="a"),
        delta(0, "compaction_delta", content="lier.", encrypted_content="b"),
        delta(0, "compaction_delta", content=None, encrypted_content=None),
        delta(0, "signature_delta", signature="c2ln"),
    ]
    response = response_of(start(0, type="compaction", content=None), *deltas, stop(0), STOP)
    kept = response.message.parts[0].provider_state.data
    assert kept == b'{"type":"compaction","content":"Earlier.","encrypted_content":"b","signature":"c2ln"}'


@for_each("kind", ["text", "thinking", "tool_use"])
def test_unknown_delta_of_a_known_block_is_told(kind: str) -> None:
    started = start(0, type=kind, id="a", name="find", input={}, text="", thinking="")
    response = response_of(started, delta(0, "a_new_delta", x=1), stop(0), STOP)
    assert [warning.code for warning in response.warnings] == ["PART_DROPPED"]


def test_text_without_citations_is_plain() -> None:
    response = response_of(start(0, type="text", text="Hi", citations=[]), stop(0), STOP)
    assert response.message == ChatMessage(role="assistant", content="Hi")


def test_container_is_told_once_at_the_end_byte_for_byte() -> None:
    """The newest one, wherever it was told; what says none takes none back."""
    newest = '{ "id":"new",  "n":1.50 }'
    told = f'{{"type": "message_delta", "delta": {{"container": {newest}, "stop_reason": "tool_use"}}}}'
    decoder = fed(
        event("message_start", message={"model": "m", "container": {"id": "old"}}),
        Event("message_delta", told.encode()),
        event("message_delta", delta={"container": None}),
    )
    assert decoder.answer.drain_chunks() == []
    decoder.feed([STOP])
    (chunk,) = decoder.answer.drain_chunks()
    data = f'{{"container":{newest}}}'.encode()
    kept = ContentPart(provider_state=ProviderState(provider="anthropic", model="m", data=data))
    assert chunk.completed_part == kept
    decoder.answer.complete()
    assert list(decoder.answer.response().message.parts) == [kept]


def test_container_that_the_beginning_tells_is_kept() -> None:
    started = Event("", b'{"type": "message_start", "message": {"container": { "id":"c"}}}')
    (part,) = response_of(started, STOP).message.parts
    assert part.provider_state.data == b'{"container":{ "id":"c"}}'


def test_container_with_half_a_character_keeps_its_value() -> None:
    (part,) = response_of(event("message_delta", delta={"container": {"id": "1\ud83d2"}}), STOP).message.parts
    assert part.provider_state.data == '{"container":{"id":"1\ufffd2"}}'.encode()


ANSWER = {"type": "tool_use", "id": "a", "name": "genai_platform_answer_weather", "input": {}}
CALLED = event("message_delta", delta={"stop_reason": "tool_use"})


def test_answer_by_a_tool_comes_as_tokens() -> None:
    decoder = fed(start(0, **ANSWER), delta(0, "input_json_delta", partial_json=""))
    assert decoder.answer.drain_chunks() == []
    decoder.feed([delta(0, "input_json_delta", partial_json='{"n"')])
    decoder.feed([delta(0, "input_json_delta", partial_json=": 1}")])
    assert decoder.answer.drain_chunks() == [ChatChunk(token='{"n": 1}')]
    decoder.feed([stop(0), CALLED, STOP])
    decoder.answer.complete()
    response = decoder.answer.response()
    assert (response.text, response.finish_reason, response.raw_finish_reason) == ('{"n": 1}', "stop", "tool_use")
    assert response.message == ChatMessage(role="assistant", content='{"n": 1}')


@for_each(("whole", "text"), [({}, "{}"), ({"n": 1}, '{"n": 1}')])
def test_answer_by_a_tool_that_comes_whole_with_the_block(whole: dict[str, Any], text: str) -> None:
    assert response_of(start(0, **(ANSWER | {"input": whole})), stop(0), CALLED, STOP).text == text


def test_answer_by_a_tool_beside_a_call() -> None:
    call = start(1, type="tool_use", id="b", name="find", input={})
    response = response_of(start(0, **ANSWER), stop(0), call, stop(1), CALLED, STOP)
    assert (response.text, response.finish_reason) == ("{}", "tool_calls")
    assert [call.name for call in response.tool_calls] == ["find"]


@for_each("whole", [{}, {"n": 2}])
def test_first_answer_by_a_tool_is_the_answer(whole: dict[str, Any]) -> None:
    pieces = [] if whole else [delta(1, "input_json_delta", partial_json='{"n": 2}')]
    second = [start(1, **(ANSWER | {"id": "b", "input": whole})), *pieces, stop(1)]
    response = response_of(start(0, **(ANSWER | {"input": {"n": 1}})), stop(0), *second, CALLED, STOP)
    assert (response.text, response.finish_reason) == ('{"n": 1}', "stop")
    assert response.message == ChatMessage(role="assistant", content='{"n": 1}')
    assert [warning.code for warning in response.warnings] == ["ANSWER_DROPPED"]


def test_call_that_says_more_than_its_arguments_goes_back_whole() -> None:
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {}, "toolset_name": "browser"}
    response = response_of(start(0, **block), delta(0, "input_json_delta", partial_json='{"n": 1.0}'), stop(0), STOP)
    (part,) = response.message.parts
    assert part.tool_call.arguments_json == '{"n": 1.0}'
    data = b'{"type":"tool_use","id":"a","name":"f","input":{"n": 1.0},"toolset_name":"browser"}'
    assert part.provider_state.data == data


def test_refusal_is_told_once() -> None:
    details = {"category": "cyber", "explanation": "Not this."}
    refused = event("message_delta", delta={"stop_reason": "refusal", "stop_details": details})
    response = response_of(refused, refused, STOP)
    assert list(response.message.parts) == [ContentPart(refusal="Not this.")]
    assert [warning.code for warning in response.warnings] == ["ANSWER_REFUSED"]


def test_input_of_a_servers_tool_that_is_cut_off_is_left_as_it_began() -> None:
    response = response_of(
        start(0, type="server_tool_use", id="s", name="web_search", input={}),
        delta(0, "input_json_delta", partial_json='{"query": "wea'),
        stop(0),
        STOP,
    )
    data = b'{"type":"server_tool_use","id":"s","name":"web_search","input":{}}'
    assert response.message.parts[0].provider_state.data == data


@for_each(
    "data",
    [
        b"<html>",
        b"[1]",
        b'"ping"',
        b'{"type": "content_block_delta", "index": 9, "delta": {"type": "text_delta", "text": "x"}}',
        b'{"type": "content_block_delta", "delta": {}}',
        b'{"type": "content_block_start", "index": "0"}',
    ],
)
def test_what_is_no_event(data: bytes) -> None:
    decoder = MessageDecoder()
    with pytest.raises(Fault) as raised:
        decoder.feed([start(0, type="text", text="Hi"), Event("", data)])
    assert raised.value.reason == "UPSTREAM_PROTOCOL_ERROR"
    assert decoder.answer.drain_chunks() == [ChatChunk(token="Hi")]


@for_each(
    "data", [b'{"type": "error", "error": {"type": "overloaded_error"}}', b'{"error": {"type": "overloaded_error"}}']
)
def test_error_event(data: bytes) -> None:
    with pytest.raises(Fault) as raised:
        fed(Event("error", data))
    assert raised.value.reason == "UPSTREAM_OVERLOADED"


def test_what_says_nothing() -> None:
    unknown = [event("ping"), event("a_new_event", index=7), Event("", b""), Event("", b"{}"), stop(5)]
    assert fed(*unknown, start(0, type="text"), delta(0, "a_new_delta", x=1)).answer.drain_chunks() == []


def test_what_follows_message_stop_is_not_read() -> None:
    decoder = fed(STOP, start(0, type="text", text="late"), Event("", b"{"))
    assert decoder.answer.drain_chunks() == []


def test_name_of_a_member_with_half_a_character_is_kept_as_it_can_be_written() -> None:
    piece = Event("", b'{"type":"content_block_delta","index":0,"delta":{"type":"new_delta","\\ud800":1}}')
    decoder = fed(start(0, type="new_tool_use"), piece, stop(0), STOP)
    decoder.answer.complete()
    (part,) = decoder.answer.response().message.parts
    assert json.loads(part.provider_state.data) == {"type": "new_tool_use", "\ufffd": 1}
