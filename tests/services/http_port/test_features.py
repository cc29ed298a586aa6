"""The platform's own features over HTTP: prompts, fallbacks, previews and the rest, by header field or member."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from proto import models_pb2, sessions_pb2
from tests.rows import for_each
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.model_service import (
    ModelService,
    anthropic_message,
    completion,
    model_service,
    piece,
    streamed_completion,
)
from tests.services.session_service import served

CHAT = "/v1/chat/completions"


def body_of(**members: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], **members}


PROMPTED: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "by header": ({"x-genai-prompt": "greeter@1"}, {}),
    "by label": ({"x-genai-prompt": "greeter@live"}, {}),
    "by member": ({}, {"genai": {"prompt": {"name": "greeter", "version": 1}}}),
    "the member wins": ({"x-genai-prompt": "nobody"}, {"genai": {"prompt": {"name": "greeter"}}}),
}


@for_each(("headers", "members"), PROMPTED.values(), ids=PROMPTED)
async def test_prompt(
    service: ModelService,
    client: httpx.AsyncClient,
    upstream: ScriptedUpstream,
    headers: dict[str, str],
    members: dict[str, Any],
) -> None:
    await service.stub.RegisterPrompt(models_pb2.RegisterPromptRequest(name="greeter", content="Greet!"))
    await service.stub.SetPromptLabel(models_pb2.SetPromptLabelRequest(name="greeter", label="live", version=1))
    upstream.play(json_answer(completion()))
    response = await client.post(CHAT, json=body_of(**members), headers=headers)
    assert response.status_code == 200, response.text
    assert upstream.requests[-1].json()["messages"][0] == {"role": "system", "content": "Greet!"}


async def test_fallback(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(
        json_answer({"error": {"message": "down"}}, status=503), json_answer(anthropic_message("From Claude"))
    )
    asked = body_of(genai={"fallback_models": ["claude-sonnet-4-6"]})
    async with model_service(tmp_path, upstream, http={}, MODELS_MAX_ATTEMPTS="2") as service:
        response = await asyncio.to_thread(httpx.post, service.url + CHAT, json=asked, trust_env=False)
    assert response.json()["choices"][0]["message"]["content"] == "From Claude"
    assert response.headers["x-genai-provider"] == "anthropic"
    assert "FALLBACK_SERVED" in response.headers["x-genai-warnings"]


async def test_lists_in_repeated_fields(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    down = json_answer({"error": {"message": "down"}}, status=503)
    upstream.play(down, down, json_answer(anthropic_message("From Claude")))
    names = [("x-genai-fallback-models", name) for name in ("gpt-4o-mini", "claude-sonnet-4-6")]
    async with (
        model_service(tmp_path, upstream, http={}, MODELS_MAX_ATTEMPTS="3") as service,
        httpx.AsyncClient(timeout=20, trust_env=False) as client,
    ):
        response = await client.post(service.url + CHAT, json=body_of(), headers=names)
    assert response.status_code == 200, response.text
    assert [request.json()["model"] for request in upstream.requests] == ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-6"]


async def test_chat_in_a_session(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """By header field and by member, whole and streamed, in either dialect: the platform keeps the history."""
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    async with (
        served(f"sqlite:///{sessions}/sessions.db") as kept,
        model_service(tmp_path, upstream, http={}, SESSIONS_ADDRESS=kept.address) as service,
        httpx.AsyncClient(base_url=service.url, timeout=20, trust_env=False) as client,
    ):
        await kept.create("s", user_id="ann")
        history = 0
        for path in (CHAT, "/v1/messages"):
            for streams in (False, True):
                for headers, members in (({"x-genai-session": "s"}, {}), ({}, {"genai": {"session_id": "s"}})):
                    upstream.play(streamed_completion(piece("Hi.")) if streams else json_answer(completion()))
                    body = body_of(max_tokens=10, stream=streams, **members)
                    response = await client.post(path, json=body, headers=headers)
                    assert response.status_code == 200, response.text
                    sent = [message["content"] for message in upstream.requests[-1].json()["messages"]]
                    assert sent == ["Hi", "Hi."] * history + ["Hi"]
                    history += 1
        page = await kept.call("ListMessages", sessions_pb2.ListMessagesRequest(session_id="s", page_size=100))
        assert [entry.message.content for entry in page.messages] == ["Hi", "Hi."] * history
        for path, kind in ((CHAT, "invalid_request_error"), ("/v1/messages", "not_found_error")):
            response = await client.post(path, json=body_of(max_tokens=10), headers={"x-genai-session": "none"})
            assert (response.status_code, response.json()["error"]["type"]) == (404, kind)


async def test_preview(client: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    response = await client.post(CHAT, json=body_of(model="claude-sonnet-4-6"), headers={"x-genai-preview": "true"})
    assert response.status_code == 200
    assert "/messages" in response.json()["path"]
    assert not upstream.requests


async def test_tags_are_accounted_for(client: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer(completion()))
    response = await client.post(CHAT, json=body_of(), headers={"x-genai-tags": "team=search, job=nightly"})
    assert response.status_code == 200


WRONG: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "unknown member": ({}, {"genai": {"sesion_id": "x"}}, "genai.sesion_id"),
    "wrong type": ({}, {"genai": {"fallback_models": "x"}}, "genai"),
    "no object": ({}, {"genai": [1]}, "genai"),
    "no tags": ({"x-genai-tags": "search"}, {}, "x-genai-tags"),
    "no truth": ({"x-genai-preview": "perhaps"}, {}, "x-genai-preview"),
    "no route": ({}, {"genai": {"route": "around"}}, "x-genai-route"),
}


@for_each(("headers", "members", "param"), WRONG.values(), ids=WRONG)
async def test_mistake_is_named(
    client: httpx.AsyncClient, headers: dict[str, str], members: dict[str, Any], param: str
) -> None:
    response = await client.post(CHAT, json=body_of(**members), headers=headers)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
