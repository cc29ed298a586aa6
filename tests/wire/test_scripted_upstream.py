"""The scripted upstream itself: what other tests rely on when they read its records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.scripted_upstream import (
    Ending,
    Generate,
    Received,
    Script,
    ScriptedUpstream,
    answer,
    event,
    event_stream,
    in_pieces,
    json_answer,
    no_answer,
)

REQUEST = b'POST /v1/chat?x=1 HTTP/1.1\r\nHost: test\r\nX-Mixed-Case: yes\r\nContent-Length: 8\r\n\r\n{"a": 1}'


class Client:
    """A bare socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, upstream: ScriptedUpstream, count: int = 1) -> Received:
        self.writer.write(REQUEST)
        return await upstream.received(count)

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def client(upstream: ScriptedUpstream) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", upstream.port))
    yield client
    client.close()


async def test_request_is_recorded_as_it_was_sent(upstream: ScriptedUpstream, client: Client) -> None:
    upstream.play(json_answer({}))
    request = await client.ask(upstream)
    assert (request.method, request.path, request.json()) == ("POST", "/v1/chat?x=1", {"a": 1})
    assert request.headers["x-mixed-case"] == "yes"


async def test_one_connection_serves_several_requests(upstream: ScriptedUpstream, client: Client) -> None:
    upstream.play(answer(b"one"), answer(b"two"))
    for count, body in enumerate([b"one", b"two"], start=1):
        await client.ask(upstream, count)
        assert (await client.reader.readuntil(body)).startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(upstream.connections) == 1


async def test_events_are_chunks_and_a_gate_holds_the_next(upstream: ScriptedUpstream, client: Client) -> None:
    gate = asyncio.Event()
    upstream.play(event_stream(event("a"), gate, event({"b": 1}, "named")))
    request = await client.ask(upstream)
    assert (await client.reader.readuntil(b"9\r\ndata: a\n\n\r\n")).count(b"data:") == 1
    assert request.generated == 1
    gate.set()
    assert await client.reader.readuntil(b"0\r\n\r\n") == b'1d\r\nevent: named\ndata: {"b": 1}\n\n\r\n0\r\n\r\n'


@pytest.mark.parametrize("script", [event_stream("a", ending=Ending.CUT), answer(b"ab", ending=Ending.CUT)])
async def test_cut_sends_half_an_answer_and_closes(upstream: ScriptedUpstream, client: Client, script: Script) -> None:
    upstream.play(script)
    await client.ask(upstream)
    assert (await client.reader.read()).rstrip().endswith(b"a")


async def test_reset_is_a_reset(upstream: ScriptedUpstream, client: Client) -> None:
    upstream.play(no_answer(Ending.RESET))
    await client.ask(upstream)
    with pytest.raises(ConnectionResetError):
        await client.reader.read()


async def test_stall_lasts_until_the_client_closes(upstream: ScriptedUpstream, client: Client) -> None:
    upstream.play(no_answer())
    request = await client.ask(upstream)
    assert request.closed_at is None
    before = asyncio.get_running_loop().time()
    client.close()
    assert await request.closed_by_peer() >= before


async def test_generating_server_does_not_notice_that_its_client_left(
    upstream: ScriptedUpstream, client: Client
) -> None:
    upstream.play(json_answer({}, before=[Generate(tokens=20, seconds_per_token=0.001)]))
    request = await client.ask(upstream)
    client.close()
    await request.closed_by_peer()
    await asyncio.wait_for(request.finished.wait(), 5)
    assert request.generated == 20


async def test_streaming_server_stops_at_its_next_write(upstream: ScriptedUpstream, client: Client) -> None:
    gate = asyncio.Event()
    upstream.play(event_stream("a", gate, *["b"] * 100))
    request = await client.ask(upstream)
    await client.reader.readuntil(b"a")
    client.close()
    await request.closed_by_peer()
    gate.set()
    await asyncio.wait_for(request.finished.wait(), 5)
    assert request.generated == 1


async def test_pieces_are_the_same_bytes(upstream: ScriptedUpstream, client: Client) -> None:
    whole = event_stream(event("ä"), event("[DONE]"))
    upstream.play(whole, in_pieces(whole, 3))
    answers = []
    for count in (1, 2):
        await client.ask(upstream, count)
        answers.append(await client.reader.readuntil(b"\r\n0\r\n\r\n"))
    assert answers[0] == answers[1]


async def test_script_may_depend_on_the_request(upstream: ScriptedUpstream, client: Client) -> None:
    upstream.default = lambda request: answer(request.body)
    await client.ask(upstream)
    await client.reader.readuntil(b'{"a": 1}')


async def test_leaving_ends_what_still_plays() -> None:
    async with ScriptedUpstream(default=event_stream("a", asyncio.Event())) as upstream:
        client = Client(*await asyncio.open_connection("127.0.0.1", upstream.port))
        await client.ask(upstream)
    await client.reader.read()
    assert client.reader.at_eof()
    client.close()
