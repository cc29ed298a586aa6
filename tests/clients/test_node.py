"""Clients in JavaScript: the vendors' SDKs and the AI SDK, with models of either vendor."""

from __future__ import annotations

import json

import pytest

from tests.clients.conftest import ANTHROPIC_MODEL, LOCAL_MODEL, OPENAI_MODEL, PAID, Clients
from tests.clients.turns import ENCRYPTED, SIGNATURE, Call, Turn, said
from tests.scripted_upstream import answer

EITHER = pytest.mark.parametrize("model", [ANTHROPIC_MODEL, OPENAI_MODEL])
VALUE = {"city": "Oslo", "rains": True}


def play_tools(clients: Clients) -> None:
    call = Call("weather", {"city": "Oslo"})
    clients.upstream.play(*said(Turn("I look.", [call], thought="Where is it?"), Turn("It rains.")))


def state_of(model: str) -> bytes:
    return (SIGNATURE if model == ANTHROPIC_MODEL else ENCRYPTED).encode()


@EITHER
@pytest.mark.parametrize("work", ["chatTools", "responsesTools", "messagesTools"])
async def test_sdk_calls_a_tool(clients: Clients, work: str, model: str) -> None:
    play_tools(clients)
    ended = await clients.node("vendors_sdks", work, model)
    assert (ended["text"], ended["model"]) == ("It rains.", model)
    assert len(clients.requests) == 2
    assert b"rain in Oslo" in clients.requests[1].body
    if work != "chatTools":
        assert state_of(model) in clients.requests[1].body


@EITHER
@pytest.mark.parametrize("work", ["chatParsed", "responsesParsed"])
async def test_sdk_parses_a_value(clients: Clients, work: str, model: str) -> None:
    clients.upstream.play(*said(Turn(json.dumps(VALUE))))
    assert await clients.node("vendors_sdks", work, model) == {"value": VALUE, "model": model}
    assert len(clients.requests) == 1


@EITHER
async def test_sdk_reads_events(clients: Clients, model: str) -> None:
    clients.upstream.play(*said(Turn("It rains.")))
    ended = await clients.node("vendors_sdks", "chatRaw", model)
    assert ended == {"text": "It rains.", "model": model, "tokens": 1290}


@EITHER
async def test_sdk_counts_tokens(clients: Clients, model: str) -> None:
    clients.upstream.default = answer(b'{"input_tokens":77}', headers={"Content-Type": "application/json"})
    assert (await clients.node("vendors_sdks", "messagesCounted", model))["input_tokens"] == 77


@EITHER
async def test_sdk_lists_models(clients: Clients, model: str) -> None:
    assert await clients.node("vendors_sdks", "listed", model) == 2


@EITHER
async def test_sdk_does_not_ask_again_for_what_may_be_paid(clients: Clients, model: str) -> None:
    clients.upstream.default = PAID
    ended = await clients.node("vendors_sdks", "refused", model)
    assert ended == [["InternalServerError", 502]] * 3
    assert len(clients.requests) == 3


PROVIDERS = pytest.mark.parametrize("provider", ["responses", "chat", "compatible", "messages"])


@EITHER
@PROVIDERS
@pytest.mark.parametrize("work", ["generate", "stream"])
async def test_ai_sdk_calls_a_tool(clients: Clients, provider: str, work: str, model: str) -> None:
    play_tools(clients)
    ended = await clients.node("ai_sdk", provider, work, model)
    assert ended["text"].endswith("It rains.")
    assert len(clients.requests) == 2
    assert b"rain in Oslo" in clients.requests[1].body


@EITHER
@PROVIDERS
async def test_ai_sdk_makes_an_object(clients: Clients, provider: str, model: str) -> None:
    clients.upstream.play(*said(Turn(json.dumps(VALUE))))
    assert await clients.node("ai_sdk", provider, "object", model) == VALUE
    assert len(clients.requests) == 1


@PROVIDERS
async def test_ai_sdk_with_a_real_model(clients_of_local_model: Clients, provider: str) -> None:
    assert (await clients_of_local_model.node("ai_sdk", provider, "plain", LOCAL_MODEL))["text"]
