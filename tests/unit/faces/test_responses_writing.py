"""Answers in the events of OpenAI's Responses API: each ending, byte for byte where clients read bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto.models_pb2 import ChatChunk
from services.models.faces.responses.face import RESPONSES
from services.shared import errors
from services.shared.errors import InvalidRequest, PlatformError
from tests.rows import for_each, row
from tests.unit.faces.responses_answers import (
    ABOUT,
    ANSWERS,
    SAID,
    SEARCHED,
    SECRET,
    THOUGHT,
    Scripted,
    asked,
    client,
    events_of,
    every_answer,
    names_of,
    streamed,
    whole,
)

BEGIN = ["created", "in_progress"]
MESSAGE = ["output_item.added", "content_part.added", "output_text.delta"]
END_OF_MESSAGE = ["output_text.done", "content_part.done", "output_item.done"]
THINKING = ["output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"]
END_OF_THINKING = ["reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"]
CALL, END_OF_CALL = "function_call_arguments.delta", ["function_call_arguments.done", "output_item.done"]
CUSTOM, END_OF_CUSTOM = "custom_tool_call_input.delta", ["custom_tool_call_input.done", "output_item.done"]
OPAQUE = ["output_item.added", "output_item.done"]
REFUSAL = ["content_part.added", "refusal.delta", "refusal.done", "content_part.done"]

SEQUENCES = {
    "text": [*MESSAGE, "output_text.delta", *END_OF_MESSAGE],
    "nothing": [],
    "length": [*MESSAGE, *END_OF_MESSAGE],
    "filter": [*MESSAGE, *END_OF_MESSAGE],
    "refusal": [*MESSAGE, *END_OF_MESSAGE[:2], *REFUSAL, "output_item.done"],
    "silent refusal": [],
    "reasoning": [*THINKING, "reasoning_summary_text.delta", *END_OF_THINKING, *MESSAGE, *END_OF_MESSAGE],
    "calls": [
        *(*MESSAGE, *END_OF_MESSAGE, "output_item.added", CALL, CALL, "output_item.added", CALL),
        *(*END_OF_CALL, *END_OF_CALL),
    ],
    "call without arguments": ["output_item.added", CALL, *END_OF_CALL],
    "lowered calls": [
        *("output_item.added", CALL, "output_item.added", "output_item.added"),
        *(*END_OF_CALL, CUSTOM, *END_OF_CUSTOM, CUSTOM, *END_OF_CUSTOM),
    ],
    "custom call in text": ["output_item.added", CUSTOM, CUSTOM, *END_OF_CUSTOM],
    "own reasoning": [*THINKING, *END_OF_THINKING, *MESSAGE, "output_text.delta", *END_OF_MESSAGE],
    "own secret reasoning": [*OPAQUE, *MESSAGE, *END_OF_MESSAGE],
    "own search": [*OPAQUE, *MESSAGE, *END_OF_MESSAGE],
    "own custom call": ["output_item.added", CUSTOM, *END_OF_CUSTOM],
    "own call in a namespace": ["output_item.added", CALL, *END_OF_CALL],
    "signed thinking": [
        *(*THINKING, *END_OF_THINKING, *OPAQUE, *OPAQUE, *MESSAGE, "output_text.annotation.added", *END_OF_MESSAGE),
        *(*OPAQUE, *MESSAGE, *END_OF_MESSAGE, "output_item.added", CALL, *END_OF_CALL),
    ],
    "signed call": [
        *("output_item.added", CALL, "output_item.added", CALL, *END_OF_CALL, *OPAQUE, *END_OF_CALL),
    ],
    "logprobs": [*MESSAGE, *END_OF_MESSAGE],
}
INCOMPLETE = {"length": "max_output_tokens", "filter": "content_filter", "silent refusal": "content_filter"}


def test_each_ending_has_its_events() -> None:
    assert SEQUENCES.keys() == ANSWERS.keys()
    for name, chunks in every_answer():
        with row(name):
            end = "incomplete" if name in INCOMPLETE else "completed"
            assert names_of(streamed(chunks)) == [*BEGIN, *SEQUENCES[name], end]


def test_the_whole_answer_is_that_of_the_stream() -> None:
    for name, chunks in every_answer():
        if name == "signed call":
            # The state comes when both calls are there; a whole answer has it behind its own.
            continue
        with row(name):
            assert json.loads(whole(chunks)) == events_of(streamed(chunks))[-1]["response"]


def test_a_short_answer_to_the_byte() -> None:
    written = streamed(ANSWERS["text"](), asked(tools=[], temperature=0.5, metadata={"a": "b"}))
    frame = (
        '{"id":"resp_0a1b","object":"response","created_at":1800000000,"status":"%s","error":null,'
        '"incomplete_details":null,"background":false,"instructions":null,"max_output_tokens":null,'
        '"metadata":{"a": "b"},"model":"gpt","parallel_tool_calls":true,"previous_response_id":null,"store":false,'
        '"temperature":0.5,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":null,'
        '"truncation":"disabled","output":[%s],"usage":%s}'
    )
    usage = (
        '{"input_tokens":11,"input_tokens_details":{"cached_tokens":3,"cache_write_tokens":2},"output_tokens":7,'
        '"output_tokens_details":{"reasoning_tokens":5},"total_tokens":18}'
    )
    place = '"item_id":"msg_gs0a1b_0","output_index":0,"content_index":0'
    part = '{"type":"output_text","text":"%s","annotations":[],"logprobs":[]}'
    item = '{"type":"message","id":"msg_gs0a1b_0","status":"%s","role":"assistant","content":[%s]}'
    item_done = item % ("completed", part % "Hello")
    data = [
        ("response.created", f'"response":{frame % ("in_progress", "", "null")}'),
        ("response.in_progress", f'"response":{frame % ("in_progress", "", "null")}'),
        ("response.output_item.added", f'"output_index":0,"item":{item % ("in_progress", "")}'),
        ("response.content_part.added", f'{place},"part":{part % ""}'),
        ("response.output_text.delta", f'{place},"delta":"Hel","logprobs":[]'),
        ("response.output_text.delta", f'{place},"delta":"lo","logprobs":[]'),
        ("response.output_text.done", f'{place},"text":"Hello","logprobs":[]'),
        ("response.content_part.done", f'{place},"part":{part % "Hello"}'),
        ("response.output_item.done", f'"output_index":0,"item":{item_done}'),
        ("response.completed", f'"response":{frame % ("completed", item_done, usage)}'),
    ]
    assert written.decode() == "".join(
        f'event: {name}\ndata: {{"type":"{name}",{fields},"sequence_number":{number}}}\n\n'
        for number, (name, fields) in enumerate(data)
    )


def output_of(name: str) -> Any:
    return events_of(streamed(ANSWERS[name]()))[-1]["response"]["output"]


def test_an_incomplete_answer_says_why_and_so_does_its_last_item() -> None:
    for name, reason in INCOMPLETE.items():
        response = events_of(streamed(ANSWERS[name]()))[-1]["response"]
        assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
        assert [item["status"] for item in response["output"]] in ([], ["incomplete"])


def test_calls_have_the_names_and_the_form_of_the_tools() -> None:
    read, patch, edit = output_of("lowered calls")
    assert (read["type"], read["namespace"], read["name"], read["arguments"]) == (
        "function_call",
        "files",
        "read",
        "{}",
    )
    assert (patch["type"], patch["name"], patch["input"]) == ("custom_tool_call", "apply_patch", "*** x")
    assert (edit["type"], edit["namespace"], edit["name"], edit["input"]) == ("custom_tool_call", "files", "edit", "y")
    assert "namespace" not in patch
    (own,) = output_of("own custom call")
    assert own["input"] == "{*** x"
    (own,) = output_of("own call in a namespace")
    assert (own["namespace"], own["name"], own["id"]) == ("files", "read", "fc_gs0a1b_0")
    (text,) = output_of("custom call in text")
    assert text["input"] == " *** x"


def test_a_tool_in_a_namespace_is_named_as_soon_as_its_call_begins() -> None:
    events = events_of(streamed(ANSWERS["own call in a namespace"]()))
    begun = next(event["item"] for event in events if event["type"] == "response.output_item.added")
    assert (begun["namespace"], begun["name"]) == ("files", "read")


def test_items_of_openai_are_as_it_has_made_them_but_for_the_ids_of_streamed_ones() -> None:
    thought, said = output_of("own reasoning")
    assert thought == json.loads(THOUGHT) | {"id": "rs_gs0a1b_0"}
    assert said == json.loads(SAID) | {"id": "msg_gs0a1b_1"}
    assert output_of("own search")[0] == json.loads(SEARCHED)
    assert output_of("own secret reasoning")[0] == json.loads(SECRET)


def test_an_item_of_several_parts_comes_once() -> None:
    two = SAID.replace(b"}]}", b'},{"type":"refusal","refusal":"No"}]}')
    answer = Scripted().say(0, "text", "Hi").say(1, "refusal", "No").keep(0, two).keep(1, two)
    assert events_of(streamed(answer.ended()))[-1]["response"]["output"] == [json.loads(two) | {"id": "msg_gs0a1b_0"}]


def test_pieces_of_calls_may_alternate() -> None:
    answer = Scripted().call(0, "c1", "find", '{"a"').call(1, "c2", "find", '{"b"')
    for key, piece in ((0, ":1"), (1, ":2"), (0, "}"), (1, "}")):
        answer.add_arguments(key, piece)
        answer.take()
    output = events_of(streamed(answer.ended()))[-1]["response"]["output"]
    assert [call["arguments"] for call in output] == ['{"a":1}', '{"b":2}']


def test_sources_become_annotations_as_far_as_they_have_an_address() -> None:
    sources = '[{"type":"url_citation","url_citation":{"url":"http://a","title":"A","start_index":1}},{"page":3}]'
    chunks = Scripted().say(0, "text", "Hi").source(0, sources).ended()
    (item,) = events_of(streamed(chunks))[-1]["response"]["output"]
    assert item["content"][0]["annotations"] == [
        {"type": "url_citation", "url": "http://a", "title": "A", "start_index": 1, "end_index": 2}
    ]
    assert json.loads(whole(chunks))["output"] == [item]


def test_logprobs_go_with_their_piece_and_with_the_text() -> None:
    events = events_of(streamed(ANSWERS["logprobs"]()))
    rated = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]
    assert [event["logprobs"] for event in events if "logprobs" in event] == [rated, rated]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == rated


# ------------------------------------------------------------------------------------------------- failures


def failed(error: PlatformError, chunks: list[ChatChunk]) -> bytes:
    encoder = asked().encoder(ABOUT)
    return b"".join([*map(encoder.feed, chunks), encoder.fail(error, "r1")])


BROKEN = errors.Unavailable("the provider broke off", reason="UPSTREAM_STREAM_TRUNCATED")
FULL = InvalidRequest("messages: too long", reason="CONTEXT_LENGTH_EXCEEDED")


def test_a_failure_is_two_events_each_read_by_other_clients() -> None:
    for begun in ([], Scripted().say(0, "text", "Hel").chunks):
        written = failed(BROKEN, begun)
        *_, error, end = events_of(written)
        assert names_of(written)[:2] == BEGIN
        described = {"message": BROKEN.message, "type": "server_error", "param": None, "code": "server_error"}
        assert error["error"] == described
        assert (error["code"], error["message"], error["param"]) == ("server_error", BROKEN.message, None)
        assert end["response"]["status"] == "failed"
        assert end["response"]["error"] == {"code": "server_error", "message": BROKEN.message}


@for_each(
    ("error", "code"),
    [
        (FULL, "context_length_exceeded"),
        (InvalidRequest("wrong"), "invalid_prompt"),
        (errors.LimitExceeded("later", reason="UPSTREAM_RATE_LIMITED"), "rate_limit_exceeded"),
        (errors.LimitExceeded("pay", reason="UPSTREAM_QUOTA_EXHAUSTED"), "insufficient_quota"),
        (errors.Unavailable("full", reason="UPSTREAM_OVERLOADED"), "server_is_overloaded"),
    ],
)
def test_a_failure_has_the_code_that_agents_act_upon(error: PlatformError, code: str) -> None:
    *_, told, end = events_of(failed(error, []))
    assert (told["code"], end["response"]["error"]["code"]) == (code, code)


def test_both_of_the_clients_readers_raise_for_a_failure() -> None:
    import openai

    written = failed(BROKEN, Scripted().say(0, "text", "Hel").chunks)
    with pytest.raises(openai.APIError, match="broke off"):
        list(client(written).responses.create(model="gpt", input="x", stream=True))
    with (
        pytest.raises(openai.APIError, match="broke off"),
        client(written).responses.stream(model="gpt", input="x") as stream,
    ):
        stream.get_final_response()


def test_refusals_are_in_openais_words_with_the_path_of_the_body() -> None:
    error = InvalidRequest.field("config.max_tokens", "must be at least 1")
    refusal = RESPONSES.refusal(error, "r1", asked())
    assert refusal.status == 400
    described = json.loads(refusal.body)["error"]
    assert (described["param"], described["type"]) == ("max_output_tokens", "invalid_request_error")
    assert "max_output_tokens" in described["message"]


# ------------------------------------------------------------------------------------------- OpenAI's own client


def test_the_clients_helper_reads_every_answer() -> None:
    for name, chunks in every_answer():
        if name in INCOMPLETE:
            continue
        with row(name), client(streamed(chunks)).responses.stream(model="gpt", input="x") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            final = stream.get_final_response()
            assert text == final.output_text == chunks[-1].response.text


def test_the_client_reads_every_whole_answer_and_its_types_take_it() -> None:
    from openai.types.responses import Response

    for name, chunks in every_answer():
        with row(name):
            body = whole(chunks)
            response = client(body, streams=False).responses.create(model="gpt", input="x")
            assert response.output_text == chunks[-1].response.text
            Response.model_validate_json(body)


OF_RESPONSE = ["id", "created_at", "model", "object", "status", "output", "usage", "error", "incomplete_details"]
OF_EVENTS = {
    "response.created": ["response"],
    "response.in_progress": ["response"],
    "response.output_item.added": ["output_index", "item"],
    "response.content_part.added": ["item_id", "output_index", "content_index", "part"],
    "response.output_text.delta": ["item_id", "output_index", "content_index", "delta", "logprobs"],
    "response.output_text.done": ["item_id", "output_index", "content_index", "text", "logprobs"],
    "response.content_part.done": ["item_id", "output_index", "content_index", "part"],
    "response.output_item.done": ["output_index", "item"],
    "response.reasoning_summary_part.added": ["item_id", "output_index", "summary_index", "part"],
    "response.reasoning_summary_text.delta": ["item_id", "output_index", "summary_index", "delta"],
    "response.reasoning_summary_text.done": ["item_id", "output_index", "summary_index", "text"],
    "response.reasoning_summary_part.done": ["item_id", "output_index", "summary_index", "part"],
    "response.function_call_arguments.delta": ["item_id", "output_index", "delta"],
    "response.function_call_arguments.done": ["item_id", "output_index", "arguments", "name"],
    "response.custom_tool_call_input.delta": ["item_id", "output_index", "delta"],
    "response.custom_tool_call_input.done": ["item_id", "output_index", "input"],
    "response.completed": ["response"],
    "response.incomplete": ["response"],
}
OF_ITEMS = {
    "message": ["id", "status", "role", "content"],
    "reasoning": ["id", "summary"],
    "function_call": ["id", "call_id", "name", "arguments", "status"],
    "custom_tool_call": ["id", "call_id", "name", "input"],
}
"""Members without which one of the clients breaks, or shows less."""


def test_no_member_is_missing_that_a_client_breaks_without() -> None:
    seen = set()
    for name, chunks in every_answer():
        with row(name):
            events = events_of(streamed(chunks))
            for event in events:
                seen.add(event["type"])
                assert not set(OF_EVENTS.get(event["type"], ())) - event.keys()
                if "response" in event:
                    assert not set(OF_RESPONSE) - event["response"].keys()
                    assert event["response"]["id"] == "resp_0a1b"
                    assert event["response"]["store"] is False
                if event["type"] in ("response.created", "response.in_progress"):
                    assert event["response"]["output"] == []
            usage = events[-1]["response"]["usage"]
            assert usage.keys() >= {"input_tokens", "output_tokens", "total_tokens"}
    assert seen >= OF_EVENTS.keys()


def test_every_item_is_opened_and_closed_once_under_the_same_ids() -> None:
    for name, chunks in every_answer():
        with row(name):
            events = events_of(streamed(chunks))
            opened = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.added"}
            closed = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
            final = events[-1]["response"]["output"]
            assert opened.keys() == closed.keys() == set(range(len(final)))
            for index, item in closed.items():
                assert item == final[index]
                assert not set(OF_ITEMS.get(item["type"], ())) - item.keys()
                for member in ("type", "id", "call_id", "name", "namespace"):
                    assert opened[index].get(member) == item.get(member)
            assert all(
                opened[event["output_index"]]["id"] == event["item_id"] for event in events if "item_id" in event
            )


def test_silence_is_filled_with_a_comment_and_the_beginning_comes_once() -> None:
    encoder = asked().encoder(ABOUT)
    assert encoder.heartbeat == b": ping\n\n"
    assert names_of(encoder.begin()) == BEGIN
    assert encoder.begin() == b""
    assert encoder.feed(ChatChunk(token="Hi")).startswith(b"event: response.output_item.added")


def test_counted_tokens() -> None:
    assert json.loads(RESPONSES.counted(7)) == {"object": "response.input_tokens", "input_tokens": 7}
