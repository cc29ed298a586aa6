"""Answers that failed, in every dress in which servers send them: none of them comes out as whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from services.models.providers.stream import StreamTimeouts
from tests.rows import row
from tests.scripted_upstream import Ending, Pause, Step, answer, event, event_stream
from tests.wire.adapters import (
    JSON,
    Subject,
    Verb,
    both_verbs,
    check_chunks,
    every_reader,
    every_responses_like,
    one_anthropic_like,
    one_openai_like,
    serve,
)
from tests.wire.dialects import HELLO, Sample, encode

PATIENT = StreamTimeouts(content=20, usage=0.05)
AWAITING_ALL = StreamTimeouts(content=20, usage=20)
"""For events that come right behind the end, which a busy machine may take long to send."""
IMPATIENT = StreamTimeouts(content=0.5, usage=0.05)


def said(subject: Subject, *pieces: str) -> list[str]:
    return [*subject.speech.opening(), *map(subject.speech.piece, pieces)]


async def reason_of(
    subject: Subject, *events: Step, timeouts: StreamTimeouts = PATIENT, ending: Ending = Ending.CLEAN
) -> str:
    """Why a stream failed, or OK with its text."""
    subject.upstream.play(event_stream(*events, ending=ending))
    outcome = await asyncio.wait_for(subject.ask("chat_stream", timeouts), 10)
    if outcome.error:
        return outcome.error.reason
    check_chunks(outcome.chunks)
    assert outcome.response is not None
    return f"OK {outcome.response.text}"


# ------------------------------------------------------------------------------------------------- error events

FLAT = {"object": "error", "message": "EngineCore died", "type": "InternalServerError", "param": None, "code": 500}
ERROR_EVENTS = {
    "named, its members bare": event({"code": 500, "message": "EngineCore died"}, "error"),
    "named, no JSON": event("EngineCore died", "error"),
    "named, empty data": "event: error\ndata:\n\n",
    "named, no data": "event: error\n\n",
    "named otherwise": event({"message": "EngineCore died"}, "upstream_error"),
    "named, a list": event([1], "error"),
    "named, null": event(None, "error"),
    "marked as an object": event(FLAT),
    "marked by its type": event({"type": "error", "message": "EngineCore died", "code": 500}),
    "bare members": event({"message": "EngineCore died", "code": 500}),
    "bare members of others": event({"msg": "EngineCore died", "code": "E_ENGINE"}),
    "as of FastAPI": event({"detail": "Internal Server Error"}),
    "as of MiniMax": event({"choices": None, "base_resp": {"status_code": 1013, "status_msg": "internal error"}}),
    "as of iFlow": event({"status": "500", "msg": "EngineCore died", "body": None}),
    "a word for its status": event({"status": "error", "message": "EngineCore died"}),
    "as of Cloudflare": event({"success": False, "errors": [{"code": 7009, "message": "EngineCore died"}]}),
    "empty": event({"error": {}}),
    "a text": event({"error": "EngineCore died"}),
    "a field of its own": 'error: {"code": 500, "message": "EngineCore died"}\n\n',
    "without data in front": json.dumps({"error": {"code": 500, "message": "EngineCore died"}}) + "\n\n",
}


@every_reader
async def test_error_event_before_and_behind_content_and_behind_the_end(subject: Subject) -> None:
    end = subject.speech.ending(Sample(text=["So"]))
    for dress, failed in ERROR_EVENTS.items():
        with row(dress):
            assert await reason_of(subject, failed, *end) == "UPSTREAM_SERVER_ERROR"
            assert await reason_of(subject, *said(subject, "So"), failed, *end) == "UPSTREAM_SERVER_ERROR"
            # Behind the finish reason, or what is most like one, and before the end.
            late = *said(subject, "So"), *end[:-1], failed, end[-1]
            assert await reason_of(subject, *late, timeouts=AWAITING_ALL) == "UPSTREAM_SERVER_ERROR"


WHOLE_ERRORS: list[Any] = [
    FLAT,
    {"type": "error", "error": {"type": "api_error", "message": "x"}},
    {"error": "EngineCore died"},
    {"error": {"message": "x", "code": 500}},
    {"message": "EngineCore died", "type": "InternalServerError", "code": 500},
]


@every_reader
@both_verbs
@pytest.mark.parametrize("number", range(len(WHOLE_ERRORS)))
async def test_error_as_the_whole_body_of_a_200(subject: Subject, verb: Verb, number: int) -> None:
    subject.upstream.default = answer(encode(WHOLE_ERRORS[number]), headers=JSON)
    assert (await subject.refused(verb)).reason == "UPSTREAM_SERVER_ERROR"


@every_reader
@both_verbs
async def test_error_beside_an_answer_is_an_error_and_null_is_none(subject: Subject, verb: Verb) -> None:
    body = subject.speech.body(HELLO)
    for told, reason in (({"code": 503, "message": "x"}, "UPSTREAM_SERVER_ERROR"), (None, "")):
        events = [
            event(json.loads(text.partition("data: ")[2]) | {"error": told}) if text.count("{") else text
            for text in subject.speech.events(HELLO)
        ]
        whole = answer(encode(body | {"error": told}), headers=JSON)
        subject.upstream.default = serve(whole, event_stream(*events))
        outcome = await subject.ask(verb)
        assert (outcome.error.reason if outcome.error else "") == reason


@every_reader
async def test_objects_that_say_that_all_is_well_are_no_errors(subject: Subject) -> None:
    """Gateways put their own events between those of the answer."""
    well = [
        {"type": "status", "message": "searching"},
        {"code": 200, "message": "ok"},
        {"error": None, "base_resp": {"status_code": 0, "status_msg": "success"}},
        {"error": False},
        {"success": True, "errors": [], "message": "ok", "status": "200"},
    ]
    end = subject.speech.ending(Sample(text=["So"]))
    assert await reason_of(subject, *map(event, well), *said(subject, "So"), *end) == "OK So"


@one_openai_like
@both_verbs
async def test_answer_that_minimax_says_has_failed(subject: Subject, verb: Verb) -> None:
    for code, reason in (
        (0, ""),
        (1008, "UPSTREAM_BILLING"),
        (1027, "CONTENT_REJECTED"),
        (1033, "UPSTREAM_SERVER_ERROR"),
    ):
        told = {"base_resp": {"status_code": code, "status_msg": "x"}}
        choice = {"index": 0, "delta": {"content": "So"}, "finish_reason": "stop"}
        stream = event_stream(event({"choices": [choice]} | told), event("[DONE]"))
        subject.upstream.default = serve(answer(encode(subject.speech.body(HELLO) | told), headers=JSON), stream)
        outcome = await subject.ask(verb)
        assert (outcome.error.reason if outcome.error else "") == reason


@one_anthropic_like
async def test_end_that_minimax_says_has_failed(subject: Subject) -> None:
    *events, _, stop = subject.speech.events(HELLO)
    told = {"base_resp": {"status_code": 1027, "status_msg": "x"}}
    ended = subject.speech.named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1}, **told)
    assert await reason_of(subject, *events, ended, stop) == "CONTENT_REJECTED"


FAILED_WORDS = {
    "error": "UPSTREAM_SERVER_ERROR",
    "network_error": "UPSTREAM_SERVER_ERROR",
    "insufficient_system_resource": "UPSTREAM_OVERLOADED",
}


@one_openai_like
@both_verbs
async def test_choice_that_failed(subject: Subject, verb: Verb) -> None:
    choices = [({"finish_reason": word}, reason) for word, reason in FAILED_WORDS.items()]
    error = {"code": 503, "message": "x"}
    choices += [({"finish_reason": word, "error": error}, "UPSTREAM_SERVER_ERROR") for word in ("stop", "error")]
    for choice, reason in choices:
        message = {"index": 0, "message": {"role": "assistant", "content": "So"}}
        delta = {"index": 0, "delta": {"content": ""}}
        stream = event_stream(*said(subject, "So"), event({"choices": [delta | choice]}), event("[DONE]"))
        subject.upstream.default = serve(answer(encode({"choices": [message | choice]}), headers=JSON), stream)
        outcome = await subject.ask(verb)
        assert outcome.error is not None
        assert outcome.error.reason == reason


@one_openai_like
@both_verbs
async def test_error_inside_a_message(subject: Subject, verb: Verb) -> None:
    error = {"error": {"code": 429, "message": "x"}}
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": ""} | error, "finish_reason": "stop"}]}
    stream = event_stream(*said(subject, "So"), subject.speech.delta(error), event("[DONE]"))
    subject.upstream.default = serve(answer(encode(body), headers=JSON), stream)
    outcome = await subject.ask(verb)
    assert outcome.error is not None
    assert outcome.error.reason == "UPSTREAM_RATE_LIMITED"


@one_anthropic_like
@both_verbs
async def test_error_in_place_of_a_block(subject: Subject, verb: Verb) -> None:
    block = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
    body = subject.speech.body(HELLO) | {"content": [block]}
    events = [*subject.speech.opening(), *subject.speech.block(1, block, []), *subject.speech.ending(HELLO)]
    subject.upstream.default = serve(answer(encode(body), headers=JSON), event_stream(*events))
    outcome = await subject.ask(verb)
    assert outcome.error is not None
    assert outcome.error.reason == "UPSTREAM_OVERLOADED"


@one_openai_like
async def test_error_inside_a_choice_in_mid_stream(subject: Subject) -> None:
    choice = {"index": 0, "delta": {"content": " far"}, "finish_reason": None, "error": {"code": 429, "message": "x"}}
    failed = event({"choices": [choice]})
    assert await reason_of(subject, *said(subject, "So"), failed, event("[DONE]")) == "UPSTREAM_RATE_LIMITED"


@one_anthropic_like
@both_verbs
async def test_message_that_failed(subject: Subject, verb: Verb) -> None:
    for word, reason in FAILED_WORDS.items():
        body = subject.speech.body(Sample(text=["So"], finish=word))
        events = subject.speech.events(Sample(text=["So"], finish=word))
        subject.upstream.default = serve(answer(encode(body), headers=JSON), event_stream(*events))
        outcome = await subject.ask(verb)
        assert outcome.error is not None
        assert outcome.error.reason == reason


@every_responses_like
@both_verbs
async def test_response_that_failed(subject: Subject, verb: Verb) -> None:
    for status in ("failed", "cancelled"):
        for error in ({"code": "server_error", "message": "x"}, None):
            failed = subject.speech.response([subject.speech.message("So")]) | {"status": status, "error": error}
            for kind in (f"response.{status}", "response.completed"):
                stream = event_stream(*said(subject, "So"), subject.speech.named(kind, response=failed))
                subject.upstream.default = serve(answer(encode(failed), headers=JSON), stream)
                outcome = await subject.ask(verb)
                assert outcome.error is not None
                assert outcome.error.reason == "UPSTREAM_SERVER_ERROR"


# ----------------------------------------------------------------------------------------------- ends that are none


def with_finish(subject: Subject, text: str) -> str:
    return str(subject.speech.delta({"content": text}, "stop"))


@one_openai_like
async def test_content_behind_a_finish_reason_is_content(subject: Subject) -> None:
    """Gateways put one on their first chunk, or on every one; however long the next takes."""
    late, done = Pause(0.15), event("[DONE]")
    first = [with_finish(subject, ""), late, subject.speech.piece("a"), late, subject.speech.piece("b")]
    every = [step for word in "ab" for step in (with_finish(subject, word), late)]
    call = {"index": 0, "id": "c", "function": {"name": "find", "arguments": "{}"}}
    assert await reason_of(subject, *first, with_finish(subject, ""), done) == "OK ab"
    assert await reason_of(subject, *first, done) == "OK ab"
    assert await reason_of(subject, *every, done) == "OK ab"
    assert await reason_of(subject, *every) == "OK ab"
    outcome = await reason_of(subject, with_finish(subject, ""), late, subject.speech.call_delta(**call), done)
    assert outcome == "OK "


@one_openai_like
async def test_stream_that_stops_behind_content_behind_a_finish_reason_is_not_whole(subject: Subject) -> None:
    early = [with_finish(subject, ""), subject.speech.piece("a"), with_finish(subject, "b"), subject.speech.piece("c")]
    assert await reason_of(subject, *early) == "UPSTREAM_STREAM_TRUNCATED"
    assert await reason_of(subject, *early, ending=Ending.CUT) == "UPSTREAM_STREAM_INTERRUPTED"
    assert await reason_of(subject, *early[:1], ending=Ending.CUT) == "UPSTREAM_STREAM_INTERRUPTED"
    assert await reason_of(subject, *early[:3], ending=Ending.CUT) == "UPSTREAM_STREAM_INTERRUPTED"
    pings = [step for _ in range(100) for step in (Pause(0.02), subject.speech.ping)]
    silent = [*early[:1], *pings]
    assert await reason_of(subject, *silent, timeouts=IMPATIENT, ending=Ending.STALL) == "UPSTREAM_IDLE"


@one_openai_like
async def test_stream_that_stops_behind_an_early_finish_reason_is_no_empty_answer(subject: Subject) -> None:
    assert await reason_of(subject, with_finish(subject, "")) == "UPSTREAM_STREAM_TRUNCATED"
    assert await reason_of(subject, with_finish(subject, ""), event("[DONE]")) == "OK "


@one_openai_like
async def test_what_cannot_be_read_behind_a_finish_reason_may_have_been_content(subject: Subject) -> None:
    whole = [*said(subject, "So"), with_finish(subject, "")]
    assert await reason_of(subject, *whole, event("{"), event("[DONE]")) == "UPSTREAM_PROTOCOL_ERROR"
    assert await reason_of(subject, *whole, 'data: {"choices": [{"del') == "UPSTREAM_STREAM_TRUNCATED"
    assert (
        await reason_of(subject, *whole, 'data: {"choices": [{"del', ending=Ending.CUT) == "UPSTREAM_STREAM_TRUNCATED"
    )


@every_reader
async def test_stream_of_nothing_but_its_end_is_no_answer(subject: Subject) -> None:
    end = subject.speech.terminal_event
    assert await reason_of(subject, end) == "UPSTREAM_STREAM_TRUNCATED"
    assert await reason_of(subject, subject.speech.ping, end) == "UPSTREAM_STREAM_TRUNCATED"
    assert await reason_of(subject, event({}), end) == "UPSTREAM_STREAM_TRUNCATED"


@one_openai_like
async def test_stream_without_a_choice_is_no_answer(subject: Subject) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 0}
    counted = event({"id": "c", "choices": [], "usage": usage})
    assert await reason_of(subject, counted, event("[DONE]")) == "UPSTREAM_STREAM_TRUNCATED"
    assert await reason_of(subject, *subject.speech.opening(), counted, event("[DONE]")) == "UPSTREAM_STREAM_TRUNCATED"


@every_reader
@both_verbs
async def test_empty_object_and_an_answer_that_says_nothing_are_none(subject: Subject, verb: Verb) -> None:
    for body in (b"{}", b'{"choices": [{"message": {"role": "assistant", "content": null}}], "content": []}'):
        subject.upstream.default = answer(body, headers=JSON)
        assert (await subject.refused(verb)).reason == "UPSTREAM_PROTOCOL_ERROR"


# ------------------------------------------------------------------------------------- messages in place of deltas


def messages(*texts: str, kind: str, finish: str | None = None) -> list[str]:
    return [
        event({"object": kind, "choices": [{"index": 0, "message": {"content": text}, "finish_reason": finish}]})
        for text in texts
    ]


PIECES, WHOLES = "chat.completion.chunk", "chat.completion"


@one_openai_like
@pytest.mark.parametrize(
    ("events", "text"),
    [
        (messages("hello", kind=WHOLES, finish="stop"), "hello"),
        (messages("ha", "ha", kind=PIECES), "haha"),
        (messages("ha", "haha", kind=WHOLES), "haha"),
        ([event({"choices": [{"index": 0, "text": text}]}) for text in ("ha", "ha")], "haha"),
        ([event({"choices": [{"delta": {}, "message": {"content": "hello"}}]})], "hello"),
    ],
    ids=["one", "pieces", "all so far", "texts", "beside an empty delta"],
)
async def test_message_where_a_delta_belongs(subject: Subject, events: list[str], text: str) -> None:
    assert await reason_of(subject, *events, event("[DONE]")) == f"OK {text}"


@one_openai_like
@pytest.mark.parametrize("kind", [PIECES, WHOLES])
async def test_message_that_repeats_the_deltas_says_nothing_new(subject: Subject, kind: str) -> None:
    calls = [{"id": "a", "function": {"name": "find", "arguments": '{"n": 1}'}}]
    whole = {"role": "assistant", "content": "one two", "reasoning_content": "Hm.", "tool_calls": calls}
    repeated = event({"object": kind, "choices": [{"delta": {}, "message": whole, "finish_reason": "stop"}]})
    subject.upstream.play(
        event_stream(
            subject.speech.delta({"reasoning_content": "Hm."}),
            *said(subject, "one ", "two"),
            subject.speech.call_delta(index=0, **calls[0]),
            repeated,
            event("[DONE]"),
        )
    )
    outcome = await subject.ask("chat_stream")
    check_chunks(outcome.chunks)
    assert outcome.response is not None
    assert outcome.response.text == "one two"
    assert [call.arguments_json for call in outcome.response.tool_calls] == ['{"n": 1}']
    assert outcome.response.message.parts[0].reasoning.text == "Hm."


@one_openai_like
async def test_answer_that_ended_before_its_first_word_may_have_no_message(subject: Subject) -> None:
    choice = {"index": 0, "finish_reason": "length"}
    events = [event({"choices": [choice]}), event("[DONE]")]
    response = await subject.answered_with(encode({"choices": [choice]}), events)
    assert (response.text, response.finish_reason) == ("", "length")
