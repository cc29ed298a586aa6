"""What a call used and cost, however a server counts it: a cost is right or unset."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proto.models_pb2 import TokenUsage
from services.models.catalog.prices import Tier
from tests.scripted_upstream import ScriptedUpstream, answer, event, event_stream
from tests.wire.adapters import JSON, Adapter, Subject, every_responses_like, one_anthropic_like, one_openai_like
from tests.wire.dialects import Sample, encode

TIER = Tier(prompt=1_000_000, completion=10_000_000, cached_prompt=100_000, cache_write=2_000_000)
"""One nano-USD for each token of the prompt."""


@pytest.fixture
async def subject(adapter: Adapter, upstream: ScriptedUpstream) -> AsyncIterator[Subject]:
    subject = Subject(adapter, upstream)
    subject.target = dataclasses.replace(subject.target, price=TIER.cost)
    yield subject
    await subject.transport.close()


def counted(prompt: int, completion: int, has_cost: bool = True, **others: int) -> TokenUsage:
    usage = TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, **others)
    if has_cost:
        usage.cost_nano_usd = TIER.cost(usage)
    else:
        # Counts that contradict one another have no price, whatever list is asked.
        usage.not_at_list_price = True
    return usage


CHAT_USAGES: dict[str, tuple[Any, TokenUsage]] = {
    "plain": ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, counted(10, 5)),
    "without a total": ({"prompt_tokens": 10, "completion_tokens": 5}, counted(10, 5)),
    "a total of nothing": ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 0}, counted(10, 5)),
    "one of the two and the total": ({"prompt_tokens": 10, "total_tokens": 15}, counted(10, 5)),
    "in the Responses' names": (
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 2},
        },
        counted(10, 5, cached_prompt_tokens=4, reasoning_tokens=2),
    ),
    "thoughts beside": (
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
        counted(32, 103, reasoning_tokens=94),
    ),
    "thoughts in the total alone": (
        {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 108},
        counted(5, 103, reasoning_tokens=100),
    ),
    "the cache beside": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 79, "cache_read_input_tokens": 64},
        counted(74, 5, cached_prompt_tokens=64),
    ),
    "both beside": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 89, "cached_tokens": 64, "reasoning_tokens": 10},
        counted(74, 15, cached_prompt_tokens=64, reasoning_tokens=10),
    ),
    "at the top of usage": (
        {"prompt_tokens": 100, "completion_tokens": 3, "cached_tokens": 64, "reasoning_tokens": 2},
        counted(100, 3, cached_prompt_tokens=64, reasoning_tokens=2),
    ),
    "as Ollama": ({"prompt_eval_count": 10, "eval_count": 5}, counted(10, 5)),
    "as DeepSeek": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 3,
            "total_tokens": 103,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
        },
        counted(100, 3, cached_prompt_tokens=64),
    ),
    "as a proxy of Claude": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 3,
            "total_tokens": 103,
            "cache_read_input_tokens": 64,
            "cache_creation_input_tokens": 6,
        },
        counted(100, 3, cached_prompt_tokens=64, cache_write_tokens=6),
    ),
    "a total that is too small": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 12},
        counted(10, 5, has_cost=False),
    ),
    "more thoughts than were written": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "reasoning_tokens": 9},
        counted(10, 5, has_cost=False, reasoning_tokens=9),
    ),
    "more thoughts than were written, without a total": (
        {"prompt_tokens": 10, "completion_tokens": 5, "reasoning_tokens": 9},
        counted(10, 14, has_cost=False, reasoning_tokens=9),
    ),
    "more of the cache than was read": (
        {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 64},
        counted(74, 5, has_cost=False, cached_prompt_tokens=64),
    ),
    "a rest that nothing explains": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99, "reasoning_tokens": 2},
        counted(10, 89, has_cost=False, reasoning_tokens=2),
    ),
    "a rest that two explain": (
        {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 27, "reasoning_tokens": 8, "cached_tokens": 8},
        counted(10, 17, has_cost=False, reasoning_tokens=8, cached_prompt_tokens=8),
    ),
    "two names, two counts": (
        {"prompt_tokens": 10, "input_tokens": 20, "completion_tokens": 5},
        counted(20, 5, has_cost=False),
    ),
    "nothing read": ({"prompt_tokens": 0, "completion_tokens": 5}, counted(0, 5, has_cost=False)),
    "nothing written": ({"prompt_tokens": 10, "completion_tokens": 0}, counted(10, 0, has_cost=False)),
}


@one_openai_like
@pytest.mark.parametrize("case", CHAT_USAGES)
async def test_chat_completions_in_every_way_of_counting(subject: Subject, case: str) -> None:
    told, usage = CHAT_USAGES[case]
    sample = Sample(text=["Hi"], usage=None)
    events = list(subject.speech.events(sample))
    counted_event = event({"id": "c", "choices": [], "usage": told})
    body = subject.speech.body(sample) | {"usage": told}
    response = await subject.answered_with(encode(body), [*events[:-1], counted_event, events[-1]])
    assert response.usage == usage


USAGE = {"prompt_tokens": 100, "completion_tokens": 3, "total_tokens": 103, "cached_tokens": 64}
PLACES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the choice": ({"usage": USAGE}, {}),
    "the message": ({"message": {"role": "assistant", "content": "Hi", "usage": USAGE}}, {}),
    "x_groq": ({}, {"x_groq": {"id": "req_1", "usage": USAGE}}),
    "the top": ({}, USAGE),
    "timings": ({}, {"timings": {"cache_n": 64, "prompt_n": 36, "predicted_n": 3, "predicted_ms": 1.5}}),
    "usage and timings": ({}, {"usage": USAGE, "timings": {"prompt_n": 36, "predicted_n": 4}}),
}


@one_openai_like
@pytest.mark.parametrize("place", PLACES)
async def test_counts_are_found_where_servers_put_them(subject: Subject, place: str) -> None:
    inside, beside = PLACES[place]
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"} | inside
    body = {"id": "c", "model": "m", "choices": [choice]} | beside
    last = body | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"} | inside]}
    events = [*subject.speech.opening(), subject.speech.piece("Hi"), event(last), event("[DONE]")]
    response = await subject.answered_with(encode(body | {"id": "answer-1", "model": "sample-model-1"}), events)
    assert response.usage == counted(100, 3, cached_prompt_tokens=64)


@one_openai_like
async def test_counts_are_found_in_a_piece_of_the_message(subject: Subject) -> None:
    piece = event({"choices": [{"index": 0, "delta": {"content": "Hi", "usage": USAGE}}]})
    end = [subject.speech.delta({}, "stop"), event("[DONE]")]
    body = subject.speech.body(Sample(text=["Hi"])) | {"usage": USAGE}
    response = await subject.answered_with(encode(body), [*subject.speech.opening(), piece, *end])
    assert response.usage == counted(100, 3, cached_prompt_tokens=64)


@one_openai_like
async def test_zeros_count_nothing(subject: Subject) -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    body = subject.speech.body(Sample(text=["Hi"])) | {"usage": zeros}
    events = [*subject.speech.events(Sample(text=["Hi"], usage=None))[:-1], event({"choices": [], "usage": zeros})]
    response = await subject.answered_with(encode(body), [*events, event("[DONE]")])
    assert response.usage.estimated
    assert response.usage.prompt_tokens > 0
    assert not response.usage.HasField("cost_nano_usd")


@one_openai_like
async def test_larger_counts_of_a_stream_hold(subject: Subject) -> None:
    told = [{"prompt_tokens": 10, "completion_tokens": n, "total_tokens": 10 + n} for n in (1, 5, 3, 0)]
    told += [{"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}]
    pieces = [event({"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": usage}) for usage in told]
    end = [subject.speech.delta({}, "stop"), event({"choices": [], "usage": told[-1]}), event("[DONE]")]
    body = subject.speech.body(Sample(text=["aaaaa"])) | {"usage": told[1]}
    response = await subject.answered_with(encode(body), [*subject.speech.opening(), *pieces, *end])
    assert response.usage == counted(10, 5)


# ------------------------------------------------------------------------------------------------ Messages, Responses


MESSAGES_USAGES: dict[str, tuple[dict[str, Any], dict[str, Any], TokenUsage]] = {
    "plain": ({"input_tokens": 10, "output_tokens": 1}, {"output_tokens": 5}, counted(10, 5)),
    "zeros at the end": (
        {
            "input_tokens": 25,
            "cache_read_input_tokens": 1000,
            "cache_creation_input_tokens": 50,
            "output_tokens": 1,
        },
        {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 15},
        counted(1075, 15, cached_prompt_tokens=1000, cache_write_tokens=50),
    ),
    "all at the end": ({"input_tokens": 0}, {"input_tokens": 10, "output_tokens": 5}, counted(10, 5)),
    "with the cache at the end": (
        {"input_tokens": 25, "cache_read_input_tokens": 1000, "output_tokens": 1},
        {"input_tokens": 1025, "output_tokens": 15},
        counted(1025, 15, cached_prompt_tokens=1000),
    ),
    "a total that includes the cache": (
        {"input_tokens": 100, "cache_read_input_tokens": 64, "output_tokens": 1},
        {"input_tokens": 100, "output_tokens": 5, "total_tokens": 105},
        counted(100, 5, cached_prompt_tokens=64),
    ),
    "a total with the cache beside": (
        {"input_tokens": 100, "cache_read_input_tokens": 64, "output_tokens": 1},
        {"input_tokens": 100, "output_tokens": 5, "total_tokens": 169},
        counted(164, 5, cached_prompt_tokens=64),
    ),
    "a total that nothing explains": (
        {"input_tokens": 100, "output_tokens": 1},
        {"input_tokens": 100, "output_tokens": 5, "total_tokens": 99},
        counted(100, 5, has_cost=False),
    ),
    "thoughts beside": (
        {"input_tokens": 10, "output_tokens": 1},
        {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 20}},
        counted(10, 25, has_cost=False, reasoning_tokens=20),
    ),
    "in OpenAI's names": (
        {"prompt_tokens": 100, "completion_tokens": 0},
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 64}},
        counted(100, 5, cached_prompt_tokens=64),
    ),
    "fewer at the end than were guessed": (
        {"input_tokens": 50, "output_tokens": 1},
        {"input_tokens": 40, "output_tokens": 5},
        counted(50, 5, has_cost=False),
    ),
    "nothing at the end": ({"input_tokens": 10, "output_tokens": 1}, {}, counted(10, 1, has_cost=False)),
}


@one_anthropic_like
@pytest.mark.parametrize("case", MESSAGES_USAGES)
async def test_messages_in_every_way_of_counting(subject: Subject, case: str) -> None:
    first, last, usage = MESSAGES_USAGES[case]
    start, *events = subject.speech.events(Sample(text=["Hi"], usage=None))
    message = json.loads(start.partition("data: ")[2])["message"] | {"usage": first}
    ended = subject.speech.named("message_delta", delta={"stop_reason": "end_turn"}, usage=last)
    subject.upstream.play(
        event_stream(subject.speech.named("message_start", message=message), *events[:-2], ended, events[-1])
    )
    outcome = await subject.ask("chat_stream")
    assert outcome.response is not None
    assert outcome.response.usage == usage


@one_anthropic_like
async def test_counts_of_a_whole_message(subject: Subject) -> None:
    usage = {"input_tokens": 100, "output_tokens": 5, "cache_read_input_tokens": 64, "total_tokens": 105}
    body = subject.speech.body(Sample(text=["Hi"])) | {"usage": usage}
    subject.upstream.play(answer(encode(body), headers=JSON))
    outcome = await subject.ask("chat")
    assert outcome.response is not None
    assert outcome.response.usage == counted(100, 5, cached_prompt_tokens=64)


@every_responses_like
@pytest.mark.parametrize(
    ("told", "usage"),
    [
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "total_tokens": 21,
                "output_tokens_details": {"reasoning_tokens": 6},
            },
            counted(10, 11, reasoning_tokens=6),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, counted(10, 5)),
        ({"input_tokens": 10, "output_tokens": 5, "total_tokens": 3}, counted(10, 5, has_cost=False)),
        ({"input_tokens": 100, "output_tokens": 5, "cached_tokens": 64}, counted(100, 5, cached_prompt_tokens=64)),
    ],
)
async def test_responses_in_every_way_of_counting(subject: Subject, told: dict[str, Any], usage: TokenUsage) -> None:
    body = subject.speech.response([subject.speech.message("Hi")]) | {"usage": told}
    events = [*subject.speech.opening(), subject.speech.named("response.completed", response=body)]
    response = await subject.answered_with(encode(body), events)
    assert response.usage == usage
