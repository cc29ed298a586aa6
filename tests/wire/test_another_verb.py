"""A verb that no dialect has yet goes over the same exchange: its refusals and its broken bodies are the provider's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from services.models.providers.answers.values import read_object
from services.models.providers.base import Target
from services.models.providers.client import Exchange
from services.models.providers.errors.faults import Fault
from services.models.providers.http_request import HttpRequest
from services.models.transport.client import HttpClient
from services.shared import errors
from services.shared.errors import PlatformError
from tests.scripted_upstream import Script, ScriptedUpstream, answer, json_answer
from tests.wire.adapters import ADAPTERS, Adapter, every_adapter


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[HttpClient]:
    transport = HttpClient()
    yield transport
    await transport.close()


def read_count(body: bytes) -> int:
    count = read_object(body).get("input_tokens")
    if not isinstance(count, int):
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    return count


async def count_tokens(transport: HttpClient, target: Target) -> int:
    """All that a verb has to say for itself: its request, and how its answer is read."""
    async with Exchange(transport, target) as exchange:
        response = await exchange.post(HttpRequest("/count_tokens", b'{"text":"Hi"}'))
        return await exchange.read(response, response.body, read_count)


@every_adapter
async def test_answer_is_what_the_verb_reads(
    upstream: ScriptedUpstream, transport: HttpClient, adapter: Adapter
) -> None:
    upstream.default = json_answer({"input_tokens": 7})
    target = adapter.target(upstream.url)
    assert await count_tokens(transport, target) == 7
    (sent,) = upstream.requests
    assert (sent.path, sent.json()) == (f"{urlsplit(target.endpoint).path}/count_tokens", {"text": "Hi"})
    assert sent.headers["content-type"] == "application/json"


FAILURES: dict[str, tuple[Script, type[PlatformError], str]] = {
    "no key": (json_answer({"error": {"message": "no"}}, status=401), errors.PreconditionFailed, "UPSTREAM_AUTH"),
    "too many": (json_answer({"error": {}}, status=429), errors.LimitExceeded, "UPSTREAM_RATE_LIMITED"),
    "no object": (answer(b"[7]"), errors.Internal, "UPSTREAM_PROTOCOL_ERROR"),
    "no count": (json_answer({"tokens": 7}), errors.Internal, "UPSTREAM_PROTOCOL_ERROR"),
    "nothing at the path": (answer(b"", status=405), errors.PreconditionFailed, "UPSTREAM_PATH_NOT_FOUND"),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_failure_is_the_providers(upstream: ScriptedUpstream, transport: HttpClient, case: str) -> None:
    script, kind, reason = FAILURES[case]
    upstream.default = script
    adapter = ADAPTERS[0]
    with pytest.raises(kind) as raised:
        await count_tokens(transport, adapter.target(upstream.url))
    assert raised.value.reason == reason
    assert raised.value.metadata["provider"] == adapter.provider
    assert raised.value.metadata["phase"] == "pre_stream"


async def test_verb_may_read_its_refusals_itself(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    upstream.default = json_answer({"refused": "too busy"}, status=400)

    def read_fault(status: int, body: bytes) -> Fault:
        return Fault("UPSTREAM_OVERLOADED" if status == 400 and b"too busy" in body else "UPSTREAM_SERVER_ERROR")

    with pytest.raises(errors.Unavailable) as raised:
        async with Exchange(transport, ADAPTERS[0].target(upstream.url), read_fault=read_fault) as exchange:
            await exchange.post(HttpRequest("/count_tokens", b"{}"))
    assert raised.value.reason == "UPSTREAM_OVERLOADED"
