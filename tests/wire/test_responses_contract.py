"""What answers in Responses are made of, over real bytes and by both verbs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from proto import models_pb2
from services.models.providers.base import Conversation
from services.models.providers.chat import chat
from tests.scripted_upstream import answer, event, event_stream
from tests.wire.adapters import CANARY, JSON, Subject, Verb, both_verbs, every_responses_like, serve, talk
from tests.wire.dialects import HELLO, MODEL, Call, Sample, encode
from tests.wire.speeches.responses import ENCRYPTED, ResponsesSpeech, written


def states(response: models_pb2.ChatResponse) -> list[bytes]:
    """What is kept of each part for the provider."""
    return [part.provider_state.data for part in response.message.parts]


async def answered_with_items(subject: Subject, items: list[dict[str, Any]]) -> models_pb2.ChatResponse:
    """The response to these items, which the stream sends whole."""
    speech: ResponsesSpeech = subject.speech
    events = [speech.item_event("done", index, item) for index, item in enumerate(items)]
    body = encode(speech.response(items))
    return await subject.answered_with(body, [*speech.events(Sample())[:2], *events, *speech.ended(items, Sample())])


@every_responses_like
async def test_encrypted_reasoning_is_kept_in_place_and_byte_for_byte(subject: Subject) -> None:
    """The item of `done` is what goes back: the one of `added` holds half of the encrypted content."""
    response = await subject.answered(Sample(reasoning=["Hm ", "\U0001f914"], text=["Yes"]))
    thought = response.message.parts[0]
    assert thought.reasoning == models_pb2.Reasoning(text="Hm \U0001f914")
    assert thought.provider_state.data.decode() == written(subject.speech.reasoning(["Hm \U0001f914"]))
    assert ENCRYPTED.encode() in thought.provider_state.data
    assert (thought.provider_state.provider, thought.provider_state.model) == ("openai", MODEL)


@every_responses_like
async def test_items_keep_the_providers_spelling(subject: Subject) -> None:
    """Spaces, escapes and numbers beyond a double are not ours to change in what is signed."""
    item = '{ "type":"reasoning", "id" : "rs_1","summary":[],"n":12345678901234567890123, "x":1.50,"e":"\\u00fc\\/" }'
    whole = written(subject.speech.response([])).replace('"output":[]', f'"output":[{item}]')
    done = event(f'{{"type":"response.output_item.done","output_index":0,"item":{item}}}')
    ended = event(f'{{"type":"response.completed","response":{whole}}}')
    response = await subject.answered_with(whole.encode(), [*subject.speech.opening()[:2], done, ended])
    assert states(response) == [item.encode()]


@every_responses_like
async def test_reasoning_that_shows_nothing_is_redacted(subject: Subject) -> None:
    response = await answered_with_items(subject, [subject.speech.reasoning([]), subject.speech.message("Yes")])
    assert response.message.parts[0].reasoning == models_pb2.Reasoning(redacted=True)
    assert response.text == "Yes"


@every_responses_like
async def test_texts_of_a_summary_are_paragraphs(subject: Subject) -> None:
    speech: ResponsesSpeech = subject.speech
    item = speech.reasoning(["One.", "Two."])
    place = {"item_id": "rs_1", "output_index": 0}
    kind = "response.reasoning_summary_text.delta"
    events = [
        *speech.events(Sample())[:2],
        speech.named(kind, **place, summary_index=0, delta="On"),
        speech.named(kind, **place, summary_index=0, delta="e."),
        speech.named(kind, **place, summary_index=1, delta="Two."),
        speech.item_event("done", 0, item),
        *speech.ended([item], Sample()),
    ]
    response = await subject.answered_with(encode(speech.response([item])), events)
    assert response.message.parts[0].reasoning.text == "One.\n\nTwo."


@every_responses_like
async def test_reasoning_in_the_open_is_reasoning(subject: Subject) -> None:
    """As models with open weights show it."""
    speech: ResponsesSpeech = subject.speech
    item = speech.reasoning([]) | {"content": [{"type": "reasoning_text", "text": "Hm."}]}
    place = {"item_id": "rs_1", "output_index": 0, "content_index": 0}
    pieces = [speech.named("response.reasoning_text.delta", **place, delta=piece) for piece in ("H", "m.")]
    events = [*speech.events(Sample())[:2], *pieces, speech.item_event("done", 0, item)]
    body = encode(speech.response([item]))
    response = await subject.answered_with(body, [*events, *speech.ended([item], Sample())])
    assert response.message.parts[0].reasoning.text == "Hm."


@every_responses_like
async def test_items_after_reasoning_are_kept_whole(subject: Subject) -> None:
    """The items of a turn are tied by their ids: reasoning comes back with those that followed it, or not at all."""
    sample = Sample(reasoning=["Hm."], text=["Let me see."], calls=[Call("call-a", "find", ["{}"])])
    response = await subject.answered(sample)
    assert [data.decode() for data in states(response)] == [written(item) for item in subject.speech.items(sample)]
    assert [part.WhichOneof("kind") for part in response.message.parts] == ["reasoning", "text", "tool_call"]
    assert response.text == "Let me see."


@every_responses_like
async def test_refusal_is_a_part_and_a_finish_reason_in_responses(subject: Subject) -> None:
    speech: ResponsesSpeech = subject.speech
    item = speech.message("") | {"content": [{"type": "refusal", "refusal": "I would rather not."}]}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    pieces = [speech.named("response.refusal.delta", **place, delta=piece) for piece in ("I would ", "rather not.")]
    events = [*speech.opening(), *pieces, speech.item_event("done", 0, item), *speech.ended([item], Sample())]
    response = await subject.answered_with(encode(speech.response([item])), events)
    assert response.message == models_pb2.ChatMessage(
        role="assistant", parts=[models_pb2.ContentPart(refusal="I would rather not.")]
    )
    assert (response.text, response.finish_reason, response.raw_finish_reason) == ("", "refusal", "completed")


@every_responses_like
async def test_sources_of_a_text_are_its_citations(subject: Subject) -> None:
    annotation = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 5}
    part = {"type": "output_text", "text": "Found.", "annotations": [annotation]}
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search"}}
    items = [search, subject.speech.message("") | {"content": [part]}]
    response = await answered_with_items(subject, items)
    searched, found = response.message.parts
    assert searched.WhichOneof("kind") is None
    assert (found.text, found.citations_json) == ("Found.", written([annotation]))
    assert states(response) == [encode(item) for item in items]


@every_responses_like
async def test_message_with_sources_for_one_of_its_texts_is_kept_whole(subject: Subject) -> None:
    annotation = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 5}
    parts = [{"type": "output_text", "text": "Found.", "annotations": sources} for sources in ([], [annotation])]
    item = subject.speech.message("") | {"content": parts}
    assert states(await answered_with_items(subject, [item])) == [encode(item)] * 2


@every_responses_like
async def test_image_is_kept_and_it_is_told_where(subject: Subject) -> None:
    item = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "iVBORw0KGgo="}
    response = await answered_with_items(subject, [item])
    assert states(response) == [encode(item)]
    assert [warning.code for warning in response.warnings] == ["IMAGES_IN_STATE"]


@every_responses_like
async def test_phase_of_a_message_is_kept(subject: Subject) -> None:
    """It is to be sent back, says the vendor, or the model answers worse."""
    items = [
        subject.speech.message("Looking.", phase="commentary"),
        subject.speech.message("Found.", id="msg_2", phase="final_answer"),
    ]
    response = await answered_with_items(subject, items)
    assert states(response) == [encode(item) for item in items]
    assert response.text == "Looking.Found."


@every_responses_like
@both_verbs
async def test_compaction_goes_back_in_place_and_byte_for_byte(subject: Subject, verb: Verb) -> None:
    """With all that came behind it, which rests on it."""
    item = '{ "id":"cmp_1", "type":"compaction","encrypted_content":"gAA\\u0041" }'
    said = written(subject.speech.message("Go on."))
    whole = written(subject.speech.response([])).replace('"output":[]', f'"output":[{item},{said}]')
    items = [
        event(f'{{"type":"response.output_item.done","output_index":{index},"item":{text}}}')
        for index, text in enumerate((item, said))
    ]
    ended = event(f'{{"type":"response.completed","response":{whole}}}')
    response = await subject.answered_with(whole.encode(), [*subject.speech.opening()[:2], *items, ended])
    assert states(response) == [item.encode(), said.encode()]
    await subject.ask(verb, messages=[*talk().messages, response.message, *talk().messages])
    assert f",{item},{said},".encode() in subject.upstream.requests[-1].body


@every_responses_like
async def test_what_a_call_says_beside_its_arguments_is_kept(subject: Subject) -> None:
    item = subject.speech.call(Call("call-a", "find", []), namespace="files")
    response = await answered_with_items(subject, [item])
    assert states(response) == [encode(item)]
    assert list(response.tool_calls) == [models_pb2.ToolCall(id="call-a", name="find", arguments_json="{}")]


@every_responses_like
async def test_call_of_a_custom_tool_is_a_call_and_is_answered_as_one(subject: Subject) -> None:
    """Its input is free text, and OpenAI wants it answered by an item of its own type."""
    speech: ResponsesSpeech = subject.speech
    pieces = ['SELECT "a"\n', "FROM b"]
    item = speech.custom_call(Call("call-a", "query", pieces))
    opening = speech.events(Sample())[:2]
    events = [*opening, *speech.call_events(0, item, pieces), *speech.ended([item], Sample())]
    response = await subject.answered_with(encode(speech.response([item])), events)
    call = models_pb2.ToolCall(id="call-a", name="query", arguments_json='SELECT "a"\nFROM b')
    assert list(response.tool_calls) == [call]
    assert response.finish_reason == "tool_calls"
    assert states(response) == [encode(item)]

    result = models_pb2.ChatMessage(role="tool", tool_call_id="call-a", content="3 rows")
    request = models_pb2.ChatRequest(model="any", messages=[*talk().messages, response.message, result])
    again = await chat(subject.transport, subject.target, Conversation(request, request.messages))
    assert list(again.warnings) == []
    assert subject.upstream.requests[-1].json()["input"][1:] == [
        item,
        {"type": "custom_tool_call_output", "call_id": "call-a", "output": "3 rows"},
    ]


@every_responses_like
@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("model_mismatch", ["REASONING_DROPPED"]),
        ("prefix_mismatch", ["REASONING_DROPPED"]),
        ("turn_boundary", []),
        ("a_new_word", []),
    ],
)
async def test_reasoning_that_the_model_was_not_shown_is_told(subject: Subject, reason: str, told: list[str]) -> None:
    """But for that of earlier turns, which no model is shown by default."""
    speech: ResponsesSpeech = subject.speech
    change = {"id": "rs_1", "type": "reasoning", "action": "removed", "reason": reason}
    body = speech.body(HELLO) | {"input_transformations": [change, None, change]}
    events = [*speech.events(Sample())[:2], speech.named("response.completed", response=body)]
    response = await subject.answered_with(encode(body), events)
    assert [(warning.code, warning.field) for warning in response.warnings] == [(code, "messages") for code in told]


@every_responses_like
@pytest.mark.parametrize(
    ("tier", "has_cost"),
    [
        ("default", True),
        ("auto", True),
        (None, True),
        ("a_new_word", True),
        ("flex", False),
        ("scale", False),
        ("priority", False),
        ("fast", False),
        ("ultrafast", False),
    ],
)
async def test_cost_is_told_at_standard_rates_only(subject: Subject, tier: str | None, has_cost: bool) -> None:
    """The tier that counts is that of the end: the first events repeat what was asked for."""
    speech: ResponsesSpeech = subject.speech
    body = speech.body(HELLO) | {"service_tier": tier}
    opening = [text.replace('"tools":[]', '"tools":[],"service_tier":"flex"') for text in speech.opening()[:2]]
    events = [*opening, speech.named("response.completed", response=body)]
    subject.target = dataclasses.replace(subject.target, price=lambda usage: usage.total_tokens)
    response = await subject.answered_with(encode(body), events)
    assert response.usage.HasField("cost_nano_usd") is has_cost


@every_responses_like
async def test_items_that_only_the_terminal_event_tells(subject: Subject) -> None:
    sample = Sample(reasoning=["Hm."], text=["So"], calls=[Call("call-a", "find", ["{}"])])
    speech: ResponsesSpeech = subject.speech
    events = [*speech.events(Sample())[:2], *speech.ended(speech.items(sample), sample)]
    await subject.answered_with(encode(speech.body(sample)), events)


@every_responses_like
async def test_rest_of_a_text_that_the_pieces_did_not_tell(subject: Subject) -> None:
    sample = Sample(text=["Hello ", "there"])
    events = [text for text in subject.speech.events(sample) if '"delta":"there"' not in text]
    await subject.answered_with(encode(subject.speech.body(sample)), events)


@every_responses_like
@both_verbs
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": "server_error", "message": CANARY}, "UPSTREAM_SERVER_ERROR"),
        ({"code": "rate_limit_exceeded", "message": CANARY}, "UPSTREAM_RATE_LIMITED"),
        ({"code": "invalid_prompt", "message": CANARY}, "CONTENT_REJECTED"),
        ({"code": "bio_policy", "message": CANARY}, "CONTENT_REJECTED"),
        ({"code": "image_too_large", "message": CANARY}, "UPSTREAM_INVALID_REQUEST"),
        ({"code": "insufficient_quota", "message": CANARY}, "UPSTREAM_QUOTA_EXHAUSTED"),
        (None, "UPSTREAM_SERVER_ERROR"),
    ],
)
async def test_response_that_failed(subject: Subject, verb: Verb, error: Any, reason: str) -> None:
    """With status 200, and what it had written so far."""
    speech: ResponsesSpeech = subject.speech
    failed = speech.body(HELLO) | {"status": "failed", "error": error}
    events = [*speech.events(Sample())[:2], speech.named("response.failed", response=failed)]
    subject.upstream.default = serve(answer(encode(failed), headers=JSON), event_stream(*events))
    assert (await subject.refused(verb)).reason == reason


@every_responses_like
@pytest.mark.parametrize(
    ("status", "reason"), [("cancelled", "UPSTREAM_SERVER_ERROR"), ("queued", "UPSTREAM_PROTOCOL_ERROR")]
)
async def test_response_that_did_not_end_is_no_answer(subject: Subject, status: str, reason: str) -> None:
    body = subject.speech.body(HELLO) | {"status": status}
    subject.upstream.play(answer(encode(body), headers=JSON))
    assert (await subject.refused("chat")).reason == reason


@every_responses_like
async def test_reasoning_goes_back_in_place_between_the_turns(subject: Subject) -> None:
    sample = Sample(reasoning=["Hm."], calls=[Call("call-a", "find", ['{"n":1}'])])
    response = await subject.answered(sample)
    result = models_pb2.ChatMessage(role="tool", tool_call_id="call-a", content="found")
    request = models_pb2.ChatRequest(model="any", messages=[*talk().messages, response.message, result])
    again = await chat(subject.transport, subject.target, Conversation(request, request.messages))
    assert [warning.code for warning in again.warnings] == []
    thought, call = subject.speech.items(sample)
    output = {"type": "function_call_output", "call_id": "call-a", "output": "found"}
    assert subject.upstream.requests[-1].json()["input"] == [
        {"role": "user", "content": "Hello there"},
        thought,
        call,
        output,
    ]


@every_responses_like
async def test_conversation_goes_on_behind_an_answer_that_was_cut_short_within_its_reasoning(subject: Subject) -> None:
    """OpenAI would refuse its reasoning, as no item follows it, on every later turn."""
    speech: ResponsesSpeech = subject.speech
    cut_short = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    thought = speech.reasoning([])
    body = speech.response([thought]) | cut_short
    events = [
        *speech.events(Sample())[:2],
        speech.item_event("done", 0, thought),
        speech.named("response.incomplete", response=body),
    ]
    response = await subject.answered_with(encode(body), events)
    assert (response.finish_reason, len(response.message.parts)) == ("length", 1)

    subject.upstream.play(answer(encode(speech.body(HELLO)), headers=JSON))
    request = models_pb2.ChatRequest(model="any", messages=[*talk().messages, response.message, *talk().messages])
    again = await chat(subject.transport, subject.target, Conversation(request, request.messages))
    assert [item["role"] for item in subject.upstream.requests[-1].json()["input"]] == ["user", "user"]
    assert [(notice.code, notice.field) for notice in again.warnings] == [("REASONING_DROPPED", "messages[1].parts[0]")]


@every_responses_like
@both_verbs
async def test_nesting_that_can_only_just_be_read_is_no_error_of_ours(subject: Subject, verb: Verb) -> None:
    """Between what is shallow enough to be kept and what is too deep to be read lies what can be read, not written."""
    for depth in range(850, 1000, 2):
        annotations = f'[{{"n":{"[" * depth}{"]" * depth}}}]'
        item = f'{{"type":"message","content":[{{"type":"output_text","text":"Yes","annotations":{annotations}}}]}}'
        body = written(subject.speech.response([])).replace('"output":[]', f'"output":[{item}]')
        done = event(f'{{"type":"response.output_item.done","output_index":0,"item":{item}}}')
        ended = event(f'{{"type":"response.completed","response":{body}}}')
        subject.upstream.default = serve(
            answer(body.encode(), headers=JSON), event_stream(*subject.speech.opening()[:2], done, ended)
        )
        outcome = await subject.ask(verb)
        assert outcome.error is None or outcome.error.reason == "UPSTREAM_PROTOCOL_ERROR"
