"""Forwarding: where the server speaks the client's dialect, the request and the answer are the same bytes on both
sides, and the platform knows all the same what was used and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from proto import content_pb2, content_pb2_grpc, usage_pb2
from tests.rows import for_each
from tests.scripted_upstream import (
    Ending,
    ScriptedUpstream,
    answer,
    event,
    event_stream,
    in_pieces,
    json_answer,
    no_answer,
)
from tests.services.log_file import LogFile
from tests.services.model_service import (
    END,
    ModelService,
    anthropic_message,
    completion,
    model_service,
    piece,
    registration,
    streamed_completion,
    streamed_message,
)

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"

ODD_BODY = b"""{ "new_field" : [1.0, 1e2, "\\u00e9"],\t"messages":[{"role":"user","content":"Hi"}],
  "model" :  "%s", "metadata":{"model":"inner"} }"""
"""A body as no encoder of ours writes it."""


def body_of(model: str, **members: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 10, **members}


async def read_cut(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> bytes:
    """What a client gets of a stream that has no end."""
    got = b""

    async def read() -> None:
        nonlocal got
        async with client.stream("POST", path, json=body) as response:
            async for data in response.aiter_bytes():
                got += data

    with pytest.raises(httpx.RemoteProtocolError):
        await read()
    return got


BEGUN = event({"type": "message_start", "message": {**anthropic_message(), "content": []}}, "message_start")
SPOKEN = BEGUN + "".join(
    event({"index": 0, **content}, content["type"])
    for content in (
        {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
    )
)
"""The first events of a message, without its first output and with it."""


@for_each("sent", [": it works\n\n", BEGUN, event({"type": "ping"}, "ping")])
async def test_stream_that_breaks_off_before_any_output_has_a_status(
    client: httpx.AsyncClient, upstream: ScriptedUpstream, sent: str
) -> None:
    """It may have been paid for: only before the events can clients be told not to ask again."""
    upstream.play(event_stream(sent, ending=Ending.CUT))
    response = await client.post(MESSAGES, json=body_of("claude-sonnet-4-6", stream=True))
    assert (response.status_code, response.headers["x-should-retry"]) == (502, "false")


@for_each(
    ("path", "model", "sent"),
    [
        (CHAT, b"gpt-4o", b"gpt-4o"),
        (CHAT, b"fast", b"gpt-4o"),
        (MESSAGES, b"claude-sonnet-4-6", b"claude-sonnet-4-6"),
        (MESSAGES, b"clever", b"claude-sonnet-4-6"),
    ],
    ids=str,
)
async def test_body_goes_on_byte_for_byte_but_for_the_model(
    client: httpx.AsyncClient, upstream: ScriptedUpstream, path: str, model: bytes, sent: bytes
) -> None:
    upstream.play(json_answer(completion() if path == CHAT else anthropic_message()))
    response = await client.post(path, content=ODD_BODY % model)
    assert response.status_code == 200, response.text
    assert upstream.requests[-1].body == ODD_BODY % sent


async def test_answer_comes_back_byte_for_byte_with_the_name_that_was_asked_for(
    client: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    written = json.dumps({"new": 1.0, **completion()}, indent=3).encode()
    upstream.play(answer(written, headers={"Content-Type": "application/json"}))
    response = await client.post(CHAT, json=body_of("fast"))
    assert response.content == written.replace(b'"gpt-4o-2024-08-06"', b'"fast"')
    assert response.headers["x-genai-model"] == "gpt-4o-2024-08-06"
    assert response.headers["x-genai-provider"] == "openai"
    assert int(response.headers["x-genai-cost-nano-usd"]) > 0


async def test_keys_of_the_client_stay_here_and_headers_of_the_dialect_go_on(
    client: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    upstream.play(json_answer(anthropic_message()))
    headers = {"anthropic-beta": "new-thing-2026-11-01", "anthropic-version": "2026-10-21", "x-other": "kept here"}
    await client.post(MESSAGES, json=body_of("claude-sonnet-4-6"), headers=headers)
    got = upstream.requests[-1].headers
    assert got["anthropic-beta"] == "new-thing-2026-11-01"
    assert got["anthropic-version"] == "2026-10-21"
    assert got["x-api-key"] == "sk-test-anthropic"
    assert "x-other" not in got
    assert "sk-of-the-client" not in str(got)


BETAS = [("anthropic-beta", "one-2026-01-01"), ("x-other", "1"), ("anthropic-beta", "two-2026-01-01, three-2026-01-01")]


@for_each("model", ["claude-sonnet-4-6", "translated"])
async def test_repeated_field_goes_on_as_one_list_in_order(
    service: ModelService, upstream: ScriptedUpstream, model: str
) -> None:
    """Each field of a kind, of any client, forwarded and translated."""
    upstream.play(json_answer(anthropic_message()))
    translated = [("x-genai-route", "translate")] if model == "translated" else []
    async with httpx.AsyncClient(trust_env=False) as client:
        body = body_of("claude-sonnet-4-6")
        response = await client.post(service.url + MESSAGES, json=body, headers=[*BETAS, *translated])
    assert response.status_code == 200, response.text
    sent = upstream.requests[-1].headers["anthropic-beta"]
    assert sent == "one-2026-01-01,two-2026-01-01, three-2026-01-01"


@for_each("name", ["a\r\nx-evil: 1", "\x00", "模型"])
async def test_name_of_a_model_is_no_header_field(
    client: httpx.AsyncClient, upstream: ScriptedUpstream, name: str
) -> None:
    upstream.play(json_answer({**completion(), "model": name}))
    response = await client.post(CHAT, json=body_of("gpt-4o"))
    assert response.status_code == 200
    assert "x-evil" not in response.headers
    assert response.headers["x-genai-model"] == "".join(c if " " <= c <= "~" else "?" for c in name)


async def test_stream_comes_back_byte_for_byte(client: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    events = [piece("Hel"), piece("lo"), END]
    upstream.play(event_stream(*events))
    asked = body_of("gpt-4o", stream=True, stream_options={"include_usage": True})
    response = await client.post(CHAT, json=asked)
    expected = "".join(events).replace("gpt-4o-2024-08-06", "gpt-4o")
    assert response.text.replace('"model":"gpt-4o"', '"model": "gpt-4o"') == expected
    assert response.headers["content-type"].startswith("text/event-stream")


async def test_stream_with_other_ends_of_lines_comes_back_byte_for_byte(
    client: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    written = [
        text.replace("gpt-4o-2024-08-06", "gpt-4o").replace('"model": ', '"model":') for text in (piece("Hi"), END)
    ]
    written = [text.replace("\n", "\r\n") for text in written]
    upstream.play(event_stream(*written))
    asked = body_of("gpt-4o", stream=True, stream_options={"include_usage": True})
    response = await client.post(CHAT, json=asked)
    assert response.text == "".join(written)


async def test_usage_that_the_client_has_not_asked_for_is_counted_and_not_sent(
    client: httpx.AsyncClient, upstream: ScriptedUpstream, log_file: LogFile
) -> None:
    upstream.play(streamed_completion(piece("Hi")))
    response = await client.post(CHAT, json=body_of("gpt-4o", stream=True))
    assert upstream.requests[-1].json()["stream_options"] == {"include_usage": True}
    assert "usage" not in response.text
    assert response.text.endswith("data: [DONE]\n\n")
    (line,) = await log_file.calls(1)
    assert line["method"] == "http/chat_completions"
    assert (line["prompt_tokens"], line["completion_tokens"]) == (9, 4)


async def test_stream_of_messages_names_the_model_that_was_asked_for(
    client: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    upstream.play(streamed_message("Hel", "lo"))
    response = await client.post(MESSAGES, json=body_of("clever", stream=True))
    start, *_ = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    assert start["message"]["model"] == "clever"
    assert response.text.count("content_block_delta") == 4
    assert "message_stop" in response.text


@for_each(
    ("path", "model", "ending"),
    [(CHAT, "gpt-4o", ending) for ending in (Ending.CUT, Ending.RESET, Ending.CLEAN)]
    + [(MESSAGES, "claude-sonnet-4-6", ending) for ending in (Ending.CUT, Ending.CLEAN)],
    ids=str,
)
async def test_stream_without_its_end_never_looks_whole(
    client: httpx.AsyncClient, upstream: ScriptedUpstream, path: str, model: str, ending: Ending
) -> None:
    first = piece("Hi") if path == CHAT else SPOKEN
    upstream.play(event_stream(first, ending=ending))
    got = await read_cut(client, path, body_of(model, stream=True))
    assert b'"error"' in got
    assert b"[DONE]" not in got
    assert b"message_stop" not in got


async def test_error_event_is_in_the_platforms_words(client: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    fault = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded sk-test-anthropic"}}
    upstream.play(event_stream(SPOKEN, event(fault, "error"), ending=Ending.CUT))
    got = await read_cut(client, MESSAGES, body_of("claude-sonnet-4-6", stream=True))
    assert got.count(b'"error":{') == 1
    assert b"sk-test" not in got


async def test_refusal_of_the_server_keeps_its_meaning(client: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    upstream.play(
        json_answer({"error": {"message": "Too fast", "type": "requests"}}, status=429, headers={"Retry-After": "7"})
    )
    response = await client.post(CHAT, json=body_of("gpt-4o"))
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "rate_limit_exceeded"
    assert response.headers["retry-after"] == "7"


async def test_client_that_leaves_ends_the_request(
    client: httpx.AsyncClient, upstream: ScriptedUpstream, log_file: LogFile
) -> None:
    gate = asyncio.Event()
    rows = {
        "whole": (no_answer(), False),
        "before the first event": (no_answer(), True),
        "in the stream": (event_stream(piece("Hi"), gate), True),
    }
    for count, (script, streams) in enumerate(rows.values(), 1):
        upstream.play(script)
        asking = asyncio.create_task(client.post(CHAT, json=body_of("gpt-4o", stream=streams)))
        request = await upstream.received(count)
        asking.cancel()
        left = asyncio.get_running_loop().time()
        assert await request.closed_by_peer() - left < 1
    gate.set()
    assert len(upstream.requests) == len(rows)


async def test_client_that_leaves_behind_a_large_body_ends_the_request(
    client: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    """The last read of a large body may come while the one before it is being taken."""
    upstream.default = no_answer()
    body = body_of("gpt-4o", user="x" * 200_000)
    for count in range(1, 6):
        asking = asyncio.create_task(client.post(CHAT, json=body))
        request = await upstream.received(count)
        asking.cancel()
        await request.closed_by_peer(2)


async def test_ledger_has_each_forwarded_chat_once(
    client: httpx.AsyncClient, service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(json_answer(completion()), streamed_completion(piece("Hi")))
    for streams in (False, True):
        await client.post(CHAT, json=body_of("gpt-4o", stream=streams))
    usage = await service.usage.GetMyUsage(usage_pb2.GetMyUsageRequest())
    assert usage.today.calls == 2


async def test_fallback_at_a_server_of_another_dialect_is_translated(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    settings = {"MODELS_MAX_ATTEMPTS": "2", "MODELS_FALLBACKS": "gpt-4o=claude-sonnet-4-6"}
    down = json_answer({"error": {"message": "down"}}, status=503)
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(model_service(tmp_path, upstream, http={}, **settings))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=service.url, trust_env=False))
        upstream.play(down, json_answer(anthropic_message("From Claude")))
        whole = await client.post(CHAT, json=body_of("gpt-4o"))
        upstream.play(down, streamed_message("From ", "Claude"))
        streamed = await client.post(CHAT, json=body_of("gpt-4o", stream=True))
    assert whole.json()["choices"][0]["message"]["content"] == "From Claude"
    assert "FALLBACK_SERVED" in whole.headers["x-genai-warnings"]
    assert '"content":"From "' in streamed.text
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert [request.path for request in upstream.requests] == [CHAT, MESSAGES] * 2
    assert "new_field" not in upstream.requests[1].json()


async def test_next_attempt_begins_the_answer(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    fault = event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")
    settings = {"MODELS_MAX_ATTEMPTS": "2", "MODELS_FALLBACKS": "claude-sonnet-4-6=claude-opus-4-8"}
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(model_service(tmp_path, upstream, http={}, **settings))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=service.url, trust_env=False))
        upstream.play(event_stream(BEGUN, fault), streamed_message("Hel", "lo"))
        response = await client.post(MESSAGES, json=body_of("claude-sonnet-4-6", stream=True))
    assert len(upstream.requests) == 2
    assert response.text.count("event: message_start") == 1
    assert response.text.count("event: message_stop") == 1


async def test_document_in_the_place_of_events_is_written_as_events(
    client: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    upstream.play(json_answer(completion("Hello")))
    response = await client.post(CHAT, json=body_of("gpt-4o", stream=True))
    assert '"content":"Hello"' in response.text
    assert response.text.endswith("data: [DONE]\n\n")


async def test_content_that_may_be_captured_is_read(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """What is forwarded unread could not be kept."""
    upstream.play(json_answer(completion("Kept.")))
    async with model_service(tmp_path, upstream, http={}, CAPTURE="all") as service:
        asking = functools.partial(httpx.post, service.url + CHAT, json=body_of("gpt-4o"), trust_env=False)
        response = await asyncio.to_thread(asking)
        call_id = response.json()["id"].removeprefix("chatcmpl-")
        stub = content_pb2_grpc.ContentServiceStub(service.channel)
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    kept = await stub.GetContent(content_pb2.GetContentRequest(call_id=call_id))
                    break
                await asyncio.sleep(0.01)
    assert "Hi" in str(kept)
    assert "Kept." in str(kept)


@for_each(
    "members",
    [
        '"model": "gpt-4o-mini", "model": "gpt-4o"',
        '"model": "gpt-4o", "Model": "gpt-4o-mini"',
        '"mod\\u0065l": "gpt-4o-mini", "model": "gpt-4o"',
        '"MODE\\u004C": "gpt-4o-mini", "model": "gpt-4o"',
        '"MODEL": "gpt-4o"',
        '"metadata": {"model": "a"}, "metadata": {}, "model": "gpt-4o"',
    ],
)
async def test_body_names_one_model(client: httpx.AsyncClient, upstream: ScriptedUpstream, members: str) -> None:
    """Of several names, servers take different ones; the one that is allowed must be the one that answers."""
    for more in ("", ', "genai": {"route": "translate"}'):
        body = f'{{{members}, "messages": [{{"role": "user", "content": "Hi"}}]{more}}}'
        response = await client.post(CHAT, content=body)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "model"
    assert not upstream.requests


@for_each(
    "members",
    ['"mod\\u0065l": "gpt-4o"', '"model": "gpt-4o", "user": "model", "metadata": {"model": "x", "Model": "y"}'],
)
async def test_other_members_may_say_model(client: httpx.AsyncClient, upstream: ScriptedUpstream, members: str) -> None:
    upstream.play(json_answer(completion()))
    response = await client.post(CHAT, content=f'{{{members}, "messages": [{{"role": "user", "content": "Hi"}}]}}')
    assert response.status_code == 200


@for_each("options", [None, {}, {"include_usage": False}])
async def test_usage_cannot_be_declined(
    client: httpx.AsyncClient, upstream: ScriptedUpstream, options: dict[str, Any] | None
) -> None:
    upstream.play(streamed_completion(piece("Hi")))
    response = await client.post(CHAT, json=body_of("gpt-4o", stream=True, stream_options=options))
    assert response.status_code == 200
    assert upstream.requests[-1].body.count(b"stream_options") == 1
    assert upstream.requests[-1].json()["stream_options"] == {"include_usage": True}
    assert "total_tokens" not in response.text


async def test_answer_that_nobody_would_account_for_is_refused(
    client: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    response = await client.post("/v1/responses", json={"model": "gpt-4o", "input": "Hi", "background": True})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "background"
    assert not upstream.requests


@for_each("value", [b"caf\xe9", b"a\tb", b"x" * 5000], ids=["not ASCII", "a tab", "too long"])
async def test_header_field_that_may_not_be_sent(
    client: httpx.AsyncClient, upstream: ScriptedUpstream, value: bytes
) -> None:
    headers = {b"anthropic-beta": value, b"content-type": b"application/json"}
    response = await client.post(MESSAGES, json=body_of("claude-sonnet-4-6"), headers=headers)
    assert response.status_code == 400
    assert "anthropic-beta" in response.json()["error"]["message"]
    assert not upstream.requests


WHOLE = json.dumps(completion()).encode()


@for_each(
    "written",
    [
        b"\xef\xbb\xbf" + WHOLE,
        WHOLE.replace(b"Hi.", b"Hi.\\ud800"),
        (piece("Hi.") + END).encode(),
    ],
    ids=["a byte order mark", "half a character", "events"],
)
async def test_answer_in_another_form_is_translated(
    client: httpx.AsyncClient, upstream: ScriptedUpstream, written: bytes
) -> None:
    upstream.play(answer(written, headers={"Content-Type": "application/json"}))
    response = await client.post(CHAT, json=body_of("fast"))
    assert response.status_code == 200
    assert response.json()["model"] == "fast"
    assert response.json()["choices"][0]["message"]["content"].startswith("Hi.")


def _texts(stream: str) -> str:
    """The text of a stream of Chat Completions, as a client reads it."""
    text = ""
    for line in stream.splitlines():
        if line.startswith("data: {"):
            text += "".join(c["delta"].get("content") or "" for c in json.loads(line[6:])["choices"])
    return text


@for_each("end", ["\r", "\r\n", "\n"], ids=["CR", "CR LF", "LF"])
@for_each("size", [1, 7, 100_000])
async def test_lines_may_have_any_end(
    client: httpx.AsyncClient, upstream: ScriptedUpstream, end: str, size: int
) -> None:
    upstream.play(in_pieces(event_stream(*((piece("Hi") + piece("!") + END).replace("\n", end),)), size))
    response = await client.post(CHAT, json=body_of("fast", stream=True))
    assert _texts(response.text) == "Hi!"
    assert "total_tokens" not in response.text
    assert response.text.rstrip().endswith("[DONE]")


async def test_lines_of_json_are_translated(client: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    lines = "".join(line[6:] + "\n" for line in (piece("Hi") + END).split("\n") if line.startswith("data: {"))
    upstream.play(event_stream(lines), answer(b"\xef\xbb\xbf" + WHOLE))
    assert [_texts((await client.post(CHAT, json=body_of("fast", stream=True))).text) for _ in range(2)] == [
        "Hi",
        "Hi.",
    ]


async def test_nothing_comes_behind_the_end(client: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    upstream.play(event_stream(piece("Hi"), END + piece("more")))
    response = await client.post(CHAT, json=body_of("gpt-4o", stream=True))
    assert _texts(response.text) == "Hi"
    *events, end = streamed_message("Hi").body
    upstream.play(event_stream(*events, str(end) + "".join(map(str, events))))
    response = await client.post(MESSAGES, json=body_of("claude-sonnet-4-6", stream=True))
    assert response.text.count("message_start") == 2
    assert response.text.endswith(str(end))


async def test_last_event_is_closed_for_its_client(client: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    *events, end = streamed_message("Hi").body
    upstream.play(event_stream(*events, str(end).rstrip("\n")))
    response = await client.post(MESSAGES, json=body_of("claude-sonnet-4-6", stream=True))
    assert response.text.endswith(str(end))


async def test_note_for_anthropics_billing_goes_to_no_other_server(
    service: ModelService, client: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    note = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=1a2b3;"}
    system = [note, {"type": "text", "text": "Be brief."}]
    upstream.play(json_answer(anthropic_message()))
    await client.post(MESSAGES, json=body_of("claude-sonnet-4-6", system=system))
    assert upstream.requests[-1].json()["system"] == system
    upstream.play(json_answer({}), json_answer(anthropic_message()))
    await service.stub.RegisterModel(registration(upstream, adapter_type="anthropic"))
    response = await client.post(MESSAGES, json=body_of("mine", system=system))
    assert response.status_code == 200, response.text
    assert b"billing" not in upstream.requests[-1].body
    assert b"Be brief." in upstream.requests[-1].body
