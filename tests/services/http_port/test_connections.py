"""Connections of the HTTP port: what strangers and slow or broken clients send ends their own connection, and says
why where HTTP has words for it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncIterator
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from services.models.http_port import connection, date_field, events, exchange
from services.models.http_port.date_field import DateField
from services.shared.proxy_protocol import write_header
from tests.rows import for_each, row
from tests.scripted_upstream import Pause, ScriptedUpstream, event_stream, json_answer
from tests.services.log_file import LogFile
from tests.services.model_service import END, ModelService, completion, model_service, piece

BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}).encode()


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes


@contextlib.asynccontextmanager
async def socket_to(service: ModelService) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def post(path: str = "/v1/chat/completions", body: bytes = BODY, **fields: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json"]
    lines += [f"content-length: {len(body)}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def answer_of(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return Answer(int(head.split(b" ")[1]), head, await reader.readexactly(length))


MALFORMED = {
    "no HTTP": b"\x00\x01\x02\x03 hello\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a length and chunks": b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd",
    "a length that is no number": b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: -4\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n",
    "a chunk without a size": b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n\r\nzz\r\n",
}


@for_each("sent", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_request_ends_its_connection(service: ModelService, sent: bytes) -> None:
    async with socket_to(service) as (reader, writer):
        writer.write(sent)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400 ") or not answer
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(service.url)).status_code == 200


async def test_head_that_is_too_large(service: ModelService) -> None:
    for sent in (b"GET /" + b"a" * 80_000, b"GET / HTTP/1.1\r\n" + b"x-a: b\r\n" * 20_000 + b"\r\n"):
        async with socket_to(service) as (reader, writer):
            writer.write(sent)
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 431 ")


async def test_head_that_does_not_come(service: ModelService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)
    for sent in (b"", b"\r\n\r\n", b"POST /v1/messages HTTP/1.1\r\nhost: loc"):
        async with socket_to(service) as (reader, writer):
            writer.write(sent)
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")


async def test_bodies_are_longer_than_heads_may_be(service: ModelService, upstream: ScriptedUpstream) -> None:
    """Coding agents send 100 KB and more, which may arrive in one read."""
    upstream.default = json_answer(completion())
    async with socket_to(service) as (reader, writer):
        for size in (70_000, 200_000, 1_000_000):
            writer.write(post(body=BODY.replace(b"Hi", b"H" * size)))
            assert (await answer_of(reader)).status == 200


async def test_answer_takes_longer_than_a_head_may(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    upstream.default = json_answer(completion(), before=[Pause(0.3)])
    async with socket_to(service) as (reader, writer):
        for _ in range(2):
            writer.write(post())
            assert (await answer_of(reader)).status == 200


async def test_body_of_an_answered_request_does_not_hold_its_connection(
    service: ModelService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)
    async with socket_to(service) as (reader, writer):
        request = post(body=b"", content_length="99999999").replace(b"content-length: 0\r\n", b"")
        writer.write(request)
        assert (await answer_of(reader)).status == 413
        writer.write(b"{")
        assert await reader.read() == b""


async def test_body_that_is_too_large_is_refused_by_its_length(service: ModelService) -> None:
    async with socket_to(service) as (reader, writer):
        writer.write(post(body=b"", content_length="99999999").replace(b"content-length: 0\r\n", b""))
        answer = await answer_of(reader)
        assert answer.status == 413
        assert b"x-should-retry: false" in answer.head


async def test_chunked_body_that_is_too_large(service: ModelService) -> None:
    head = post(body=b"", transfer_encoding="chunked").replace(b"content-length: 0\r\n", b"")
    async with socket_to(service) as (reader, writer):
        writer.write(head)
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(33):
                writer.write(chunk)
                await writer.drain()
        assert (await answer_of(reader)).status == 413


async def test_connection_is_used_again_for_any_number_of_requests(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.default = json_answer(completion())
    async with socket_to(service) as (reader, writer):
        for _ in range(3):
            writer.write(post())
            assert (await answer_of(reader)).status == 200
        # Sent together, they are answered one after the other.
        writer.write(post() + post())
        assert [(await answer_of(reader)).status for _ in range(2)] == [200, 200]


async def test_client_that_waits_for_leave_to_send_its_body(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer(completion()))
    async with socket_to(service) as (reader, writer):
        request = post(expect="100-continue")
        writer.write(request[: -len(BODY)])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await answer_of(reader)).status == 200


async def test_websocket_is_refused_with_the_status_that_agents_go_on_from(service: ModelService) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"upgrade": "websocket", "connection": "upgrade", "sec-websocket-key": "x"}
        response = await client.get(f"{service.url}/v1/responses", headers=headers)
        assert response.status_code == 426


async def test_request_that_offers_another_protocol_is_answered_in_this_one(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    """As Java's own client sends each first request of a connection."""
    upstream.default = json_answer(completion())
    request = post(connection="Upgrade, HTTP2-Settings", upgrade="h2c", http2_settings="AAMAAABkAAQAoAAAAAIAAAAA")
    async with socket_to(service) as (reader, writer):
        writer.write(request[: -len(BODY)])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(BODY + post())
        assert [(await answer_of(reader)).status for _ in range(2)] == [200, 200]
    assert [received.body for received in upstream.requests] == [BODY, BODY]


async def test_body_of_a_request_with_another_protocol_is_no_request(service: ModelService) -> None:
    hidden = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
    for request in (post(body=hidden, connection="upgrade", upgrade=name) for name in ("h2c", "websocket", "x")):
        async with socket_to(service) as (reader, writer):
            writer.write(request[: -len(hidden)])
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(hidden)
            assert (await answer_of(reader)).status in (400, 426)
            writer.write_eof()
            assert await reader.read() == b""


async def test_fields_behind_a_body_are_not_those_of_the_request(service: ModelService) -> None:
    head = post(body=b"", transfer_encoding="chunked").replace(b"content-length: 0\r\n", b"")
    body = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    async with socket_to(service) as (reader, writer):
        writer.write(head.replace(b"localhost", b"elsewhere") + body + b"host: localhost\r\n\r\n")
        assert (await answer_of(reader)).status == 403
    async with socket_to(service) as (reader, writer):
        writer.write(head + body + b"x: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(8):
                writer.write(b"x" * 50_000)
                await writer.drain()
                await asyncio.sleep(0.01)
            assert await reader.read() == b""


async def test_client_of_http_1_0_gets_a_plain_body_that_ends_with_its_connection(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    """Whole and streamed, forwarded and translated."""
    for path in ("/v1/chat/completions", "/v1/messages"):
        for streams in (False, True):
            upstream.play(event_stream(piece("Hi"), END) if streams else json_answer(completion()))
            body = json.dumps(json.loads(BODY) | {"stream": streams, "max_tokens": 9}).encode()
            async with socket_to(service) as (reader, writer):
                writer.write(post(path, body).replace(b"HTTP/1.1", b"HTTP/1.0"))
                head, _, got = (await reader.read()).partition(b"\r\n\r\n")
            with row(path, streams):
                assert head.startswith(b"HTTP/1.1 200 ")
                assert b"connection: close" in head
                assert b"transfer-encoding" not in head
                if streams:
                    assert got.startswith((b"data: {", b"event: message_start\n"))
                    assert got.endswith((b"data: [DONE]\n\n", b'data: {"type":"message_stop"}\n\n'))
                    assert all(line.startswith((b"data: ", b"event: ")) for line in got.split(b"\n") if line)
                else:
                    assert json.loads(got)["model"] == "gpt-4o"


async def test_responses_have_their_date(service: ModelService, upstream: ScriptedUpstream) -> None:
    """Whole, in events, refused by the service and by the connection."""
    upstream.play(json_answer(completion()), event_stream(piece("Hi"), END))
    streamed = json.dumps(json.loads(BODY) | {"stream": True}).encode()
    for sent in (post(), post(body=streamed), post("/nowhere"), b"\x00\r\n\r\n"):
        async with socket_to(service) as (reader, writer):
            writer.write(sent)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            (date,) = [line[6:] for line in head.split("\r\n") if line.lower().startswith("date: ")]
            age = datetime.datetime.now(datetime.UTC) - parsedate_to_datetime(date)
            assert datetime.timedelta(0) <= age < datetime.timedelta(seconds=30)


def test_date_is_written_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def write(second: float, *, usegmt: bool) -> str:
        written.append(second)
        return formatdate(second, usegmt=usegmt)

    monkeypatch.setattr(date_field, "formatdate", write)
    times = iter([0.1, 0.2, 0.9, 1.0, 1.9, 784111777.0])
    field = DateField(lambda: next(times))
    lines = [field.line() for _ in range(6)]
    assert written == [0, 1, 784111777]
    # The example of RFC 9110.
    assert lines[-1] == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


async def test_requests_before_an_answer_are_bounded(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.default = json_answer(completion(), before=[asyncio.Event()])
    async with socket_to(service) as (reader, writer):
        writer.write(post() + b"GET / HTTP/1.1\r\n\r\n" * 1000)
        assert await reader.read() == b""


async def test_refusal_reaches_a_client_that_still_sends_its_body(service: ModelService) -> None:
    body = b" " * 8 * 1024 * 1024
    async with socket_to(service) as (reader, writer):
        for path, kind, status in (("/nowhere", "application/json", 404), ("/v1/messages", "text/plain", 415)):
            writer.write(post(path, body).replace(b"application/json", kind.encode()))
            assert (await answer_of(reader)).status == status
            await writer.drain()


async def test_answer_whose_end_is_not_read_ends(
    service: ModelService, upstream: ScriptedUpstream, log_file: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "STALLED_SECONDS", 0.1)
    # With its last piece the answer is too large for the buffers of both sides.
    upstream.play(event_stream(piece("x" * 8_000_000) + END))
    body = json.dumps(json.loads(BODY) | {"stream": True}).encode()
    async with socket_to(service) as (_, writer):
        writer.write(post(body=body))
        (call,) = await log_file.calls(1)
        assert call["code"] == "CANCELLED"


async def test_relay_says_who_the_client_is(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.default = json_answer(completion())
    async with contextlib.AsyncExitStack() as stack:
        running = model_service(tmp_path, upstream, http={"max_connections": 4})
        service = await stack.enter_async_context(running)
        # Two of one client, and then one of another, who is not refused for what the first one has.
        for host, is_served in (("10.0.0.1", True), ("10.0.0.1", True), ("10.0.0.1", False), ("10.0.0.2", True)):
            reader, writer = await stack.enter_async_context(socket_to(service))
            header = write_header(host, 1234, exposed=False)
            writer.write(header[:20])
            writer.write(header[20:] + post())
            answer = await answer_of(reader)
            assert (answer.status == 200) is is_served


async def test_header_of_a_relay_that_is_not_known_is_no_http(tmp_path: Path) -> None:
    async with model_service(tmp_path, http={"relays": ()}) as service, socket_to(service) as (reader, writer):
        writer.write(write_header("10.0.0.1", 1, exposed=False) + b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_silent_answer_has_heartbeats(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEAD_SECONDS", 0.02)
    monkeypatch.setattr(events, "SILENT_SECONDS", 0.02)
    gate, second = asyncio.Event(), asyncio.Event()
    for model in ("gpt-4o", "claude-sonnet-4-6"):
        gate.clear(), second.clear()
        upstream.play(event_stream(gate, piece("Hi"), second))
        body = json.loads(BODY) | {"stream": True, "model": model}
        client = httpx.AsyncClient(trust_env=False, timeout=20)
        asking = client.stream("POST", f"{service.url}/v1/chat/completions", json=body)
        async with client, asking as response:
            assert response.status_code == 200
            pieces = response.aiter_bytes()
            got = b""
            while got.count(b": ping") < 2:
                got += await anext(pieces)
            gate.set()
            second.set()
