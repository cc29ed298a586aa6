"""Callers with API keys over HTTP: how a key is sent, and what it allows and limits, whichever way a request goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from proto import access_pb2
from proto.identity_pb2 import LimitRule
from tests.rows import for_each, row
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.access.gateways import AccessGateway, front
from tests.services.model_service import ModelService, answered, model_service

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
OPENAI_MODEL, ANTHROPIC_MODEL = "gpt-4o", "claude-sonnet-4-6"
WAYS = [(path, model) for path in (CHAT, MESSAGES) for model in (OPENAI_MODEL, ANTHROPIC_MODEL)]
"""Forwarded and translated, in both directions."""

WORDS = {CHAT: ("requests", "rate_limit_exceeded"), MESSAGES: ("rate_limit_error", None)}
"""The type and the code of an error for too much."""


class Service:
    """A Model Service that asks for keys, and who makes them."""

    def __init__(self, models: ModelService, access: AccessGateway, client: httpx.AsyncClient) -> None:
        self._models = models
        self.access = access
        self._client = client

    async def new_key(self, limit: LimitRule | None = None, **fields: Any) -> str:
        """The secret of a new key; what it may do is limited."""
        key, secret = await self.access.new_key(**fields)
        if limit:
            limit.scope_id = key.id
            await self.access.call(access_pb2.SetLimitRequest(limit=limit))
        await self.access.access.keeper.update()
        return secret

    async def post(
        self, path: str, model: str, headers: Mapping[str, str] | list[tuple[str, str]], **members: Any
    ) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20, **members}
        return await self._client.post(self._models.url + path, json=body, headers=headers)


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered) as upstream:
        yield upstream


@pytest_asyncio.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    settings = {"MODELS_ALIASES": "fast=gpt-4o-mini", "MODELS_MAX_ATTEMPTS": "2", "LIMITS_RESERVE": "worst"}
    async with (
        front(f"sqlite:///{tmp_path}/access.db") as fronted,
        model_service(tmp_path, upstream, callers=fronted.gateway.access.authenticator, http={}, **settings) as models,
        httpx.AsyncClient(timeout=20, trust_env=False) as client,
    ):
        yield Service(models, fronted.gateway, client)


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def limit(resource: str, amount: int, window: str) -> LimitRule:
    return LimitRule(scope_kind="key", resource=resource, amount=amount, window=window, action="refuse")


SPENT = {CHAT: ("insufficient_quota", "insufficient_quota"), MESSAGES: ("rate_limit_error", None)}
"""The same for a budget: asking again soon gains nothing, and agents end their turn."""

LIMITS = {
    "requests": (limit("requests", 2, "hour"), WORDS),
    "tokens": (limit("tokens", 129, "hour"), WORDS),
    "money": (limit("nano_usd", 600_000, "month"), SPENT),
}
"""Limits that leave room for two short calls and for no long one, and the words of the refusal."""


@for_each(("rule", "words"), LIMITS.values(), ids=LIMITS)
async def test_limit_counts_both_ways_and_is_told_in_the_words_of_the_dialect(
    service: Service, upstream: ScriptedUpstream, rule: LimitRule, words: dict[str, tuple[str, str | None]]
) -> None:
    for path in (CHAT, MESSAGES):
        for streams in (False, True):
            secret = await service.new_key(rule)
            upstream.requests.clear()
            with row(path, streams):
                for model in (OPENAI_MODEL, ANTHROPIC_MODEL):
                    served = await service.post(path, model, bearer(secret), stream=streams)
                    assert served.status_code == 200, served.text
                for model in (OPENAI_MODEL, ANTHROPIC_MODEL):
                    refused = await service.post(path, model, bearer(secret), stream=streams, max_tokens=100)
                    error = refused.json()["error"]
                    assert (refused.status_code, error["type"], error.get("code")) == (429, *words[path])
                    if words is WORDS:
                        assert int(refused.headers["retry-after"]) > 0
                    else:
                        assert refused.headers["x-should-retry"] == "false"
                assert len(upstream.requests) == 2


SENT = {
    "bearer": (lambda key, _: [("authorization", f"Bearer {key}")], True),
    "x-api-key": (lambda key, _: [("x-api-key", key)], True),
    "as Azure's clients": (lambda key, _: [("api-key", key)], True),
    "both, equal": (lambda key, _: [("authorization", f"Bearer {key}"), ("x-api-key", key)], True),
    "all, equal": (lambda key, _: [("authorization", f"Bearer {key}"), ("x-api-key", key), ("api-key", key)], True),
    "both, different": (lambda key, other: [("authorization", f"Bearer {key}"), ("x-api-key", other)], False),
    "the other way round": (lambda key, other: [("authorization", f"Bearer {other}"), ("x-api-key", key)], False),
    "for Azure, different": (lambda key, other: [("x-api-key", other), ("api-key", key)], False),
    "a dummy beside it": (lambda key, _: [("authorization", "Bearer dummy"), ("x-api-key", key)], False),
    "a field twice, equal": (lambda key, _: [("x-api-key", key), ("x-api-key", key)], True),
    "a field twice, different": (lambda key, other: [("x-api-key", other), ("x-api-key", key)], False),
    "none": (lambda *_: [], False),
}
"""The fields of a request by two valid keys, and whether it is answered."""


@for_each(("path", "model"), WAYS, ids=str)
async def test_request_has_one_key_however_it_is_sent(
    service: Service, upstream: ScriptedUpstream, path: str, model: str
) -> None:
    key, other = await service.new_key(), await service.new_key()
    for name, (fields_of, is_served) in SENT.items():
        upstream.requests.clear()
        with row(name):
            response = await service.post(path, model, fields_of(key, other))
            if is_served:
                assert response.status_code == 200, response.text
                continue
            error = response.json()["error"]
            expected = ("invalid_request_error", "invalid_api_key") if path == CHAT else ("authentication_error", None)
            assert (response.status_code, error["type"], error.get("code")) == (401, *expected)
            assert response.headers["x-should-retry"] == "false"
            assert key not in response.text
            assert not upstream.requests


@for_each(("path", "model"), WAYS, ids=str)
async def test_key_may_ask_the_models_that_it_names(
    service: Service, upstream: ScriptedUpstream, path: str, model: str
) -> None:
    allowed = bearer(await service.new_key(model_globs=[model]))
    others = bearer(await service.new_key(model_globs=["gpt-4o-mini"]))
    for streams in (False, True):
        assert (await service.post(path, model, allowed, stream=streams)).status_code == 200
        upstream.requests.clear()
        for name in (model, f"{'openai' if model == OPENAI_MODEL else 'anthropic'}/{model}"):
            refused = await service.post(path, name, others, stream=streams)
            assert (refused.status_code, refused.headers["x-should-retry"]) == (403, "false")
            kind = "invalid_request_error" if path == CHAT else "permission_error"
            assert refused.json()["error"]["type"] == kind
        assert not upstream.requests


async def test_fallbacks_must_be_allowed(service: Service, upstream: ScriptedUpstream) -> None:
    only = bearer(await service.new_key(model_globs=[OPENAI_MODEL]))
    for headers, members in (
        ({"x-genai-fallback-models": ANTHROPIC_MODEL}, {}),
        ({}, {"genai": {"fallback_models": [ANTHROPIC_MODEL]}}),
    ):
        with row(headers, members):
            refused = await service.post(CHAT, OPENAI_MODEL, only | headers, **members)
            assert refused.status_code == 403
            assert not upstream.requests
    both = bearer(await service.new_key(model_globs=[OPENAI_MODEL, ANTHROPIC_MODEL]))
    upstream.play(json_answer({"error": {"message": "down"}}, status=503))
    served = await service.post(CHAT, OPENAI_MODEL, both, genai={"fallback_models": [ANTHROPIC_MODEL]})
    assert (served.status_code, served.headers["x-genai-provider"]) == (200, "anthropic")


async def test_alias_of_a_model_that_is_not_allowed(service: Service, upstream: ScriptedUpstream) -> None:
    for glob, status in (("gpt-4o-mini", 200), ("fast", 200), (OPENAI_MODEL, 403)):
        with row(glob):
            response = await service.post(CHAT, "fast", bearer(await service.new_key(model_globs=[glob])))
            assert response.status_code == status
    assert len(upstream.requests) == 2


PICTURE = "iVBORw0KGgo" + "A" * 400_001
PICTURES = {
    CHAT: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
    MESSAGES: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
}


@for_each(("path", "model"), [(CHAT, OPENAI_MODEL), (MESSAGES, ANTHROPIC_MODEL)], ids=str)
async def test_forwarded_picture_is_no_long_text_to_a_limit(service: Service, path: str, model: str) -> None:
    headers = bearer(await service.new_key(limit("tokens", 5_000, "hour")))
    messages = [{"role": "user", "content": [PICTURES[path]]}]
    assert (await service.post(path, model, headers, messages=messages)).status_code == 200
    messages = [{"role": "user", "content": PICTURE}]
    assert (await service.post(path, model, headers, messages=messages)).status_code == 429
