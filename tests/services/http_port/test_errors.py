"""Errors over HTTP: each failure of a provider has one status and one word in each dialect, and no client asks again
what may have been paid for."""

from __future__ import annotations

from typing import Any, NamedTuple

import httpx
import pytest

from tests.rows import for_each
from tests.scripted_upstream import Ending, Script, ScriptedUpstream, answer, event_stream, json_answer
from tests.services.model_service import ModelService, piece

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
OPENAI_MODEL, ANTHROPIC_MODEL = "gpt-4o", "claude-sonnet-4-6"
WAYS = [(path, model) for path in (CHAT, MESSAGES) for model in (OPENAI_MODEL, ANTHROPIC_MODEL)]
"""Forwarded and translated, in both directions."""


class Row(NamedTuple):
    script: Script
    openai: tuple[int, str, str | None]
    """Status, type and code to OpenAI's clients."""
    anthropic: tuple[int, str]
    may_retry: bool


def failure(status: int, message: str = "no", kind: str = "x", **headers: str) -> Script:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return json_answer({"type": "error", "error": {"type": kind, "message": message}}, status=status, headers=fields)


TOO_LONG = "prompt is too long: 205001 tokens > 200000 maximum"

ROWS = {
    "invalid": Row(failure(400), (400, "invalid_request_error", None), (400, "invalid_request_error"), True),
    "too long": Row(
        failure(400, TOO_LONG, "invalid_request_error"),
        (400, "invalid_request_error", "context_length_exceeded"),
        (400, "invalid_request_error"),
        True,
    ),
    "our key is wrong": Row(failure(401), (503, "server_error", "not_configured"), (503, "api_error"), False),
    "our account is empty": Row(
        failure(402), (429, "insufficient_quota", "insufficient_quota"), (402, "billing_error"), False
    ),
    "no such model": Row(
        failure(404), (404, "invalid_request_error", "model_not_found"), (404, "not_found_error"), False
    ),
    "too large": Row(
        failure(413), (413, "invalid_request_error", "request_too_large"), (413, "request_too_large"), False
    ),
    "too many": Row(
        failure(429, retry_after="3"), (429, "requests", "rate_limit_exceeded"), (429, "rate_limit_error"), True
    ),
    "overloaded": Row(failure(529), (503, "server_error", "server_is_overloaded"), (529, "overloaded_error"), True),
    "failed": Row(failure(500), (502, "server_error", "server_error"), (502, "api_error"), True),
    "gateway timeout": Row(failure(504), (504, "server_error", "timeout"), (504, "timeout_error"), False),
    "cut": Row(
        json_answer({"choices": []}, ending=Ending.CUT),
        (502, "server_error", "server_error"),
        (502, "api_error"),
        False,
    ),
    "no JSON": Row(
        answer(b"<html>", headers={"Content-Type": "text/html"}),
        (502, "server_error", "server_error"),
        (502, "api_error"),
        False,
    ),
}


def body_of(model: str, **members: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 10, **members}


@for_each("row", ROWS.values(), ids=ROWS)
async def test_row(client: httpx.AsyncClient, upstream: ScriptedUpstream, row: Row) -> None:
    for path, model in WAYS:
        for streams in (False, True):
            upstream.play(row.script)
            count = len(upstream.requests) + 1
            response = await client.post(path, json=body_of(model, stream=streams))
            error = response.json()["error"]
            if path == CHAT:
                assert (response.status_code, error["type"], error["code"]) == row.openai, (path, model, response.text)
            else:
                assert (response.status_code, error["type"]) == row.anthropic, (path, model, response.text)
            assert (response.headers.get("x-should-retry") != "false") is row.may_retry
            assert len(upstream.requests) == count
            assert response.headers["x-request-id"] == response.headers["request-id"]


async def test_overflow_is_in_the_words_that_start_compaction(
    client: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    for model in (OPENAI_MODEL, ANTHROPIC_MODEL):
        upstream.play(ROWS["too long"].script)
        response = await client.post(MESSAGES, json=body_of(model))
        assert response.json()["error"]["message"].startswith("prompt is too long")


@for_each("name", [name for name, row in ROWS.items() if not row.may_retry])
async def test_sdks_do_not_ask_again(service: ModelService, upstream: ScriptedUpstream, name: str) -> None:
    import anthropic
    import openai

    messages: Any = [{"role": "user", "content": "Hi"}]
    async with (
        openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="sk-any") as one,
        anthropic.AsyncAnthropic(base_url=service.url, api_key="sk-any") as other,
    ):
        for model in (OPENAI_MODEL, ANTHROPIC_MODEL):
            upstream.play(ROWS[name].script, ROWS[name].script)
            count = len(upstream.requests)
            with pytest.raises(openai.APIStatusError):
                await one.chat.completions.create(model=model, messages=messages)
            with pytest.raises(anthropic.APIStatusError):
                await other.messages.create(model=model, messages=messages, max_tokens=9)
            assert len(upstream.requests) == count + 2


async def test_stream_that_breaks_is_an_error_to_the_sdks_and_is_asked_for_once(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    import anthropic
    import openai

    messages: Any = [{"role": "user", "content": "Hi"}]
    upstream.play(event_stream(piece("Hel"), ending=Ending.CUT), event_stream(piece("Hel"), ending=Ending.CUT))
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="sk-any") as client:
        stream = await client.chat.completions.create(model=OPENAI_MODEL, messages=messages, stream=True)
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]
    async with anthropic.AsyncAnthropic(base_url=service.url, api_key="sk-any") as other:
        started = await other.messages.create(model=OPENAI_MODEL, messages=messages, max_tokens=9, stream=True)
        with pytest.raises(anthropic.APIError):
            [event async for event in started]
    assert len(upstream.requests) == 2
