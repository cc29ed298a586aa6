"""Whole answers that are read in one step give what they give at length."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.models.providers.openai.chat_completions import response
from services.models.providers.openai.chat_completions.plain_answers import read_plain_answer
from tests.rows import for_each

MESSAGE = {"role": "assistant", "content": "é"}
USAGE = {"prompt_tokens": 24, "completion_tokens": 8, "total_tokens": 32}


def completion(message: Any = MESSAGE, usage: Any = USAGE, choice: Any = None, **members: Any) -> bytes:
    choices = [{"index": 0, "message": message, "finish_reason": "stop"} | (choice or {})]
    body = {"id": "c", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage} | members
    return json.dumps(body).encode()


def usage(of_prompt: Any = None, of_completion: Any = None, **members: Any) -> dict[str, Any]:
    details = {"prompt_tokens_details": of_prompt, "completion_tokens_details": of_completion}
    return USAGE | {name: value for name, value in details.items() if value is not None} | members


PLAIN = {
    "bare": completion(),
    "cut": completion(choice={"finish_reason": "length"}),
    "empty": completion({"content": ""}),
    "as OpenAI's": completion(
        MESSAGE | {"refusal": None, "annotations": []},
        usage(
            {"cached_tokens": 3, "audio_tokens": 0},
            {"reasoning_tokens": 5, "audio_tokens": 0, "accepted_prediction_tokens": 0},
        ),
        {"logprobs": None},
        service_tier="default",
        system_fingerprint="f",
    ),
    "with empty details": completion(usage=usage({}, {})),
    "with zeros": completion(usage=usage({"cached_tokens": 0, "cache_write_tokens": 0}, {"reasoning_tokens": 0})),
    "at another rate": completion(service_tier="flex"),
    "without an id": completion(id="", model=""),
    "with filters": completion(choice={"content_filter_results": {"hate": {"filtered": False}}}),
}

OTHERS = {
    "no text": completion({"role": "assistant", "content": None}),
    "a refusal": completion({"content": "", "refusal": "no"}),
    "reasoning": completion(MESSAGE | {"reasoning_content": "r"}),
    "a call": completion(MESSAGE | {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}),
    "sources": completion(MESSAGE | {"annotations": [{"type": "url_citation"}]}),
    "what is to be kept": completion(MESSAGE | {"thought": "t"}),
    "another reason": completion(choice={"finish_reason": "error"}),
    "an error": completion(error={"message": "broken"}),
    "an error in the choice": completion(choice={"error": {"message": "broken"}}),
    "counts in the choice": completion(choice={"usage": USAGE}),
    "counts that do not agree": completion(usage=USAGE | {"total_tokens": 40}),
    "counts of other names": completion(usage=USAGE | {"input_tokens": 24}),
    "no counts": completion(usage=None),
    "sound": completion(usage=usage({"audio_tokens": 5})),
    "sources of its own": completion(citations=["https://a.example"]),
    "what was measured": completion(timings={"prompt_n": 1}),
    "how likely it was": completion(choice={"logprobs": {"content": []}}),
    "the mark of an error": completion(object="error"),
    "two choices": completion(choices=[{"message": MESSAGE}, {"index": 1, "message": MESSAGE}]),
    "a long id": completion(id="x" * 5000),
}


@pytest.mark.parametrize("body", PLAIN.values(), ids=PLAIN)
def test_plain_answer_gives_what_it_gives_at_length(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    plainly = read_plain_answer(body)
    assert plainly is not None
    monkeypatch.setattr(response, "read_plain_answer", lambda _: None)
    at_length = response.read_answer(body)
    for answer in (plainly, at_length):
        answer.complete()
    assert plainly.response() == at_length.response()
    assert plainly.drain_chunks() == at_length.drain_chunks()
    rates = [(answer.at_standard_rates, answer.counts_agree, answer.usage) for answer in (plainly, at_length)]
    assert rates[0] == rates[1]


@for_each("body", OTHERS.values(), ids=OTHERS)
def test_any_other_answer_is_read_at_length(body: bytes) -> None:
    assert read_plain_answer(body) is None


@for_each("body", [b"", b"{", b"[]", b"5", b"\xff", b'{"choices":[]}'])
def test_what_is_no_answer_is_read_at_length(body: bytes) -> None:
    assert read_plain_answer(body) is None
