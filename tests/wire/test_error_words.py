"""What providers say of an error, on the wire of every dialect: with each status, within a success, and in streams."""

from __future__ import annotations

import json

import pytest

from services.shared import errors
from tests.scripted_upstream import answer, event, event_stream
from tests.wire.adapters import JSON, Subject, Verb, both_verbs, every_reader, one_openai_like, serve
from tests.wire.dialects import Sample, encode
from tests.wire.refusals import worded

TOO_LONG = {
    "Anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}},
    "Gemini": [
        {
            "error": {
                "code": 400,
                "message": "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            }
        }
    ],
    "FastAPI": {"detail": "The input (9 tokens) is longer than the model's context length (8 tokens)."},
    "Ollama": {"error": "prompt too long; exceeded max context length by 1 tokens"},
}


@every_reader
@both_verbs
async def test_context_that_is_too_long_is_named_in_every_servers_words(subject: Subject, verb: Verb) -> None:
    for server, told in TOO_LONG.items():
        for status in (400, 413, 422, 500):
            subject.upstream.play(answer(json.dumps(told).encode(), status=status))
            error = (await subject.ask(verb)).error
            assert error is not None
            assert error.reason == "CONTEXT_LENGTH_EXCEEDED", (server, status)


@every_reader
@both_verbs
async def test_it_is_named_behind_a_success_too(subject: Subject, verb: Verb) -> None:
    body = worded("invalid_request_error", message="Input is too long for requested model.")
    subject.upstream.default = serve(answer(body, headers=JSON), event_stream(event(body.decode(), "error")))
    error = (await subject.ask(verb)).error
    assert error is not None
    assert error.reason == "CONTEXT_LENGTH_EXCEEDED"


@every_reader
async def test_it_is_named_in_mid_stream(subject: Subject) -> None:
    told = subject.speech.error("server_error", "context window exceeds limit (2013)")
    pieces = [*subject.speech.opening(), subject.speech.piece("one ")]
    subject.upstream.play(event_stream(*pieces, event(json.dumps(told), "error")))
    outcome = await subject.ask("chat_stream")
    assert outcome.error is not None
    assert outcome.error.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert [chunk.token for chunk in outcome.chunks] == ["one "]


@every_reader
@both_verbs
@pytest.mark.parametrize("word", ["error", "network_error", "INSUFFICIENT_SYSTEM_RESOURCE", "abort"])
async def test_answer_that_broke_off_is_none(subject: Subject, verb: Verb, word: str) -> None:
    """However much of it has come."""
    sample = Sample(text=["So", " far"], finish=word)
    whole = answer(encode(subject.speech.body(sample)), headers=JSON)
    subject.upstream.default = serve(whole, event_stream(*subject.speech.events(sample)))
    outcome = await subject.ask(verb)
    assert isinstance(outcome.error, errors.Unavailable)


@one_openai_like
async def test_word_for_no_end_yet_ends_nothing(subject: Subject) -> None:
    """Qwen says "null" with every piece."""
    pieces = [subject.speech.piece(text).replace('"finish_reason": null', '"finish_reason": "null"') for text in "ab"]
    assert "finish_reason" in pieces[0]
    subject.upstream.play(event_stream(*subject.speech.opening(), *pieces))
    outcome = await subject.ask("chat_stream")
    assert outcome.error is not None
    assert outcome.error.reason == "UPSTREAM_STREAM_TRUNCATED"
    assert "".join(chunk.token for chunk in outcome.chunks) == "ab"


@every_reader
@pytest.mark.parametrize(
    "data", ["prompt too long; exceeded max context length by 12 tokens", '{"error": "prompt too long", "code": 400}']
)
async def test_error_event_may_be_a_text_with_its_status_beside_it(subject: Subject, data: str) -> None:
    pieces = [*subject.speech.opening(), subject.speech.piece("one ")]
    subject.upstream.play(event_stream(*pieces, event(data, "error")))
    outcome = await subject.ask("chat_stream")
    assert outcome.error is not None
    assert outcome.error.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert outcome.error.metadata["provider_message"].startswith("prompt too long")
