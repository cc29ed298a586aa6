"""The events of a streamed chat completion → an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto.models_pb2 import ChatChunk, TokenUsage, ToolCallDelta
from services.models.providers.errors.faults import Fault
from services.models.providers.openai.chat_completions.chat_answer import TEXT
from services.models.providers.openai.chat_completions.response import read_answer
from services.models.providers.openai.chat_completions.stream import ChatCompletionDecoder
from services.models.providers.vllm import VLLM
from services.models.transport.sse import Event
from tests.rows import for_each

DONE = Event("", b"[DONE]")


def chunk(delta: Any = None, finish: str | None = None, **members: Any) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return Event("", json.dumps({"id": "c", "model": "m", "choices": [choice], **members}).encode())


def call(**members: Any) -> Event:
    return chunk({"tool_calls": [members]})


def fed(*events: Event) -> ChatCompletionDecoder:
    decoder = ChatCompletionDecoder()
    decoder.feed(events)
    return decoder


def test_stream_is_whole_with_its_finish_reason_and_ended_with_done() -> None:
    decoder = ChatCompletionDecoder()
    states = []
    for event in (chunk({"content": "Hi"}), chunk({}, "stop"), DONE):
        decoder.feed([event])
        states.append((decoder.finished, decoder.ended))
    assert states == [(False, False), (True, False), (True, True)]


def test_done_alone_is_an_end_too() -> None:
    decoder = fed(chunk({"content": "Hi"}), DONE)
    decoder.answer.complete()
    assert (decoder.finished, decoder.answer.response().finish_reason) == (True, "other")


CITED = [{"type": "url_citation", "url_citation": {"url": f"https://{name}.example"}} for name in "abc"]
CITED_MESSAGE = {"message": {"content": "Hi.", "annotations": CITED}, "finish_reason": "stop"}
CITED_ONCE_MORE = Event("", json.dumps({"choices": [CITED_MESSAGE]}).encode())


@for_each(
    "events",
    [
        (chunk({"annotations": CITED}), chunk({}, "stop"), DONE),
        (*(chunk({"annotations": [one]}) for one in CITED), chunk({}, "stop")),
        (chunk({"annotations": CITED[:2]}, "stop"), chunk({"annotations": CITED[2:]})),
        (chunk({}, "stop"), chunk({"annotations": CITED}), DONE),
        (chunk({"annotations": CITED}), DONE),
        (CITED_ONCE_MORE, DONE),
        (chunk({"annotations": CITED}), CITED_ONCE_MORE, DONE),
    ],
    ids=[
        *("at the end", "one by one", "with the finish reason and after it", "after it", "without it"),
        *("in the whole message", "once more in the whole message"),
    ],
)
def test_annotations_are_citations_however_they_come(events: tuple[Event, ...]) -> None:
    decoder = fed(chunk({"content": "Hi."}), *events)
    decoder.answer.complete()
    response = decoder.answer.response()
    assert json.loads(response.message.parts[0].citations_json) == CITED
    message = {"content": "Hi.", "annotations": CITED}
    body = json.dumps({"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]})
    whole = read_answer(body.encode())
    whole.complete()
    assert response.message == whole.response().message


def test_annotations_that_go_on_coming_cost_no_more_with_each() -> None:
    """They are encoded once, when nothing more comes."""
    one = chunk({"annotations": CITED[:1]})
    decoder = fed(chunk({"content": "Hi."}), chunk({}, "stop"), *[one] * 20_000)
    decoder.answer.complete()
    citations = json.loads(decoder.answer.response().message.parts[0].citations_json)
    assert citations == CITED[:1] * 20_000


def test_short_way_and_long_way_are_the_same() -> None:
    short = fed(chunk({"content": ""}), chunk({"content": "a\ud83d"}), chunk({"content": "\ude00"}))
    long = fed(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "a\ud83d", "refusal": None}),
        chunk({"content": "\ude00", "tool_calls": None}),
    )
    assert short.answer.drain_chunks() == long.answer.drain_chunks() == [ChatChunk(token="a\U0001f600")]


def test_header_comes_once() -> None:
    """Some servers send it empty at first."""
    first = Event("", b'{"id": "", "model": "", "choices": []}')
    later = Event("", b'{"id": "other", "model": "other", "choices": []}')
    answer = fed(first, chunk({}), later).answer
    assert (answer.provider_response_id, answer.model) == ("c", "m")


def test_newest_usage_counts() -> None:
    """vLLM tells it with every chunk where it is told to."""
    events = [chunk({"content": "x"}, usage={"prompt_tokens": 3, "completion_tokens": n}) for n in (1, 2, 3)]
    assert fed(*events, chunk({}, "stop", usage=None), DONE).answer.usage == TokenUsage(
        prompt_tokens=3, completion_tokens=3, total_tokens=6
    )


def test_call_that_is_never_named_is_none() -> None:
    decoder = fed(call(index=0, id="a", function={}), chunk({}, "stop"))
    decoder.answer.complete()
    assert list(decoder.answer.response().tool_calls) == []


def test_id_that_comes_late_belongs_to_the_call() -> None:
    decoder = fed(
        call(index=0, function={"name": "find", "arguments": "{"}),
        call(index=0, id="a", function={"arguments": '"n"'}),
        call(index=0, id="a", function={"arguments": ": 1}"}),
    )
    decoder.answer.complete()
    assert [found.arguments_json for found in decoder.answer.response().tool_calls] == ['{"n": 1}']


def test_name_repeated_after_whole_arguments_begins_no_call() -> None:
    decoder = fed(
        call(index=0, id="a", function={"name": "find", "arguments": '{"n": 1}'}),
        call(index=0, id="a", function={"name": "find", "arguments": ""}),
    )
    assert [found.tool_call_delta for found in decoder.answer.drain_chunks()] == [
        ToolCallDelta(index=0, id="a", name="find"),
        ToolCallDelta(index=0, arguments_json='{"n": 1}'),
    ]


def test_service_tier_of_any_chunk_tells_of_other_rates() -> None:
    answers = [
        fed(chunk({"content": "Hi"}, service_tier=tier), chunk({}, "stop", service_tier=tier), DONE).answer
        for tier in ("default", "auto", None, "flex", "scale", "priority", "fast")
    ]
    assert [answer.at_standard_rates for answer in answers] == [True, True, True, False, False, False, False]


@for_each(("told", "stop_sequence"), [("END", "END"), (2, ""), (None, "")])
def test_stop_sequence_is_told_by_vllm(told: Any, stop_sequence: str) -> None:
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": told}
    decoder = VLLM.decoder()
    decoder.feed([chunk({"content": "Hi"}), Event("", json.dumps({"choices": [choice]}).encode())])
    assert decoder.answer.stop_sequence == stop_sequence


def calls_of(decoder: ChatCompletionDecoder) -> list[tuple[str, str]]:
    decoder.answer.complete()
    return [(found.name, found.arguments_json) for found in decoder.answer.response().tool_calls]


def test_call_of_a_custom_tool_is_a_call() -> None:
    decoder = fed(
        call(index=0, id="a", type="custom", custom={"name": "query", "input": ""}),
        call(index=0, custom={"input": "SELECT "}),
        call(index=0, custom={"input": "1"}),
        chunk({}, "tool_calls"),
    )
    assert calls_of(decoder) == [("query", "SELECT 1")]


@for_each("text", ["SELECT 1", "{ not JSON"])
def test_text_of_a_custom_tool_is_whole_where_its_stream_ends(text: str) -> None:
    decoder = fed(call(index=0, id="a", type="custom", custom={"name": "query", "input": text}), DONE)
    assert decoder.finished
    assert calls_of(decoder) == [("query", text)]


def test_call_in_the_form_before_tool_calls_is_a_call() -> None:
    decoder = fed(
        chunk({"role": "assistant", "content": None, "function_call": {"name": "find", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"n"'}}),
        chunk({"function_call": {"arguments": ":1}"}}),
        chunk({}, "function_call"),
    )
    assert calls_of(decoder) == [("find", '{"n":1}')]


def test_transcript_without_sound_loses_nothing() -> None:
    decoder = fed(chunk({"audio": {"transcript": "Hello."}}), chunk({}, "stop"))
    decoder.answer.complete()
    response = decoder.answer.response()
    assert (response.text, list(response.warnings)) == ("Hello.", [])


def test_transcript_of_sound_is_text_and_the_sound_is_told_as_lost() -> None:
    """The last piece of the sound has no finish reason, and comes behind it."""
    decoder = fed(
        chunk({"role": "assistant", "content": None, "audio": {"id": "audio_1", "transcript": "Hel"}}),
        chunk({"audio": {"data": "UklGRg=="}}),
        chunk({"audio": {"transcript": "lo."}}),
        chunk({"audio": {"data": "UklGRg=="}}),
        chunk({}, "stop"),
        Event("", b'{"choices": [{"index": 0, "delta": {"audio": {"expires_at": 1}}}]}'),
        DONE,
    )
    decoder.answer.complete()
    response = decoder.answer.response()
    assert (response.text, response.finish_reason) == ("Hello.", "stop")
    assert [warning.code for warning in response.warnings] == ["AUDIO_DROPPED"]


@for_each(
    "data",
    [
        b"<html>",
        b"[1]",
        b"7",
        b'{"choices": [{"delta": {"tool_calls": [7]}}]}',
        b'{"choices": [{"delta": {"content": "half of an ev',
    ],
)
def test_what_is_no_chunk(data: bytes) -> None:
    decoder = ChatCompletionDecoder()
    with pytest.raises(Fault) as raised:
        decoder.feed([chunk({"content": "Hi"}), Event("", data)])
    assert raised.value.reason == "UPSTREAM_PROTOCOL_ERROR"
    assert decoder.answer.drain_chunks() == [ChatChunk(token="Hi")]
    assert not decoder.finished


@for_each("choices", [[], None, [{"delta": {}, "finish_reason": "error"}]])
def test_error_event(choices: Any) -> None:
    decoder = ChatCompletionDecoder()
    with pytest.raises(Fault) as raised:
        decoder.feed([Event("", json.dumps({"choices": choices, "error": {"code": 429}}).encode())])
    assert raised.value.reason == "UPSTREAM_RATE_LIMITED"
    assert not decoder.finished


@for_each("data", [b"", b'{"choices": []}', b'{"choices": null}', b'{"choices": [{"delta": null}]}', b"{}"])
def test_what_says_nothing(data: bytes) -> None:
    assert fed(Event("", data), Event("ping", b"{}")).answer.drain_chunks() == []


def test_what_follows_done_is_not_read() -> None:
    assert fed(DONE, chunk({"content": "late"}), Event("", b"{")).answer.drain_chunks() == []


@for_each(
    "delta",
    [
        {"content": [{"type": "text", "text": ""}]},
        {"content": ""},
        {"audio": {"expires_at": 1}},
        {"tool_calls": [], "function_call": {"name": "", "arguments": ""}},
        {"annotations": []},
    ],
)
def test_what_says_nothing_behind_a_finish_reason_leaves_the_answer_whole(delta: dict[str, Any]) -> None:
    decoder = fed(chunk({"content": "Hi"}), chunk({}, "stop"), chunk(delta))
    assert (decoder.finished, decoder.awaits_usage) == (True, True)


@for_each("delta", [{"content": "!"}, {"refusal": "No."}, {"reasoning": "Hm"}, {"audio": {"transcript": "!"}}])
def test_what_says_something_behind_a_finish_reason_goes_on_with_the_answer(delta: dict[str, Any]) -> None:
    decoder = fed(chunk({"content": "Hi"}), chunk({}, "stop"), chunk(delta))
    assert not decoder.finished
    decoder.feed([chunk({}, "stop")])
    # More may follow the second one, too.
    assert (decoder.finished, decoder.awaits_usage) == (True, False)


def test_texts_in_a_list_of_content_are_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "output_text", "text": "b"}]
    assert fed(chunk({"content": parts})).answer.drain_chunks() == [ChatChunk(token="ab")]


def test_member_whose_name_is_half_a_character_is_kept_under_one_that_can_be_sent() -> None:
    decoder = fed(chunk({"content": "Hi", "\ud800": 1}), DONE)
    decoder.answer.complete()
    assert "\ufffd".encode() in decoder.answer.response().message.parts[0].provider_state.data


@for_each(
    ("pieces", "text"),
    [
        (["He", "Hello", "Hello you"], "Hello you"),
        (["He", "Hello", "Hello"], "Hello"),
        (["He", "llo", " you"], "Hello you"),
        (["a", "a", "b"], "aab"),
    ],
)
def test_messages_in_place_of_deltas_are_pieces_or_grow(pieces: list[str], text: str) -> None:
    told = [Event("", json.dumps({"choices": [{"message": {"content": piece}}]}).encode()) for piece in pieces]
    assert fed(*told, chunk({}, "stop")).answer.text_of(TEXT) == text


@for_each("arguments", ['{"a":' + "1" * 5000, '{"a":"\n"'], ids=["a number", "a line break"])
def test_arguments_that_python_does_not_read_are_told_apart_from_repeated_ones(arguments: str) -> None:
    decoder = fed(
        call(index=0, id="a", function={"name": "f", "arguments": arguments}),
        call(index=0, function={"arguments": arguments + "}"}),
        chunk({}, "tool_calls"),
    )
    decoder.answer.complete()
    assert [call.arguments_json for call in decoder.answer.response().tool_calls] == [arguments + "}"]


@for_each("number", ["1e999", "1" * 5000], ids=["infinite", "long"])
def test_place_beyond_all_numbers_in_what_is_kept_is_no_place(number: str) -> None:
    entry = f'{{"index":{number}}}'
    pieces = [Event("", f'{{"choices":[{{"delta":{{"kept":[{entry}]}}}}]}}'.encode())] * 2
    decoder = fed(*pieces, chunk({"content": "Hi"}, "stop"))
    decoder.answer.complete()
    (part,) = decoder.answer.response().message.parts
    assert part.provider_state.data.decode() == f'{{"chat_completion":{{"message":{{"kept":[{entry},{entry}]}}}}}}'


def calls_in(*pieces: dict[str, Any]) -> list[tuple[str, str]]:
    return calls_of(fed(*(call(**piece) for piece in pieces), chunk({}, "tool_calls"), DONE))


def test_calls_with_one_id_and_the_same_arguments_are_told_apart_by_their_names() -> None:
    pieces = [{"index": 0, "id": "a", "function": {"name": name, "arguments": '{"n":1}'}} for name in ("find", "keep")]
    assert calls_in(*pieces) == [("find", '{"n":1}'), ("keep", '{"n":1}')]


def test_call_behind_one_with_an_empty_object_begins_with_its_name() -> None:
    pieces = [
        {"index": 0, "function": {"name": "find", "arguments": "{}"}},
        {"index": 0, "function": {"name": "keep", "arguments": '{"n":1}'}},
    ]
    assert calls_in(*pieces) == [("find", "{}"), ("keep", '{"n":1}')]


@for_each("own_id", [{"id": "a"}, {}], ids=["with its id", "without"])
def test_empty_object_before_the_arguments_is_no_call_where_each_piece_names_it(own_id: dict[str, str]) -> None:
    pieces = ["{}", '{"n"', ":1}"]
    first, *later = [{"index": 0, "function": {"name": "f", "arguments": piece}} for piece in pieces]
    assert calls_in(first | {"id": "a"}, *(piece | own_id for piece in later)) == [("f", '{"n":1}')]


def test_empty_objects_before_the_arguments_of_calls_that_come_by_turns_are_no_calls() -> None:
    names = [
        {"index": place, "id": name, "function": {"name": name, "arguments": "{}"}} for place, name in enumerate("ab")
    ]
    arguments = [{"index": place, "function": {"arguments": f'{{"n":{place}}}'}} for place in (0, 1)]
    assert calls_in(*names, *arguments) == [("a", '{"n":0}'), ("b", '{"n":1}')]


def test_call_behind_half_of_one_is_refused() -> None:
    """It may be all of the same once more."""
    pieces = [{"index": 0, "id": str(n), "function": {"name": "f", "arguments": '{"n":1}'[:n]}} for n in (2, 5, 7)]
    with pytest.raises(Fault, match="UPSTREAM_PROTOCOL_ERROR"):
        calls_in(*pieces)
    whole = [{"index": 0, "id": str(n), "function": {"name": "f", "arguments": f'{{"n":{n}}}'}} for n in (2, 5)]
    assert calls_in(*whole) == [("f", '{"n":2}'), ("f", '{"n":5}')]
