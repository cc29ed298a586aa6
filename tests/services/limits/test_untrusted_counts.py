"""The counts of strangers' servers: shared limits, and the ledger that they are filled from, are charged no more than a
chat can have used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from proto import usage_pb2
from proto.identity_pb2 import LimitRule
from services.models.limits.estimate import WORST_ANSWER_TOKENS
from services.shared.identity import Callers
from tests.scripted_upstream import Received, Script, ScriptedUpstream, json_answer
from tests.services.model_service import (
    STRANGER,
    ModelService,
    answered,
    chat_request,
    completion,
    model_service,
    registration,
)
from tests.support.callers import SCOPES, caller, require, signed
from tests.support.errors import failure_of

MOST = 2**31 - 1
RATE = 10**9
"""Nano-USD for a million tokens."""
TOKENS = LimitRule(id="tokens", scope_kind="org", resource="tokens", window="day", amount=10**6)
MONEY = LimitRule(id="money", scope_kind="org", resource="nano_usd", window="day", amount=10**18)


def counted(prompt: int, completion_tokens: int) -> Callable[[Received], Script]:
    """Answers of a server that counts this of each chat."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion_tokens}
    answer = json_answer(completion() | {"usage": usage})
    return lambda request: answer if request.method == "POST" else answered(request)


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered) as server:
        yield server


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ModelService]:
    """A service that asks who calls, with models that strangers have registered before it did, and one of the
    operator's."""
    models: Sequence[tuple[str, Any, Any]] = [
        ("plain", {}, STRANGER),
        ("boastful", {"max_output_tokens": MOST}, STRANGER),
        ("short", {"max_output_tokens": 100}, STRANGER),
        ("operators", {}, ()),
    ]
    prices = {"prompt_nano_usd": RATE, "completion_nano_usd": RATE}
    settings: dict[str, Any] = {"MODELS_ALLOWED_ENDPOINTS": "private"}
    async with model_service(tmp_path, upstream, **settings) as service:
        for name, facts, metadata in models:
            request = registration(upstream, name=name, capabilities=facts | {"prices": prices})
            await service.stub.RegisterModel(request, metadata=metadata)
    async with model_service(tmp_path, upstream, callers=require(Callers()), **settings) as service:
        yield service


async def used(service: ModelService) -> tuple[int, int]:
    """The tokens and nano-USD that limits were charged, as another project finds them; the ledger has the same."""
    metadata = signed(caller("other", limits=[TOKENS, MONEY], scopes=["generate"]))
    answer = await service.usage.GetMyUsage(usage_pb2.GetMyUsageRequest(), metadata=metadata)
    tokens, money = (use.limit.amount - use.remaining for use in answer.limits)
    assert [use.used for use in answer.limits] == [tokens, money]
    return tokens, money


async def tokens_used(service: ModelService) -> int:
    """The tokens alone: of counts that contradict each other no cost is known, and limits are charged what they had
    reserved."""
    metadata = signed(caller("other", limits=[TOKENS], scopes=["generate"]))
    answer = await service.usage.GetMyUsage(usage_pb2.GetMyUsageRequest(), metadata=metadata)
    [tokens] = (use.limit.amount - use.remaining for use in answer.limits)
    return tokens


@pytest.mark.parametrize(
    ("model", "longest"), [("plain", WORST_ANSWER_TOKENS), ("boastful", WORST_ANSWER_TOKENS), ("short", 100)]
)
async def test_a_strangers_server_cannot_use_up_shared_limits(
    service: ModelService, upstream: ScriptedUpstream, model: str, longest: int
) -> None:
    upstream.default = counted(MOST, MOST)
    metadata = signed(caller("p", limits=[TOKENS, MONEY]))
    response = await service.stub.Chat(chat_request(model), metadata=metadata)
    # The answer has what the server has counted.
    assert response.usage.completion_tokens == MOST
    tokens, money = await used(service)
    assert longest < tokens < longest + 100
    assert money == tokens * RATE // 10**6
    upstream.default = answered
    other = signed(caller("other", limits=[TOKENS, MONEY]))
    assert (await service.stub.Chat(chat_request("gpt-4o"), metadata=other)).text == "Hi."


@pytest.mark.parametrize("scopes", [SCOPES, (*SCOPES, "admin")])
async def test_a_key_that_is_no_administrators_is_a_strangers(
    tmp_path: Path, upstream: ScriptedUpstream, scopes: Sequence[str]
) -> None:
    """Behind a gateway that is not exposed, too: what its server counts would be charged to limits of others."""
    settings = {"MODELS_ALLOWED_ENDPOINTS": "private"}
    upstream.default = counted(MOST, MOST)
    metadata = signed(caller("p", limits=[TOKENS], scopes=scopes))
    async with model_service(tmp_path, upstream, callers=require(Callers()), **settings) as service:
        registered = await service.stub.RegisterModel(registration(upstream, name="theirs"), metadata=metadata)
        assert registered.model.untrusted == ("admin" not in scopes)
        await service.stub.Chat(chat_request("theirs"), metadata=metadata)
    # The limits of another process begin with what the ledger knows.
    upstream.default = answered
    other = signed(caller("other", limits=[TOKENS]))
    async with model_service(tmp_path, upstream, callers=require(Callers()), **settings) as service:
        call = service.stub.Chat(chat_request("gpt-4o"), metadata=other)
        if "admin" in scopes:
            assert (await failure_of(call)).reason == "BUDGET_EXHAUSTED"
        else:
            assert (await call).text == "Hi."


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens": -(10**9), "completion_tokens": -5},
        {"prompt_tokens": 3, "completion_tokens": -(10**12), "total_tokens": -7},
        {"prompt_tokens": 10**30, "completion_tokens": 1e300, "total_tokens": -1},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 1, "prompt_tokens_details": {"cached_tokens": 99}},
        {"completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": -(10**9)}},
        {"prompt_tokens": "-5", "completion_tokens": True},
        {},
    ],
    ids=str,
)
async def test_no_count_gives_anything_back(
    service: ModelService, upstream: ScriptedUpstream, counts: dict[str, Any]
) -> None:
    metadata = signed(caller("p", limits=[TOKENS, MONEY]))
    await service.stub.Chat(chat_request("plain"), metadata=metadata)
    before = await used(service)
    contradicting = json_answer(completion() | {"usage": counts})
    upstream.default = lambda request: contradicting if request.method == "POST" else answered(request)
    for model in ("plain", "operators"):
        await service.stub.Chat(chat_request(model), metadata=metadata)
        after = await tokens_used(service)
        assert before[0] < after < before[0] + WORST_ANSWER_TOKENS + 200


async def test_an_honest_count_of_a_stranger_is_kept(service: ModelService) -> None:
    metadata = signed(caller("p", limits=[TOKENS, MONEY]))
    response = await service.stub.Chat(chat_request("plain"), metadata=metadata)
    assert await used(service) == (13, response.usage.cost_nano_usd)


async def test_the_operators_servers_are_believed(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.default = counted(9, 50_000)
    metadata = signed(caller("p", limits=[TOKENS, MONEY]))
    response = await service.stub.Chat(chat_request("operators"), metadata=metadata)
    assert await used(service) == (50_009, response.usage.cost_nano_usd)
