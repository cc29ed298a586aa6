"""What every adapter promises, shown over real bytes against a server that plays scripts.

A new adapter is one line in a module of `tests/wire/speeches`. Where a case speaks of Chat, it means what a caller of
Chat sees, also of an adapter that asks its server for a stream all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import email.utils
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple, get_args

import pytest

from proto import models_pb2
from services.models.providers import stream
from services.models.providers.base import Conversation
from services.models.providers.chat import chat, chat_stream
from services.models.providers.stream import STREAM_TIMEOUTS, StreamTimeouts
from services.models.transport import sse
from services.models.transport.base import HttpTimeouts
from services.shared import errors
from services.shared.offload import LARGE_BYTES
from tests.rows import row
from tests.scripted_upstream import (
    Ending,
    Generate,
    Pause,
    Received,
    Script,
    ScriptedUpstream,
    Step,
    answer,
    event,
    event_stream,
    no_answer,
)
from tests.wire.adapters import (
    ADAPTERS,
    CANARY,
    JSON,
    SECONDS_TO_CLOSE,
    Adapter,
    Subject,
    Verb,
    asks_for_stream,
    both_verbs,
    check_chunks,
    check_nothing_leaks,
    every_adapter,
    every_anthropic_like,
    every_reader,
    one_anthropic_like,
    one_openai_like,
    serve,
    talk,
)
from tests.wire.dialects import ANSWER_ID, HELLO, MODEL, USAGE, Call, Sample, Speech, Usage, encode, exactly
from tests.wire.odd_tool_calls import MADE, ODD_CALL_DELTAS, ODD_CALL_IDS, TWO_CALLS, function
from tests.wire.refusals import HTML, REFUSALS, worded
from tests.wire.speeches.chat_completions import OpenAISpeech
from tests.wire.speeches.messages import AnthropicSpeech


@pytest.fixture
async def hasty(adapter: Adapter, upstream: ScriptedUpstream) -> AsyncIterator[Subject]:
    """A subject that does not wait long for a head."""
    subject = Subject(adapter, upstream, HttpTimeouts(answer=0.3, first_byte=0.3))
    yield subject
    await subject.transport.close()


@pytest.fixture
async def restless(adapter: Adapter, upstream: ScriptedUpstream) -> AsyncIterator[Subject]:
    """A subject that does not wait long for the next bytes."""
    subject = Subject(adapter, upstream, HttpTimeouts(idle=0.3))
    yield subject
    await subject.transport.close()


# ------------------------------------------------------------------------------------------------------- answers


@every_adapter
async def test_text(subject: Subject) -> None:
    response = await subject.answered(HELLO)
    assert response == models_pb2.ChatResponse(
        text="Hello wörld \U0001f600",
        model=MODEL,
        provider=subject.adapter.provider,
        usage=models_pb2.TokenUsage(prompt_tokens=12, completion_tokens=7, total_tokens=19),
        finish_reason="stop",
        message=models_pb2.ChatMessage(role="assistant", content="Hello wörld \U0001f600"),
        raw_finish_reason=response.raw_finish_reason,
        provider_response_id=ANSWER_ID,
    )


@every_reader
async def test_empty_answer(subject: Subject) -> None:
    response = await subject.answered(Sample())
    assert (response.text, response.finish_reason) == ("", "stop")
    assert response.message == models_pb2.ChatMessage(role="assistant")


@every_reader
async def test_reasoning_is_apart_from_text(subject: Subject) -> None:
    response = await subject.answered(Sample(reasoning=["Think ", "first."], text=["Then ", "speak."]))
    assert response.text == "Then speak."
    thought, spoken = response.message.parts
    assert thought.reasoning.text == "Think first."
    assert spoken.text == "Then speak."


@one_openai_like
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_reasoning_has_two_names(subject: Subject, field: str) -> None:
    subject.speech = OpenAISpeech(field)
    response = await subject.answered(Sample(reasoning=["Hm."], text=["Yes."]))
    assert response.message.parts[0].reasoning.text == "Hm."


@every_reader
async def test_tool_call(subject: Subject) -> None:
    """Arguments are the provider's text, with its spacing, its big numbers and its escapes."""
    arguments = '{ "city":"Z\\u00fcrich",  "id": 12345678901234567890123, "ratio":1.50 }'
    call = Call("call-a", "find", [arguments[:9], arguments[9:30], arguments[30:]])
    response = await subject.answered(Sample(calls=[call]))
    expected = models_pb2.ToolCall(id="call-a", name="find", arguments_json=arguments)
    assert list(response.tool_calls) == [expected]
    assert response.message == models_pb2.ChatMessage(role="assistant", tool_calls=[expected])
    assert response.finish_reason == "tool_calls"


@every_reader
async def test_text_before_parallel_tool_calls(subject: Subject) -> None:
    calls = [Call("call-a", "find", ['{"a"', ":1}"]), Call("call-b", "find", ['{"b":2}']), Call("call-c", "stop", [])]
    response = await subject.answered(Sample(text=["Let me ", "see."], calls=calls))
    assert [(call.id, call.name, call.arguments_json) for call in response.tool_calls] == [
        ("call-a", "find", '{"a":1}'),
        ("call-b", "find", '{"b":2}'),
        ("call-c", "stop", "{}"),
    ]
    assert response.message.content == "Let me see."


@every_reader
async def test_every_finish_reason_keeps_the_providers_word(subject: Subject) -> None:
    for word, meaning in subject.speech.finish_reasons.items():
        response = await subject.answered(Sample(text=["So"], finish=word))
        assert (response.finish_reason, response.raw_finish_reason) == (meaning, word)


@one_openai_like
async def test_stop_with_tool_calls_is_tool_calls(subject: Subject) -> None:
    """Some tool parsers of vLLM leave `stop`."""
    response = await subject.answered(Sample(calls=[Call("a", "find", ["{}"])], finish="stop"))
    assert (response.finish_reason, response.raw_finish_reason) == ("tool_calls", "stop")


@one_openai_like
async def test_refusal_is_a_part_and_a_finish_reason(subject: Subject) -> None:
    body = subject.speech.body(Sample())
    body["choices"][0]["message"]["refusal"] = "I would rather not."
    pieces = [subject.speech.delta({"refusal": piece}) for piece in ("I would ", "rather not.")]
    events = [*subject.speech.opening(), *pieces, *subject.speech.ending(Sample())]
    response = await subject.answered_with(encode(body), events)
    assert response.message == models_pb2.ChatMessage(
        role="assistant", parts=[models_pb2.ContentPart(refusal="I would rather not.")]
    )
    assert (response.text, response.finish_reason) == ("", "refusal")


@every_reader
async def test_usage_counts_cached_tokens_and_thoughts_in(subject: Subject) -> None:
    usage = Usage(prompt=100, completion=50, cached=60, written=10, thought=30)
    response = await subject.answered(Sample(text=["So"], usage=usage))
    assert response.usage == models_pb2.TokenUsage(
        prompt_tokens=100,
        completion_tokens=50,
        total_tokens=150,
        cached_prompt_tokens=60,
        cache_write_tokens=10 if subject.speech.counts_cache_writes else None,
        reasoning_tokens=30,
    )


@every_reader
async def test_usage_that_nobody_counted_is_estimated(subject: Subject) -> None:
    response = await subject.answered(Sample(text=["12345", "6789"], usage=None))
    usage = models_pb2.TokenUsage(prompt_tokens=7, completion_tokens=3, total_tokens=10, estimated=True)
    assert response.usage == usage


@every_reader
async def test_server_that_names_no_model_served_the_one_that_was_asked(subject: Subject) -> None:
    unnamed = subject.speech.without_model
    body = unnamed(encode(subject.speech.body(HELLO)).decode()).encode()
    response = await subject.answered_with(body, [unnamed(text) for text in subject.speech.events(HELLO)])
    assert response.model == subject.target.model


@every_reader
async def test_unknown_events_and_fields_are_survived(subject: Subject) -> None:
    body = subject.speech.body(HELLO) | {"new_field": {"deep": [1]}, "system_fingerprint": None}
    unknown = event({"type": "a_new_event", "choices": [], "index": 0, "obfuscation": "x7f"}, "a_new_event")
    events = [step for text in subject.speech.events(HELLO) for step in (unknown, text)]
    response = await subject.answered_with(encode(body), ["id: 7\nretry: 10\n\n", ": hello\n\n", *events])
    assert response.text == "Hello wörld \U0001f600"


@every_reader
async def test_emoji_split_over_two_deltas_is_one(subject: Subject) -> None:
    """Halves of a surrogate pair are escaped in JSON, and protobuf takes no half."""
    pieces = [*subject.speech.opening(), subject.speech.piece("a\ud83d"), subject.speech.piece("\ude00b\ud83d")]
    sample = Sample(text=["a\U0001f600b\ufffd"])
    response = await subject.answered_with(
        encode(subject.speech.body(sample)), [*pieces, *subject.speech.ending(sample)]
    )
    assert response.text == "a\U0001f600b\ufffd"


@every_reader
async def test_half_a_character_is_replaced_in_every_text_of_an_answer(subject: Subject) -> None:
    sample = Sample(
        reasoning=["r\ud83d"], text=["t\ud83d"], calls=[Call("i\ud83d", "n\ud83d", ["{}"])], finish="f\ud83d"
    )
    body = json.dumps(subject.speech.body(sample), default=lambda exact: json.loads(bytes(exact)))
    written = body.replace(MODEL, "m\\ud83d").encode()
    events = [text.replace(MODEL, "m\\ud83d") for text in subject.speech.events(sample)]
    response = await subject.answered_with(written, events)
    call = response.tool_calls[0]
    told = (response.text, response.model, response.raw_finish_reason, call.id, call.name)
    assert told == ("t\ufffd", "m\ufffd", "f\ufffd", "i\ufffd", "n\ufffd")


@every_reader
async def test_server_that_answers_json_although_asked_for_a_stream(subject: Subject) -> None:
    sample = Sample(text=["Hello"], calls=[Call("a", "find", ['{"x": 1}'])])
    subject.upstream.default = answer(encode(subject.speech.body(sample)), headers=JSON)
    outcome = await subject.ask("chat_stream")
    check_chunks(outcome.chunks)
    assert outcome.response == (await subject.ask("chat")).response


@every_reader
async def test_connection_is_used_again_after_an_answer(subject: Subject) -> None:
    for _ in range(3):
        await subject.answered(HELLO)
    assert len(subject.upstream.connections) == 1


@every_reader
@both_verbs
async def test_server_may_close_after_each_answer_although_it_promised_not_to(subject: Subject, verb: Verb) -> None:
    whole = answer(encode(subject.speech.body(HELLO)), headers=JSON, ending=Ending.CLOSE)
    stream = event_stream(*subject.speech.events(HELLO), ending=Ending.CLOSE)
    subject.upstream.default = serve(whole, stream)
    for _ in range(5):
        outcome = await subject.ask(verb)
        assert outcome.response is not None
        assert outcome.response.text == "Hello wörld \U0001f600"


@every_reader
async def test_last_chunk_does_not_wait_for_the_connection(subject: Subject) -> None:
    """Whatever a server does after its terminal event, the answer is whole."""
    subject.upstream.default = event_stream(*subject.speech.events(HELLO), ending=Ending.STALL)
    outcome = await subject.ask("chat_stream")
    check_chunks(outcome.chunks)
    await subject.upstream.requests[0].closed_by_peer()


@every_reader
async def test_answer_is_whole_although_its_usage_is_lost(subject: Subject) -> None:
    sample = Sample(text=["12345678"], usage=None)
    events = [text for text in subject.speech.events(sample) if "[DONE]" not in text]
    for ending in (Ending.CUT, Ending.RESET, Ending.CLEAN):
        subject.upstream.default = event_stream(*events, ending=ending)
        outcome = await subject.ask("chat_stream")
        with row(ending):
            check_chunks(outcome.chunks)
            assert outcome.response is not None
            assert outcome.response.finish_reason == "stop"
            assert outcome.response.usage.estimated
            assert outcome.response.usage.completion_tokens == 2


@one_openai_like
async def test_usage_is_waited_for_shortly(subject: Subject) -> None:
    """A server that falls silent, or only pings, between the end of its answer and the usage."""
    events = [*subject.speech.opening(), subject.speech.piece("So"), subject.speech.delta({}, "stop")]
    pings = [step for _ in range(100) for step in (Pause(0.01), subject.speech.ping)]
    for rest in ([], pings):
        subject.upstream.default = event_stream(*events, *rest, ending=Ending.STALL)
        outcome = await asyncio.wait_for(subject.ask("chat_stream", StreamTimeouts(content=20, usage=0.05)), 10)
        assert outcome.response is not None
        assert outcome.response.usage.estimated


@one_openai_like
async def test_what_comes_after_the_end_of_the_stream_cannot_spoil_it(subject: Subject) -> None:
    late = [event("[DONE]") + event("{"), event("[DONE]") + event(subject.speech.error("server_error", CANARY))]
    for rest in late:
        subject.upstream.default = event_stream(
            *subject.speech.opening(), subject.speech.piece("So"), subject.speech.delta({}, "stop"), rest
        )
        outcome = await subject.ask("chat_stream")
        check_chunks(outcome.chunks)


# ----------------------------------------------------------------------------------- answers in Chat Completions


def ids_told(calls: Sequence[models_pb2.ToolCall]) -> list[str]:
    """The ids of the calls, with `MADE` for those that the platform has made; all differ."""
    assert len({call.id for call in calls}) == len(calls)
    return [MADE if re.fullmatch("[0-9A-Za-z]{9}", call.id) else call.id for call in calls]


@one_openai_like
async def test_tool_calls_as_servers_in_the_wild_stream_them(subject: Subject) -> None:
    sample = Sample(calls=[Call("", "", [])])
    for case, deltas in ODD_CALL_DELTAS.items():
        pieces = [subject.speech.call_delta(**delta) for delta in deltas]
        subject.upstream.default = event_stream(*subject.speech.opening(), *pieces, *subject.speech.ending(sample))
        outcome = await subject.ask("chat_stream")
        with row(case):
            check_chunks(outcome.chunks)
            assert outcome.response is not None
            calls = outcome.response.tool_calls
            assert [(call.name, call.arguments_json) for call in calls] == TWO_CALLS
            assert ids_told(calls) == ODD_CALL_IDS.get(case, ["a", "b"])


@one_openai_like
async def test_same_tool_called_twice_without_index_and_ids(subject: Subject) -> None:
    pieces = [subject.speech.call_delta(function=function("find", f'{{"a": {n}}}')) for n in (1, 2)]
    subject.upstream.default = event_stream(*pieces, *subject.speech.ending(Sample()))
    outcome = await subject.ask("chat_stream")
    check_chunks(outcome.chunks)
    assert outcome.response is not None
    assert [call.arguments_json for call in outcome.response.tool_calls] == ['{"a": 1}', '{"a": 2}']


@one_openai_like
async def test_missing_and_repeated_ids_are_replaced_alike_by_both_verbs(subject: Subject) -> None:
    calls = [Call("", "find", ["{}"]), Call("a", "find", ["{}"]), Call("a", "find", ["{}"])]
    response = await subject.answered(Sample(calls=calls))
    assert ids_told(response.tool_calls) == [MADE, "a", MADE]


@one_openai_like
async def test_arguments_that_are_an_object_instead_of_its_text(subject: Subject) -> None:
    body = subject.speech.body(Sample(calls=[Call("a", "find", [])]))
    body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = {"n": 1}
    delta = subject.speech.call_delta(index=0, id="a", function={"name": "find", "arguments": {"n": 1}})
    events = [delta, *subject.speech.ending(Sample(calls=[Call("a", "find", [])]))]
    response = await subject.answered_with(encode(body), events)
    assert response.tool_calls[0].arguments_json == '{"n":1}'


@one_openai_like
async def test_content_in_parts_is_the_same_by_both_verbs(subject: Subject) -> None:
    """As Mistral's reasoning models answer."""
    told, *thoughts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": text}]} for text in ("Hm hm.", "Hm ", "hm.")
    ]
    texts = [{"type": "text", "text": text} for text in ("So", ".")]
    body = subject.speech.body(Sample())
    body["choices"][0]["message"]["content"] = [told, *texts]
    pieces = [subject.speech.delta({"content": [part]}) for part in (*thoughts, *texts)]
    response = await subject.answered_with(
        encode(body), [*subject.speech.opening(), *pieces, *subject.speech.ending(Sample())]
    )
    assert response.text == "So."
    assert response.message.parts[0].reasoning.text == "Hm hm."


@one_openai_like
async def test_null_choices_say_nothing(subject: Subject) -> None:
    nothing = event({"id": ANSWER_ID, "model": MODEL, "choices": None})
    subject.upstream.default = event_stream(nothing, *subject.speech.events(HELLO))
    outcome = await subject.ask("chat_stream")
    check_chunks(outcome.chunks)


# ------------------------------------------------------------------------------------------- answers in Messages


@one_anthropic_like
async def test_signed_thinking_is_kept_in_place(subject: Subject) -> None:
    response = await subject.answered(Sample(reasoning=["Hm ", "\U0001f914"], text=["Yes"]))
    thought = response.message.parts[0]
    assert json.loads(thought.provider_state.data) == {
        "type": "thinking",
        "thinking": "Hm \U0001f914",
        "signature": "c2lnbmF0dXJl",
    }
    assert (thought.provider_state.provider, thought.provider_state.model) == (subject.target.state_owner, MODEL)


@one_anthropic_like
async def test_emoji_split_over_two_thoughts_is_whole_in_what_goes_back(subject: Subject) -> None:
    pieces = Sample(reasoning=["Hm \ud83e", "\udd14"], text=["Yes"])
    body = encode(subject.speech.body(Sample(reasoning=["Hm \U0001f914"], text=["Yes"])))
    response = await subject.answered_with(body, subject.speech.events(pieces))
    assert "Hm \U0001f914".encode() in response.message.parts[0].provider_state.data


@one_anthropic_like
async def test_blocks_without_a_form_of_ours_are_kept_whole(subject: Subject) -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "", "signature": "hidden"},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "server_tool_use", "id": "srv-1", "name": "web_search", "input": exactly('{"query": "x"}')},
        {"type": "web_search_tool_result", "tool_use_id": "srv-1", "content": [{"type": "web_search_result"}]},
        {"type": "a_new_block", "n": exactly("12345678901234567890123")},
        {"type": "text", "text": "Found.", "citations": [{"type": "web_search_result_location", "url": "u"}]},
        {"type": "tool_use", "id": "call-a", "name": "find", "input": {}},
    ]
    body = subject.speech.body(Sample(calls=[Call("", "", [])])) | {"content": blocks}
    speech: AnthropicSpeech = subject.speech
    signature = {"type": "signature_delta", "signature": "hidden"}
    query = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"query"', ': "x"}')]
    cited: list[dict[str, Any]] = [
        {"type": "text_delta", "text": "Found."},
        {"type": "citations_delta", "citation": {"type": "web_search_result_location", "url": "u"}},
    ]
    events = [
        *speech.events(Sample())[:1],
        *speech.block(0, {"type": "thinking", "thinking": "", "signature": ""}, [signature]),
        *speech.block(1, blocks[1], []),
        *speech.block(2, blocks[2] | {"input": {}}, query),
        *speech.block(3, blocks[3], []),
        *speech.block(4, blocks[4] | {"n": 12345678901234567890123}, []),
        *speech.block(5, {"type": "text", "text": "", "citations": []}, cited),
        *speech.block(6, blocks[6], [{"type": "input_json_delta", "partial_json": ""}]),
        *speech.ending(Sample(calls=[Call("", "", [])]))[1:],
    ]
    response = await subject.answered_with(encode(body), events)
    *opaque, call = response.message.parts
    assert [part.provider_state.data for part in opaque] == [encode(block) for block in blocks[:-1]]
    assert [part.WhichOneof("kind") for part in opaque] == ["reasoning", "reasoning", None, None, None, "text"]
    assert [part.reasoning.redacted for part in opaque] == [True, True, False, False, False, False]
    assert call == models_pb2.ContentPart(tool_call=models_pb2.ToolCall(id="call-a", name="find", arguments_json="{}"))
    assert response.text == "Found."


@one_anthropic_like
async def test_half_a_character_in_an_opaque_block_is_replaced(subject: Subject) -> None:
    block = {"type": "a_new_block", "half \ud83d": ["\ud83d", 12345678901234567890123, True]}
    body = subject.speech.body(Sample()) | {"content": [block]}
    speech: AnthropicSpeech = subject.speech
    events = [*speech.events(Sample())[:1], *speech.block(0, block, []), *speech.ending(Sample())[1:]]
    response = await subject.answered_with(json.dumps(body).encode(), events)
    assert json.loads(response.message.parts[0].provider_state.data) == {
        "type": "a_new_block",
        "half \ufffd": ["\ufffd", 12345678901234567890123, True],
    }


@one_anthropic_like
async def test_blocks_that_all_have_index_0_stay_apart(subject: Subject) -> None:
    """Seen of servers that only imitate Messages."""
    speech: AnthropicSpeech = subject.speech
    text = [{"type": "text_delta", "text": "So"}]
    call = {"type": "tool_use", "id": "a", "name": "find", "input": {"n": 1}}
    sample = Sample(text=["So"], calls=[Call("a", "find", ['{"n":1}'])])
    events = [
        *speech.events(sample)[:1],
        *speech.block(0, {"type": "text", "text": ""}, text),
        *speech.block(0, call, []),
        *speech.ending(sample)[1:],
    ]
    await subject.answered_with(encode(speech.body(sample)), events)


# ------------------------------------------------------------------------------------------------------- refusals


LEAKY = {"X-Canary": CANARY, "Server": CANARY, "Set-Cookie": f"a={CANARY}", "WWW-Authenticate": f"Bearer {CANARY}"}


@every_adapter
@both_verbs
async def test_every_refusal_has_its_meaning(subject: Subject, verb: Verb) -> None:
    for name, refusal in REFUSALS.items():
        subject.upstream.play(answer(refusal.body, status=refusal.status, headers=LEAKY))
        error = await subject.refused(verb)
        assert (type(error), error.reason) == (refusal.error, refusal.reason), name
        is_callers = 400 <= refusal.status < 500 and refusal.status not in (401, 403, 429)
        says = error.metadata.pop("provider_message", "")
        assert (CANARY in says) == (is_callers and CANARY.encode() in refusal.body), name
        assert error.metadata == {
            "provider": subject.adapter.provider,
            "phase": "pre_stream",
            "http_status": str(refusal.status),
        }
        assert error.retry_after is None
        assert error.violations == ()


@every_reader
@both_verbs
async def test_redirect_is_not_followed(subject: Subject, verb: Verb) -> None:
    subject.upstream.play(answer(b"", status=307, headers={"Location": f"{subject.upstream.url}/{CANARY}"}))
    error = await subject.refused(verb)
    assert (type(error), error.reason) == (errors.PreconditionFailed, "UPSTREAM_REDIRECT")
    assert len(subject.upstream.requests) == 1


@every_reader
@both_verbs
async def test_field_that_the_provider_names_is_named(subject: Subject, verb: Verb) -> None:
    subject.upstream.play(answer(worded("invalid_request_error", param="messages[0].content"), status=400))
    error = await subject.refused(verb)
    assert [violation.field for violation in error.violations] == ["messages"]


def in_ten_minutes() -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=10)
    return email.utils.format_datetime(moment, usegmt=True)


WAITS: list[tuple[dict[str, str], float | None]] = [
    ({"Retry-After": "7"}, 7.0),
    ({"Retry-After": "0"}, 0.0),
    ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
    ({"Retry-After": "date"}, 600.0),
    ({"Retry-After": CANARY}, None),
    ({"Retry-After": "-3"}, None),
    ({"Retry-After": "Mon, 01 Jan 2024 00:00:00 +99999999999999999"}, None),
    ({}, None),
]


@every_reader
@both_verbs
async def test_how_long_to_wait_is_passed_on(subject: Subject, verb: Verb) -> None:
    for (told, seconds), status in itertools.product(WAITS, (429, 503, 529)):
        headers = {name: value.replace("date", in_ten_minutes()) for name, value in told.items()}
        subject.upstream.play(answer(b"", status=status, headers=headers))
        error = await subject.refused(verb)
        with row(told, status):
            assert error.retry_after == (pytest.approx(seconds, abs=5) if seconds else seconds)


@every_reader
@both_verbs
async def test_waiting_does_not_fill_a_quota(subject: Subject, verb: Verb) -> None:
    subject.upstream.play(answer(worded("insufficient_quota"), status=429, headers={"Retry-After": "7"}))
    assert (await subject.refused(verb)).retry_after is None


@every_reader
@both_verbs
async def test_providers_request_id_is_told_when_it_is_one(subject: Subject, verb: Verb) -> None:
    for name, value, told in (
        ("x-request-id", "req_abc-1", "req_abc-1"),
        ("request-id", "req_011", "req_011"),
        ("x-request-id", f"<{CANARY}>", None),
    ):
        subject.upstream.play(answer(b"", status=500, headers={name: value}))
        error = await subject.refused(verb)
        assert error.metadata.get("upstream_request_id") == told


# ----------------------------------------------------------------------------------- successes that are none

NOT_AN_ANSWER = {
    "HTML": (HTML, "text/html"),
    "HTML without its type": (HTML, ""),
    "nothing": (b"", "application/json"),
    "nothing of any type": (b"", ""),
    "half of JSON": (b'{"id": "x", "choices": [{"message"', "application/json"),
    "a list": (b"[]", "application/json"),
    "null": (b"null", "application/json"),
    "another object": (b'{"choices": [], "content": null}', "application/json"),
    "null choices": (b'{"choices": null}', "application/json"),
    "foreign types": (b'{"choices": [{"message": 1}], "content": [1]}', "application/json"),
    "not a number": (b'{"n": NaN}', "application/json"),
    "endless nesting": (b"[" * 100_000, "application/json"),
}


@every_reader
@both_verbs
async def test_200_that_is_no_answer(subject: Subject, verb: Verb) -> None:
    for case, (body, content_type) in NOT_AN_ANSWER.items():
        headers = {"Content-Type": content_type, **LEAKY} if content_type else LEAKY
        subject.upstream.play(answer(body, headers=headers))
        with row(case):
            error = await subject.refused(verb)
            untyped_stream = case == "HTML without its type" and asks_for_stream(subject.upstream.requests[-1])
            if untyped_stream:
                assert (type(error), error.reason) == (errors.Unavailable, "UPSTREAM_STREAM_TRUNCATED")
            else:
                assert (type(error), error.reason) == (errors.Internal, "UPSTREAM_PROTOCOL_ERROR")
            assert error.metadata["phase"] == "pre_stream"


TOLD_WITH_200: list[tuple[str, Any, str]] = [
    ("overloaded_error", None, "UPSTREAM_OVERLOADED"),
    ("rate_limit_error", None, "UPSTREAM_RATE_LIMITED"),
    ("invalid_request_error", None, "UPSTREAM_INVALID_REQUEST"),
    ("BadRequestError", 400, "UPSTREAM_INVALID_REQUEST"),
    ("InternalServerError", 500, "UPSTREAM_SERVER_ERROR"),
    ("a_new_word", "odd", "UPSTREAM_SERVER_ERROR"),
]


@every_reader
@both_verbs
async def test_error_with_status_200(subject: Subject, verb: Verb) -> None:
    """As the whole body, and as the first event of a stream: both mean the same."""
    told = {"request-id": "req_1"}
    for word, code, reason in TOLD_WITH_200:
        body = worded(word, code)
        whole = answer(body, headers=JSON | told)
        subject.upstream.default = serve(whole, event_stream(event(body.decode(), "error"), headers=told))
        error = await subject.refused(verb)
        with row(word, code):
            assert error.reason == reason
            says = error.metadata.pop("provider_message", "")
            assert says == (CANARY if reason == "UPSTREAM_INVALID_REQUEST" else "")
            assert error.metadata == {
                "provider": subject.adapter.provider,
                "phase": "pre_stream",
                "http_status": "200",
                "upstream_request_id": "req_1",
            }


@one_openai_like
@both_verbs
async def test_error_as_plain_text(subject: Subject, verb: Verb) -> None:
    body = json.dumps({"error": CANARY})
    subject.upstream.default = serve(answer(body.encode(), headers=JSON), event_stream(event(body)))
    assert (await subject.refused(verb)).reason == "UPSTREAM_SERVER_ERROR"


# -------------------------------------------------------------------------------------------- faults in mid-stream


def two_pieces(speech: Speech) -> list[str]:
    return [*speech.opening(), speech.piece("one "), speech.piece("two")]


async def fault_after_two_pieces(
    subject: Subject, timeouts: StreamTimeouts = STREAM_TIMEOUTS, opens: asyncio.Event | None = None
) -> errors.PlatformError:
    """The error that ends a stream after both pieces were delivered, which opens the gate, if there is one."""
    outcome = await subject.ask("chat_stream", timeouts, opens)
    assert outcome.error is not None
    assert "".join(chunk.token for chunk in outcome.chunks) == "one two"
    check_nothing_leaks(outcome.error)
    assert outcome.error.metadata["provider"] == subject.adapter.provider
    assert outcome.error.metadata["phase"] == "mid_stream"
    assert outcome.error.metadata["chunks"] == str(len(outcome.chunks))
    return outcome.error


@every_reader
async def test_error_event_in_mid_stream(subject: Subject) -> None:
    for word, reason in (("overloaded_error", "UPSTREAM_OVERLOADED"), ("a_new_word", "UPSTREAM_SERVER_ERROR")):
        failed = event(subject.speech.error(word, CANARY), "error")
        subject.upstream.play(event_stream(*two_pieces(subject.speech), failed, event("[DONE]"), headers=LEAKY))
        error = await fault_after_two_pieces(subject)
        assert (type(error), error.reason) == (errors.Unavailable, reason)
        assert error.metadata["http_status"] == "200"


@every_reader
async def test_error_event_in_the_same_read_as_what_came_before(subject: Subject) -> None:
    failed = event(subject.speech.error("overloaded_error", CANARY), "error")
    subject.upstream.play(event_stream("".join([*two_pieces(subject.speech), failed])))
    assert (await fault_after_two_pieces(subject)).reason == "UPSTREAM_OVERLOADED"


@one_openai_like
async def test_error_beside_a_finish_reason_is_no_end_of_an_answer(subject: Subject) -> None:
    """OpenRouter's shape: https://openrouter.ai/docs/api-reference/errors"""
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    failed = event({"id": ANSWER_ID, "choices": [choice], "error": {"code": 502, "message": CANARY}})
    subject.upstream.play(event_stream(*two_pieces(subject.speech), failed, event("[DONE]")))
    assert (await fault_after_two_pieces(subject)).reason == "UPSTREAM_SERVER_ERROR"


BAD_ENDS: dict[str, tuple[list[Step], type[errors.PlatformError], str]] = {
    "no end": ([], errors.Unavailable, "UPSTREAM_STREAM_TRUNCATED"),
    "half an event": (['data: {"half": "an ev'], errors.Unavailable, "UPSTREAM_STREAM_TRUNCATED"),
    "half of JSON": (['data: {"half": "JSON\n\n'], errors.Internal, "UPSTREAM_PROTOCOL_ERROR"),
    "no UTF-8": (["data: \xff\n\n".encode("latin-1")], errors.Internal, "UPSTREAM_PROTOCOL_ERROR"),
    "no object": (["data: [1]\n\n"], errors.Internal, "UPSTREAM_PROTOCOL_ERROR"),
    "an event without end": (["data: " + "x" * 100_000], errors.Internal, "UPSTREAM_PROTOCOL_ERROR"),
    "HTML": ([HTML], errors.Unavailable, "UPSTREAM_STREAM_TRUNCATED"),
}


@every_reader
async def test_stream_that_does_not_end_as_it_should(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100_000)
    for case, (rest, error_type, reason) in BAD_ENDS.items():
        subject.upstream.play(event_stream(*two_pieces(subject.speech), *rest))
        error = await fault_after_two_pieces(subject)
        with row(case):
            assert (type(error), error.reason) == (error_type, reason)


@every_reader
@pytest.mark.parametrize("ending", [Ending.RESET, Ending.CUT])
async def test_connection_breaks_in_mid_stream(subject: Subject, ending: Ending) -> None:
    gate = asyncio.Event()
    subject.upstream.play(event_stream(*two_pieces(subject.speech), gate, ending=ending))
    error = await fault_after_two_pieces(subject, opens=gate)
    assert (type(error), error.reason) == (errors.Unavailable, "UPSTREAM_STREAM_INTERRUPTED")


@every_reader
async def test_stream_that_breaks_off_tells_what_it_has_used(subject: Subject) -> None:
    """By estimate, as nobody has counted; what a provider told of the prompt at the beginning is kept."""
    subject.upstream.play(event_stream(*two_pieces(subject.speech), ending=Ending.CUT))
    target = dataclasses.replace(subject.target, price=lambda usage: usage.prompt_tokens * 10 + usage.completion_tokens)
    told: list[models_pb2.TokenUsage] = []
    with pytest.raises(errors.Unavailable) as raised:
        async for _ in chat_stream(subject.transport, target, talk(), interrupted=told.append):
            pass
    prompt, completion = told[0].prompt_tokens, told[0].completion_tokens
    assert prompt == (USAGE.prompt if subject.speech.counts_prompt_first else 7)
    assert completion == 2
    assert told == [
        models_pb2.TokenUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            cost_nano_usd=prompt * 10 + completion,
            estimated=True,
        )
    ]
    assert raised.value.metadata.items() >= {
        ("prompt_tokens", str(prompt)),
        ("completion_tokens", str(completion)),
        ("usage_estimated", "true"),
        ("cost_nano_usd", str(prompt * 10 + completion)),
    }


@every_reader
@pytest.mark.parametrize("ending", [Ending.RESET, Ending.CUT])
async def test_connection_breaks_in_the_body_of_a_whole_answer(subject: Subject, ending: Ending) -> None:
    whole = answer(encode(subject.speech.body(HELLO)), headers=JSON, ending=ending)
    subject.upstream.default = serve(whole, event_stream(*two_pieces(subject.speech), ending=ending))
    outcome = await subject.ask("chat")
    assert isinstance(outcome.error, errors.Unavailable)
    assert outcome.error.reason == "UPSTREAM_STREAM_INTERRUPTED"


@every_adapter
@both_verbs
async def test_server_that_closes_without_an_answer(subject: Subject, verb: Verb) -> None:
    subject.upstream.play(no_answer(Ending.CUT))
    error = await subject.refused(verb)
    assert (type(error), error.reason) == (errors.Unavailable, "UPSTREAM_UNREACHABLE")
    assert len(subject.upstream.requests) == 1


@every_reader
@both_verbs
async def test_server_that_never_answers(hasty: Subject, verb: Verb) -> None:
    hasty.upstream.play(no_answer())
    error = await hasty.refused(verb)
    assert (type(error), error.reason) == (errors.Unavailable, "UPSTREAM_TIMEOUT")
    connection = await hasty.upstream.connected(1)
    await connection.closed_by_peer(SECONDS_TO_CLOSE)


@every_reader
async def test_server_that_falls_silent(restless: Subject) -> None:
    restless.upstream.play(event_stream(*two_pieces(restless.speech), ending=Ending.STALL))
    error = await fault_after_two_pieces(restless)
    assert (type(error), error.reason) == (errors.Unavailable, "UPSTREAM_IDLE")
    await restless.upstream.requests[0].closed_by_peer(SECONDS_TO_CLOSE)


@every_reader
async def test_pings_are_no_content(subject: Subject) -> None:
    pings = [step for _ in range(500) for step in (Pause(0.01), subject.speech.ping)]
    subject.upstream.play(event_stream(*two_pieces(subject.speech), *pings, ending=Ending.STALL))
    error = await fault_after_two_pieces(subject, StreamTimeouts(content=0.1))
    assert (type(error), error.reason) == (errors.Unavailable, "UPSTREAM_IDLE")
    await subject.upstream.requests[0].closed_by_peer(SECONDS_TO_CLOSE)


@every_reader
async def test_pings_before_the_first_piece(subject: Subject) -> None:
    pings = [step for _ in range(500) for step in (Pause(0.01), subject.speech.ping)]
    subject.upstream.play(event_stream(*pings, ending=Ending.STALL))
    error = await subject.refused("chat_stream", StreamTimeouts(content=0.1))
    assert (error.reason, error.metadata["phase"]) == ("UPSTREAM_IDLE", "pre_stream")


@every_reader
async def test_answer_without_end_is_cut(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_STREAM_BYTES", 10_000)
    subject.upstream.play(event_stream(*subject.speech.opening(), *[subject.speech.piece("more ")] * 1_000))
    outcome = await subject.ask("chat_stream")
    assert isinstance(outcome.error, errors.LimitExceeded)
    assert outcome.error.reason == "OUTPUT_LIMIT"
    assert outcome.error.metadata["phase"] == "mid_stream"
    await subject.upstream.requests[0].closed_by_peer(SECONDS_TO_CLOSE)


@every_anthropic_like
async def test_chat_that_streams_fails_as_the_stream_does(subject: Subject) -> None:
    """Above Anthropic's limit for answers that are waited for."""
    failed = event(subject.speech.error("overloaded_error", CANARY), "error")
    subject.upstream.play(event_stream(*two_pieces(subject.speech), failed))
    outcome = await subject.ask("chat", config=models_pb2.ChatConfig(max_tokens=30_000))
    assert outcome.error is not None
    assert asks_for_stream(subject.upstream.requests[0])
    assert (outcome.error.reason, outcome.error.metadata["phase"]) == ("UPSTREAM_OVERLOADED", "mid_stream")


@pytest.mark.parametrize(
    "adapter", [adapter for adapter in ADAPTERS if adapter.provider == "openai"], ids=lambda adapter: adapter.name
)
async def test_long_answers_of_openai_are_waited_for(subject: Subject) -> None:
    """OpenAI refuses streams of some models to organizations that it has not verified."""
    subject.upstream.default = answer(encode(subject.speech.body(HELLO)), headers=JSON)
    assert (await subject.ask("chat", config=models_pb2.ChatConfig(max_tokens=100_000))).error is None
    assert not asks_for_stream(subject.upstream.requests[0])


@every_adapter
@both_verbs
async def test_model_that_does_not_stream_is_asked_for_whole_answers_alone(subject: Subject, verb: Verb) -> None:
    subject.upstream.default = answer(encode(subject.speech.body(HELLO)), headers=JSON)
    subject.target = dataclasses.replace(subject.target, can_stream=False, streams_unary=False)
    outcome = await subject.ask(verb)
    assert outcome.response is not None
    assert outcome.response.text == "Hello wörld \U0001f600"
    assert not asks_for_stream(subject.upstream.requests[0])


@one_anthropic_like
async def test_what_the_cache_gave_is_told_of_a_stream_that_breaks_off(subject: Subject) -> None:
    usage = {"input_tokens": 7, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 3, "output_tokens": 1}
    start = {"type": "message_start", "message": {"id": ANSWER_ID, "model": MODEL, "usage": usage}}
    subject.upstream.play(event_stream(event(start, "message_start"), subject.speech.ping, ending=Ending.CUT))
    told: list[models_pb2.TokenUsage] = []
    with pytest.raises(errors.Unavailable):
        async for _ in chat_stream(subject.transport, subject.target, talk(), interrupted=told.append):
            pass
    assert (told[0].prompt_tokens, told[0].cached_prompt_tokens, told[0].cache_write_tokens) == (100, 90, 3)
    assert (told[0].completion_tokens, told[0].estimated) == (0, True)


# -------------------------------------------------------------------------------------------- callers that leave


class Stage(NamedTuple):
    """Where in a call its caller leaves."""

    whole: Callable[[Speech], Script]
    stream: Callable[[Speech], Script]
    pieces: int
    """How much of the body the server has sent by then."""


STAGES = {
    "before the head": Stage(lambda speech: no_answer(), lambda speech: no_answer(), 0),
    "before the first piece": Stage(
        lambda speech: answer(encode(speech.body(HELLO)), headers=JSON, ending=Ending.STALL),
        lambda speech: event_stream(*speech.opening(), ending=Ending.STALL),
        1,
    ),
    "in mid-answer": Stage(
        lambda speech: answer(encode(speech.body(HELLO)), headers=JSON, ending=Ending.STALL),
        lambda speech: event_stream(*two_pieces(speech), ending=Ending.STALL),
        3,
    ),
}


async def reached(request: Received, pieces: int) -> None:
    """Returns when the server has sent so much of its answer, if it has so much."""
    async with asyncio.timeout(5):
        while request.generated < pieces and asks_for_stream(request):  # noqa: ASYNC110 - the server only counts
            await asyncio.sleep(0.001)


@every_reader
@both_verbs
@pytest.mark.parametrize("stage", STAGES)
async def test_cancelled_call_closes_its_connection(subject: Subject, verb: Verb, stage: str) -> None:
    subject.upstream.default = serve(STAGES[stage].whole(subject.speech), STAGES[stage].stream(subject.speech))
    call = asyncio.create_task(subject.ask(verb))
    request = await subject.upstream.received(1)
    await reached(request, STAGES[stage].pieces)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await request.closed_by_peer(SECONDS_TO_CLOSE)
    await subject.answered(HELLO)


@every_reader
@both_verbs
@pytest.mark.parametrize("stage", STAGES)
async def test_deadline_closes_the_connection(subject: Subject, verb: Verb, stage: str) -> None:
    subject.upstream.default = serve(STAGES[stage].whole(subject.speech), STAGES[stage].stream(subject.speech))
    deadline = asyncio.timeout(None)

    async def bounded() -> None:
        async with deadline:
            await subject.ask(verb)

    call = asyncio.create_task(bounded())
    request = await subject.upstream.received(1)
    await reached(request, STAGES[stage].pieces)
    deadline.reschedule(asyncio.get_running_loop().time())
    with pytest.raises(TimeoutError):
        await call
    await request.closed_by_peer(SECONDS_TO_CLOSE)


@every_adapter
async def test_stream_that_is_left_closes_its_connection(subject: Subject) -> None:
    subject.upstream.play(event_stream(*two_pieces(subject.speech), ending=Ending.STALL))
    async with contextlib.aclosing(chat_stream(subject.transport, subject.target, talk())) as chunks:
        async for _ in chunks:
            break
    await subject.upstream.requests[0].closed_by_peer(SECONDS_TO_CLOSE)


STREAMING = [
    (adapter, verb)
    for adapter in ADAPTERS
    for verb in ("chat", "chat_stream")
    if verb == "chat_stream" or adapter.target("http://localhost").streams_unary
]


@pytest.mark.parametrize(("adapter", "verb"), STREAMING, ids=[f"{adapter.name}-{verb}" for adapter, verb in STREAMING])
async def test_server_that_looks_at_its_socket_only_when_it_writes_stops_generating(
    subject: Subject, verb: Verb
) -> None:
    """For servers that would not notice otherwise, Chat too is asked for as a stream."""
    steps = [step for _ in range(500) for step in (Generate(1, 0.005), subject.speech.piece("more "))]
    subject.upstream.play(event_stream(*subject.speech.opening(), *steps))
    call = asyncio.create_task(subject.ask(verb))
    request = await subject.upstream.received(1)
    await reached(request, 5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(request.finished.wait(), SECONDS_TO_CLOSE)
    assert request.generated < 500


# ---------------------------------------------------------------------------------------------------- what is sent


@every_adapter
async def test_paths_and_headers(subject: Subject) -> None:
    await subject.answered(HELLO)
    whole, stream = subject.upstream.requests
    streams_unary = subject.target.streams_unary
    assert (whole.method, whole.path) == ("POST", subject.adapter.path(stream=streams_unary))
    assert (stream.method, stream.path) == ("POST", subject.adapter.path(stream=True))
    assert asks_for_stream(stream)
    assert asks_for_stream(whole) is streams_unary
    assert whole.headers["content-type"] == "application/json"


@every_adapter
async def test_what_routing_and_translation_warn_of_is_told(subject: Subject) -> None:
    retired = models_pb2.Notice(code="MODEL_RETIRED", field="model", message="replaced")
    subject.target = dataclasses.replace(subject.target, warnings=[retired])
    thought = models_pb2.ContentPart(reasoning=models_pb2.Reasoning(text="Hm."))
    earlier = models_pb2.ChatMessage(role="assistant", parts=[thought, models_pb2.ContentPart(text="Hi.")])
    subject.upstream.default = serve(
        answer(encode(subject.speech.body(HELLO)), headers=JSON), event_stream(*subject.speech.events(HELLO))
    )
    for verb in ("chat", "chat_stream"):
        outcome = await subject.ask(verb, messages=[earlier, *talk().messages])
        assert outcome.response is not None
        assert [warning.code for warning in outcome.response.warnings] == ["MODEL_RETIRED", "REASONING_DROPPED"]


@every_adapter
@both_verbs
async def test_what_cannot_be_said_is_refused_before_anything_is_sent(subject: Subject, verb: Verb) -> None:
    facts = dataclasses.replace(subject.target.facts, unsupported=frozenset({"seed"}))
    subject.target = dataclasses.replace(subject.target, facts=facts)
    strict = models_pb2.PARAMETER_POLICY_STRICT
    outcome = await subject.ask(verb, config=models_pb2.ChatConfig(seed=1), parameter_policy=strict)
    assert isinstance(outcome.error, errors.InvalidRequest)
    assert outcome.error.reason == "PARAMETER_UNSUPPORTED"
    assert subject.upstream.connections == []


@every_adapter
async def test_large_request_is_encoded_as_a_small_one_is(subject: Subject) -> None:
    """It is done beside the event loop, and what is refused there is refused just so."""
    text = "wörld " * (LARGE_BYTES // 6)
    subject.upstream.default = serve(
        answer(encode(subject.speech.body(HELLO)), headers=JSON), event_stream(*subject.speech.events(HELLO))
    )
    for verb in get_args(Verb):
        outcome = await subject.ask(verb, messages=[models_pb2.ChatMessage(role="user", content=text)])
        assert outcome.error is None
        assert text in json.dumps(subject.upstream.requests[-1].json(), ensure_ascii=False)


@every_reader
@both_verbs
async def test_call_of_a_tool_without_a_name_is_no_answer(subject: Subject, verb: Verb) -> None:
    """It could not go back with the next turn, and would be the end of a session that it is stored in."""
    sample = Sample(text=["Let me see."], calls=[Call("call-a", "", ['{"n": 1}'])])
    whole = answer(encode(subject.speech.body(sample)), headers=JSON)
    subject.upstream.default = serve(whole, event_stream(*subject.speech.events(sample)))
    error = (await subject.ask(verb)).error
    assert error is not None
    assert error.reason == "UPSTREAM_PROTOCOL_ERROR"


@every_adapter
async def test_answer_goes_back_untouched(subject: Subject) -> None:
    """The message of an answer is the next turn: nothing is added, nothing is lost, nobody warns."""
    calls = [Call("call-a", "find", ['{ "n": 12345678901234567890 }'])]
    response = await subject.answered(Sample(text=["Let me see."], calls=calls))
    messages = [*talk().messages, response.message]
    messages.append(models_pb2.ChatMessage(role="tool", tool_call_id="call-a", content="found"))
    request = models_pb2.ChatRequest(model="any", messages=messages)
    await chat(subject.transport, subject.target, Conversation(request, request.messages))
    sent = subject.upstream.requests[-1]
    assert b'"call-a"' in sent.body
    assert b"12345678901234567890 }" in sent.body
    assert b"Let me see." in sent.body


def test_every_adapter_type_is_under_this_contract() -> None:
    from services.models.catalog.vendors import ADAPTER_TYPES

    under_contract = {adapter.target("http://localhost").dialect for adapter in ADAPTERS}
    assert under_contract >= {adapter.dialect for adapter in ADAPTER_TYPES.values()}
