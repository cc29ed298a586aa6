"""Base URLs as people write them, for every kind of server: with the version and without it, and with a call's path."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from proto import models_pb2
from services.models.access.credential_bounds import CredentialBounds
from services.models.access.credentials import Credentials
from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendors import VENDORS
from services.models.custom_models.registration import build_registered_model
from services.models.providers.base import Target
from services.models.providers.chat import chat, chat_stream
from services.models.providers.client import Exchange
from services.models.providers.http_request import HttpRequest
from services.models.routing.registered_target import registered_target
from services.models.settings import Settings
from services.models.transport.api_roots import RootMemory, api_roots, normalize_base_url
from services.models.transport.base_urls import BaseUrl
from services.models.transport.client import HttpClient
from services.models.transport.payload import KEPT_BYTES
from services.shared import errors
from tests.rows import for_each
from tests.scripted_upstream import Received, Script, ScriptedUpstream, answer, event_stream, json_answer
from tests.wire.adapters import JSON, talk
from tests.wire.dialects import HELLO, encode
from tests.wire.speeches.chat_completions import OpenAISpeech
from tests.wire.speeches.messages import AnthropicSpeech

ADAPTERS: dict[str, tuple[str, Any]] = {
    "openai": ("/chat/completions", OpenAISpeech()),
    "openai-compatible": ("/chat/completions", OpenAISpeech()),
    "vllm": ("/chat/completions", OpenAISpeech()),
    "anthropic": ("/messages", AnthropicSpeech()),
}

NOT_FOUND: dict[str, Script] = {
    "FastAPI": json_answer({"detail": "Not Found"}, status=404),
    "nginx": answer(b"<html><h1>404 Not Found</h1></html>", status=404),
    "nothing": answer(b"", status=404),
    "Anthropic": json_answer(
        {"type": "error", "error": {"type": "not_found_error", "message": "Not Found"}}, status=404
    ),
    "another method": json_answer({"detail": "Method Not Allowed"}, status=405),
}


@pytest.fixture
async def transport() -> AsyncIterator[HttpClient]:
    transport = HttpClient()
    yield transport
    await transport.close()


def serving(path: str, adapter: str, elsewhere: Script = NOT_FOUND["FastAPI"]) -> Callable[[Received], Script]:
    """What a server plays that has this path alone."""
    speech = ADAPTERS[adapter][1]
    whole, stream = answer(encode(speech.body(HELLO)), headers=JSON), event_stream(*speech.events(HELLO))

    def play(received: Received) -> Script:
        if received.path != path:
            return elsewhere
        return stream if received.json().get("stream") else whole

    return play


def target_of(url: str, adapter: str, credentials: Credentials | None = None, **fields: Any) -> Target:
    request = models_pb2.RegisterModelRequest(name="mine", endpoint=url, adapter_type=adapter, **fields)
    return registered_target(build_registered_model(request, credentials or Credentials()), credentials)


def paths(upstream: ScriptedUpstream) -> list[str]:
    return [request.path for request in upstream.requests]


async def ask_both(transport: HttpClient, target: Target) -> None:
    response = await chat(transport, target, talk())
    chunks = [chunk async for chunk in chat_stream(transport, target, talk())]
    assert response.text == chunks[-1].response.text == "Hello wörld \U0001f600"


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("prefix", ["", "/team/llm"])
@pytest.mark.parametrize("version", ["/v1", ""])
async def test_base_url_works_however_it_is_written(
    upstream: ScriptedUpstream, transport: HttpClient, adapter: str, prefix: str, version: str
) -> None:
    """Whether the API has the version in its path or not, and whether the base URL has."""
    call = ADAPTERS[adapter][0]
    upstream.default = serving(f"{prefix}{version}{call}", adapter)
    for written in ("", "/", "/v1", "/v1/", f"/v1{call}", f"/v1{call}/", call):
        await ask_both(transport, target_of(f"{upstream.url}{prefix}{written}", adapter))


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_right_place_is_asked_first_once_it_is_known(
    upstream: ScriptedUpstream, transport: HttpClient, adapter: str
) -> None:
    call = ADAPTERS[adapter][0]
    upstream.default = serving(call, adapter)
    target = target_of(f"{upstream.url}/v1", adapter)
    await ask_both(transport, target)
    assert paths(upstream) == [f"/v1{call}", call, call]
    # A server that has moved is found again.
    upstream.default = serving(f"/v1{call}", adapter)
    await ask_both(transport, target)
    assert paths(upstream)[3:] == [call, f"/v1{call}", f"/v1{call}"]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("server", NOT_FOUND)
async def test_path_that_is_nowhere_is_named(
    upstream: ScriptedUpstream, transport: HttpClient, adapter: str, server: str
) -> None:
    call = ADAPTERS[adapter][0]
    upstream.default = NOT_FOUND[server]
    for ask in (chat, first_chunk):
        with pytest.raises(errors.PreconditionFailed) as caught:
            await ask(transport, target_of(f"{upstream.url}/v1", adapter), talk())
        assert caught.value.reason == "UPSTREAM_PATH_NOT_FOUND"
        assert caught.value.metadata["path"] == f"/v1{call}"
        assert f"POST /v1{call} and {call} were tried" in caught.value.message
        assert "127.0.0.1" not in caught.value.message


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_model_that_is_not_there_is_not_looked_for_elsewhere(
    upstream: ScriptedUpstream, transport: HttpClient, adapter: str
) -> None:
    told = {"error": {"type": "not_found_error", "message": "model: mine"}}
    upstream.default = json_answer(told, status=404)
    for ask in (chat, first_chunk):
        with pytest.raises(errors.PreconditionFailed) as caught:
            await ask(transport, target_of(f"{upstream.url}/v1", adapter), talk())
        assert caught.value.reason == "UPSTREAM_MODEL_NOT_FOUND"
        assert "path" not in caught.value.metadata
    assert len(upstream.requests) == 2


async def first_chunk(transport: HttpClient, target: Target, conversation: Any) -> None:
    async for _ in chat_stream(transport, target, conversation):
        return


async def test_key_goes_only_where_it_is_bound(
    upstream: ScriptedUpstream, transport: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE_API_KEY", "secret-key")
    bound = CredentialBounds({"MINE_API_KEY": [BaseUrl.of(f"{upstream.url}/v1")]})
    credential = models_pb2.Credential(env_var="MINE_API_KEY")
    upstream.default = serving("/chat/completions", "vllm")
    for written in ("/v1", "/v1/chat/completions"):
        target = target_of(f"{upstream.url}{written}", "vllm", Credentials(bounds=bound), credential=credential)
        with pytest.raises(errors.PreconditionFailed):
            await chat(transport, target, talk())
    assert set(paths(upstream)) == {"/v1/chat/completions"}
    with pytest.raises(errors.InvalidRequest):
        target_of(upstream.url, "vllm", Credentials(bounds=bound), credential=credential)


async def test_body_that_is_let_go_of_is_not_sent_twice(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    """The next call goes to the other place at once."""
    upstream.default = serving("/chat/completions", "vllm")
    target = target_of(f"{upstream.url}/v1", "vllm")
    large = talk(messages=[models_pb2.ChatMessage(role="user", content="x" * (KEPT_BYTES + 1))])
    with pytest.raises(errors.PreconditionFailed) as caught:
        await chat(transport, target, large)
    assert caught.value.reason == "UPSTREAM_PATH_NOT_FOUND"
    await chat(transport, target, large)
    assert paths(upstream) == ["/v1/chat/completions", "/chat/completions"]


async def test_refusal_elsewhere_does_not_move_what_has_worked(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    """Of a verb that the server does not have: it refuses any path outside its API for want of a key."""
    refused = json_answer({"error": {"message": "no key"}}, status=401)

    def play(request: Received) -> Script:
        if request.path.startswith("/v1"):
            return serving("/v1/chat/completions", "vllm")(request)
        return refused

    upstream.default = play
    target = target_of(f"{upstream.url}/v1", "vllm")
    await chat(transport, target, talk())
    with pytest.raises(errors.PlatformError):
        async with Exchange(transport, target) as exchange:
            await exchange.post(HttpRequest("/other", b"{}"))
    await chat(transport, target, talk())
    assert paths(upstream) == ["/v1/chat/completions", "/v1/other", "/other", "/v1/chat/completions"]


@for_each(
    ("written", "without_version", "places"),
    [
        ("http://a", False, ["http://a/v1", "http://a"]),
        ("http://a:8000/", False, ["http://a:8000/v1", "http://a:8000"]),
        ("http://a/v1", False, ["http://a/v1", "http://a"]),
        ("http://a/v1/chat/completions/", False, ["http://a/v1", "http://a"]),
        ("http://a/llm/responses", False, ["http://a/llm", "http://a/llm/v1"]),
        ("http://a/llm", True, ["http://a/llm/v1", "http://a/llm"]),
        ("http://a/v1/messages", True, ["http://a/v1", "http://a"]),
        ("https://open.bigmodel.cn/api/paas/v4", False, ["https://open.bigmodel.cn/api/paas/v4"]),
        ("https://a/v1beta/openai/", False, ["https://a/v1beta/openai"]),
    ],
)
def test_places(written: str, without_version: bool, places: list[str]) -> None:
    assert list(api_roots(written, without_version=without_version)) == places
    assert json.dumps(normalize_base_url(written)) in json.dumps(places)


def test_places_are_remembered_within_bounds() -> None:
    places = RootMemory()
    for number in range(5000):
        places.remember((f"a{number}", "b"), "b", by_success=False)
    assert places.in_order(("a4999", "b")) == ("b", "a4999")
    assert places.in_order(("a0", "b")) == ("a0", "b")


@pytest.mark.parametrize("written", ["", "/", "/v1", "/v1/", "/v1/{call}"])
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
async def test_vendors_base_url_works_however_it_is_written(
    upstream: ScriptedUpstream, transport: HttpClient, vendor: str, written: str
) -> None:
    call = ADAPTERS[vendor][0]
    url = upstream.url + written.format(call=call.strip("/"))
    upstream.default = serving(f"/v1{call}", vendor)
    settings = {f"{vendor.upper()}_BASE_URL": url, f"{vendor.upper()}_API_KEY": "sk-test"}
    provider = ProviderRegistry(Settings.model_validate(settings).accounts()).get(VENDORS[vendor], "m")
    await ask_both(transport, provider.target("m"))
    assert all(place.startswith(upstream.url) for place in provider.api_roots)
