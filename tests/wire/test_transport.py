"""The transport of generation against real sockets that answer, stall, break and lie."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from services.models.transport import connection as connection_module
from services.models.transport import pool
from services.models.transport.base import HttpResponse, HttpTimeouts
from services.models.transport.client import HttpClient
from services.models.transport.connector import Network
from services.models.transport.payload import KEPT_BYTES, Payload
from services.models.transport.proxies import Proxies
from services.models.transport.request_head import Origin, encode_headers, request_head
from services.models.transport.response import MAX_BODY_BYTES
from services.models.transport.response_parser import MAX_HEAD_BYTES
from services.models.transport.tls_trust import TlsTrust
from services.shared import errors
from tests.rows import for_each
from tests.scripted_upstream import (
    Ending,
    Generate,
    Pause,
    Script,
    ScriptedUpstream,
    Step,
    answer,
    event_stream,
    json_answer,
    no_answer,
    paced,
    raw,
)
from tests.support.certificates import Authority

HEADERS = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
BODY = b'{"model": "test"}'
UNFRAMED = "HTTP/1.1 200 OK\r\n\r\n"
"""The head of an answer without a length, which ends where the connection does."""

CUT_SHORT = {
    "length, FIN": answer(b"abcd", ending=Ending.CUT),
    "length, RST": answer(b"abcd", ending=Ending.RESET),
    "chunks, FIN": event_stream("a", "b", ending=Ending.CUT),
    "chunks, RST": event_stream("a", "b", ending=Ending.RESET),
    "neither, RST": raw(UNFRAMED, "a", "b", ending=Ending.RESET),
}


@contextlib.asynccontextmanager
async def transporting(timeouts: HttpTimeouts | None = None, ca_file: Path | None = None) -> AsyncIterator[HttpClient]:
    transport = HttpClient(timeouts, network=Network(Proxies(), TlsTrust(ca_file)))
    try:
        yield transport
    finally:
        await transport.close()


@pytest.fixture
async def transport() -> AsyncIterator[HttpClient]:
    async with transporting() as transport:
        yield transport


async def post(transport: HttpClient, upstream: ScriptedUpstream, body: bytes = BODY) -> HttpResponse:
    return await transport.post(f"{upstream.url}/v1/chat", HEADERS, body)


async def read_stream(transport: HttpClient, url: str) -> bytes:
    async with transport.stream(url, HEADERS, BODY) as answered:
        return await answered.read_all()


@contextlib.contextmanager
def fails(kind: type[errors.PlatformError], reason: str) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.reason == reason
    assert "secret" not in caught.value.message
    # What a library says may quote an address or a key: neither a log nor a caller may come upon it.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


async def turn_loop(times: int = 20) -> None:
    """Lets the loop see what has already happened on its sockets."""
    for _ in range(times):
        await asyncio.sleep(0)


# Answers


async def test_post_sends_the_bytes_and_returns_the_answer(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    upstream.play(json_answer({"a": 1}, headers={"X-Request-Id": "r1"}))
    answered = await post(transport, upstream)
    assert (answered.status, answered.body, answered.headers["x-request-id"]) == (200, b'{"a": 1}', "r1")
    [request] = upstream.requests
    assert (request.method, request.path, request.body) == ("POST", "/v1/chat", BODY)
    del request.headers["host"]
    assert request.headers == {
        "authorization": "Bearer secret",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "accept": "*/*",
        "accept-encoding": "identity",
    }


@pytest.mark.parametrize("status", [204, 400, 401, 429, 500, 529])
async def test_any_final_status_is_an_answer(upstream: ScriptedUpstream, transport: HttpClient, status: int) -> None:
    body = b"" if status == 204 else b"details"
    upstream.play(answer(body, status=status))
    answered = await post(transport, upstream)
    assert (answered.status, answered.body) == (status, body)


async def test_stream_gives_what_has_arrived_without_waiting_for_more(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    gate = asyncio.Event()
    upstream.play(event_stream("one", gate, "two"))
    async with transport.stream(upstream.url, HEADERS, BODY) as answered:
        assert answered.status == 200
        assert answered.headers["content-type"] == "text/event-stream"
        assert await answered.read() == b"one"
        gate.set()
        assert await answered.read() == b"two"
        assert await answered.read() == b""
        assert await answered.read() == b""


async def test_body_without_a_length_ends_with_the_connection(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    upstream.play(raw(UNFRAMED, "whole", ending=Ending.CLOSE))
    assert (await post(transport, upstream)).body == b"whole"


async def test_size_of_a_body_is_checked_while_it_arrives(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    def check_size(size: int) -> None:
        if size > 10:
            raise errors.LimitExceeded("too much", reason="TOO_MUCH")

    upstream.play(event_stream("x" * 8, Pause(0.05), "x" * 8, ending=Ending.STALL))
    with fails(errors.LimitExceeded, "TOO_MUCH"):
        await transport.post(upstream.url, {}, b"{}", check_size)
    await upstream.requests[0].closed_by_peer()


async def test_large_request_arrives_whole(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    upstream.play(answer(b"ok"))
    body = bytes(range(256)) * 20_000
    await post(transport, upstream, body)
    assert upstream.requests[0].body == body


async def test_answer_before_the_request_is_written_is_the_answer(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    """Servers refuse what is too large without reading it; the rest of it must not become the next request."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")

    connections: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for _ in range(2):
            answered = await transport.post(url, HEADERS, bytes(30_000_000))
            assert (answered.status, answered.body) == (413, b"big")
        for connection in connections:
            connection.transport.abort()
    assert len(connections) == 2


async def test_interim_answers_are_passed_over(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"
    upstream.play(raw(interim + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: 1\r\na: 2\r\n\r\nok"), answer(b"next"))
    answered = await post(transport, upstream)
    assert (answered.status, answered.body) == (200, b"ok")
    assert dict(answered.headers) == {"content-length": "2", "a": "1, 2"}
    assert (await post(transport, upstream)).body == b"next"


@pytest.mark.parametrize("encoding", ["x-gzip", "deflate"])
async def test_other_packings_are_unpacked_too(
    upstream: ScriptedUpstream, transport: HttpClient, encoding: str
) -> None:
    packed = zlib.compress(b"plain") if encoding == "deflate" else gzip.compress(b"plain")
    upstream.play(answer(packed, headers={"Content-Encoding": encoding}))
    assert (await post(transport, upstream)).body == b"plain"


@pytest.mark.parametrize("encoding", ["br", "gzip"])
async def test_packing_that_cannot_be_undone_is_a_protocol_error(
    upstream: ScriptedUpstream, transport: HttpClient, encoding: str
) -> None:
    upstream.play(answer(gzip.compress(b"plain")[:-3], headers={"Content-Encoding": encoding}))
    with fails(errors.Internal, "UPSTREAM_PROTOCOL_ERROR"):
        await post(transport, upstream)


async def test_compressed_answer_is_unpacked_although_none_was_asked_for(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    upstream.play(answer(gzip.compress(b"plain"), headers={"Content-Encoding": "gzip"}))
    assert (await post(transport, upstream)).body == b"plain"


async def test_cookies_are_not_kept(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    upstream.play(answer(b"", headers={"Set-Cookie": "a=1"}), answer(b""))
    for _ in range(2):
        await transport.post(f"http://localhost:{upstream.port}", HEADERS, BODY)
    assert "cookie" not in upstream.requests[1].headers


async def test_environment_does_not_redirect_or_authorize(
    upstream: ScriptedUpstream, transport: HttpClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    upstream.play(answer(b"ok"))
    await transport.post(upstream.url, {}, BODY)
    assert "authorization" not in upstream.requests[0].headers


@for_each(
    ("url", "origin", "lines"),
    [
        ("http://A.example", Origin(False, "a.example", 80), b"POST / HTTP/1.1\r\nHost: a.example\r\n"),
        ("https://a:8443/v1?k=v", Origin(True, "a", 8443), b"POST /v1?k=v HTTP/1.1\r\nHost: a:8443\r\n"),
        ("http://[::1]:8000/x", Origin(False, "::1", 8000), b"POST /x HTTP/1.1\r\nHost: [::1]:8000\r\n"),
        ("https://b\u00fccher.example/\u00fc m", Origin(True, "xn--bcher-kva.example", 443), b"POST /%C3%BC%20m "),
        ("https://fa\u00df.example", Origin(True, "xn--fa-hia.example", 443), b"POST / "),
        ("https://\uff21.\uff11\u3002example", Origin(True, "a.1.example", 443), b"POST / "),
    ],
)
def test_first_lines_name_the_path_and_the_host(url: str, origin: Origin, lines: bytes) -> None:
    found, written = request_head("POST", url)
    assert found == origin
    assert written.startswith(lines)
    assert written.endswith(b"\r\nAccept: */*\r\nAccept-Encoding: identity\r\n")


@for_each(("name", "value"), [("a\r\nb", "c"), ("", "c"), ("a b", "c"), ("a", "b\nc"), ("a", "\0"), ("a", "\u20ac")])
def test_header_that_is_not_one_line_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="header"):
        encode_headers({name: value})


# Faults before the answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_refused_and_the_body_not_sent_again(
    upstream: ScriptedUpstream, transport: HttpClient, status: int
) -> None:
    upstream.play(answer(b"elsewhere", status=status, headers={"Location": f"{upstream.url}/elsewhere"}))
    with fails(errors.PreconditionFailed, "UPSTREAM_REDIRECT"):
        await post(transport, upstream)
    assert len(upstream.requests) == 1


async def test_refused_connection(transport: HttpClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with fails(errors.Unavailable, "UPSTREAM_UNREACHABLE"):
            await transport.post(f"http://user:secret@127.0.0.1:{unused.getsockname()[1]}/?key=secret", {}, BODY)


async def test_unknown_host(transport: HttpClient) -> None:
    with fails(errors.Unavailable, "UPSTREAM_UNREACHABLE"):
        await transport.post("http://nowhere.invalid/?key=secret", HEADERS, BODY)


async def test_host_that_does_not_accept_is_given_up_after_the_connect_timer() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(2):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        async with transporting(HttpTimeouts(connect=0.1)) as transport:
            with fails(errors.Unavailable, "UPSTREAM_UNREACHABLE"):
                await transport.post(f"http://127.0.0.1:{full.getsockname()[1]}", HEADERS, BODY)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(no_answer(), id="silence"),
        pytest.param(raw(*paced("HTTP/1.1 200 OK\r\nContent-Length: 0" * 9, Pause(0.02))), id="one byte at a time"),
        pytest.param(raw("HTTP/1.1 100 Continue\r\n\r\n", ending=Ending.STALL), id="only an interim answer"),
    ],
)
async def test_no_head_in_time(upstream: ScriptedUpstream, script: Script) -> None:
    upstream.play(script)
    async with transporting(HttpTimeouts(answer=0.1, first_byte=0.1)) as transport:
        with fails(errors.Unavailable, "UPSTREAM_TIMEOUT"):
            await post(transport, upstream)
        await upstream.requests[0].closed_by_peer(1)


@pytest.mark.parametrize("ending", [Ending.CUT, Ending.RESET])
@pytest.mark.parametrize("head", ["", "HTTP/1.1 200 OK\r\nContent-"])
async def test_fresh_connection_that_breaks_before_the_head_is_an_error_at_once(
    upstream: ScriptedUpstream, transport: HttpClient, head: str, ending: Ending
) -> None:
    upstream.play(raw(*[head] if head else [], ending=ending))
    with fails(errors.Unavailable, "UPSTREAM_UNREACHABLE"):
        await post(transport, upstream)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "answered",
    [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: " + "a" * MAX_HEAD_BYTES,
        "HTTP/1.1 200 OK\r\n" + "A:\r\n" * 1001 + "Content-Length: 0\r\n\r\n",
    ],
    ids=["another protocol", "no length", "a long field", "many fields"],
)
async def test_what_is_not_http_is_a_protocol_error(
    upstream: ScriptedUpstream, transport: HttpClient, answered: str
) -> None:
    upstream.play(raw(answered, ending=Ending.STALL))
    with fails(errors.Internal, "UPSTREAM_PROTOCOL_ERROR"):
        await post(transport, upstream)
    await upstream.requests[0].closed_by_peer(1)


async def test_switching_protocols_is_a_protocol_error(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    upstream.play(raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"))
    with fails(errors.Internal, "UPSTREAM_PROTOCOL_ERROR"):
        await post(transport, upstream)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:9", {"x-api-key": "secret\r\nX-Injected: 1"}),
        ("http://127.0.0.1:port/secret", {}),
        ("127.0.0.1/secret", {}),
        ("ftp://127.0.0.1/secret", {}),
    ],
)
async def test_what_cannot_be_sent_is_the_operators_to_change(
    upstream: ScriptedUpstream, transport: HttpClient, url: str, headers: Mapping[str, str]
) -> None:
    with fails(errors.PreconditionFailed, "UPSTREAM_REQUEST_INVALID"):
        await transport.post(url.replace("http://127.0.0.1:9", upstream.url), headers, BODY)


# Faults in the body


@pytest.mark.parametrize("script", CUT_SHORT.values(), ids=CUT_SHORT.keys())
async def test_body_cut_short_is_never_taken_for_whole(
    upstream: ScriptedUpstream, transport: HttpClient, script: Script
) -> None:
    upstream.play(script)
    with fails(errors.Unavailable, "UPSTREAM_STREAM_INTERRUPTED"):
        await post(transport, upstream)


@pytest.mark.parametrize("script", CUT_SHORT.values(), ids=CUT_SHORT.keys())
async def test_what_arrived_before_the_break_is_read_before_it_is_raised(
    upstream: ScriptedUpstream, transport: HttpClient, script: Script
) -> None:
    """The end of an answer may be among it."""
    upstream.play(script)
    async with transport.stream(upstream.url, HEADERS, BODY) as answered:
        await upstream.requests[0].finished.wait()
        await turn_loop()
        assert await answered.read() == b"ab"
        with fails(errors.Unavailable, "UPSTREAM_STREAM_INTERRUPTED"):
            await answered.read()


async def test_broken_framing_is_a_protocol_error(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    gate = asyncio.Event()
    upstream.play(raw(head, "1\r\na\r\n", gate, "no length\r\n", ending=Ending.STALL))
    async with transport.stream(upstream.url, HEADERS, BODY) as answered:
        assert await answered.read() == b"a"
        gate.set()
        with fails(errors.Internal, "UPSTREAM_PROTOCOL_ERROR"):
            await asyncio.wait_for(answered.read(), 5)


async def test_silence_in_mid_body_is_given_up_after_the_idle_timer(upstream: ScriptedUpstream) -> None:
    upstream.default = event_stream("a", ending=Ending.STALL)
    async with transporting(HttpTimeouts(idle=0.1)) as transport:
        with fails(errors.Unavailable, "UPSTREAM_IDLE"):
            await post(transport, upstream)
        await upstream.requests[0].closed_by_peer(1)
        async with transport.stream(upstream.url, HEADERS, BODY) as answered:
            assert await answered.read() == b"a"
            with fails(errors.Unavailable, "UPSTREAM_IDLE"):
                await answered.read()


async def test_idle_timer_begins_anew_with_every_read(upstream: ScriptedUpstream) -> None:
    upstream.play(event_stream(*paced("abcdefgh", Pause(0.1))))
    async with transporting(HttpTimeouts(idle=0.6)) as transport:
        assert await read_stream(transport, upstream.url) == b"abcdefgh"


async def test_time_that_the_reader_takes_is_no_silence(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    upstream.play(event_stream("a", gate, "b"))
    loop = asyncio.get_running_loop()
    async with (
        transporting(HttpTimeouts(idle=60)) as transport,
        transport.stream(upstream.url, HEADERS, BODY) as answered,
    ):
        assert await answered.read() == b"a"
        # The second read waits, so the timer runs when the reader turns to other work.
        read = asyncio.create_task(answered.read())
        await asyncio.sleep(0)
        read.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await read
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + 120)
        # Timers that are due now are heard in the turn after this one.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gate.set()
        assert await answered.read() == b"b"


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
async def test_answer_above_the_limit_is_refused(
    upstream: ScriptedUpstream, transport: HttpClient, compressed: bool
) -> None:
    body = bytes(MAX_BODY_BYTES + 4_000_000)
    if compressed:
        upstream.play(answer(gzip.compress(body, 1), headers={"Content-Encoding": "gzip"}))
    else:
        upstream.play(answer(body))
    with fails(errors.Internal, "UPSTREAM_PROTOCOL_ERROR"):
        await post(transport, upstream)
    # Packed, all of it has come.
    if not compressed:
        await upstream.requests[0].closed_by_peer(1)


async def test_error_body_has_a_limit_of_its_own(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    upstream.play(answer(b"12345", status=500))
    async with transport.stream(upstream.url, HEADERS, BODY) as answered:
        with fails(errors.Internal, "UPSTREAM_PROTOCOL_ERROR"):
            await answered.read_all(limit=4)


async def test_slow_reader_slows_the_provider_down(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    """Nothing may pile up in memory: the provider's writes wait."""
    piece = "x" * 65_536
    upstream.play(event_stream(*[piece] * 1000))
    async with transport.stream(upstream.url, HEADERS, BODY) as answered:
        async with asyncio.timeout(5):
            previous = -1
            while (written := upstream.requests[0].generated) != previous:
                previous = written
                await asyncio.sleep(0.05)
        assert written < 500
        assert len(await answered.read()) < 400_000
        assert len(await answered.read_all(limit=100_000_000)) > 60_000_000


# Leaving and cancelling


async def test_leaving_before_the_end_closes_at_once(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    upstream.play(event_stream("a", asyncio.Event()), answer(b"next"))
    async with transport.stream(upstream.url, HEADERS, BODY) as answered:
        await answered.read()
        assert upstream.requests[0].closed_at is None
    await upstream.requests[0].closed_by_peer(1)
    assert (await post(transport, upstream)).body == b"next"
    assert len(upstream.connections) == 2


async def test_streaming_provider_stops_generating_when_its_stream_is_left(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    upstream.play(event_stream(*paced(["token"] * 500, Generate(1, 0.002))))
    async with transport.stream(upstream.url, HEADERS, BODY) as answered:
        await answered.read()
    await asyncio.wait_for(upstream.requests[0].finished.wait(), 5)
    assert upstream.requests[0].generated < 50


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(no_answer(), id="waiting for the head"),
        pytest.param(raw("HTTP/1.1 2", ending=Ending.STALL), id="in the head"),
        pytest.param(answer(b"abcd", ending=Ending.STALL), id="in the body"),
        pytest.param(event_stream("a", ending=Ending.STALL), id="in the stream"),
    ],
)
@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_cancelling_closes_the_socket_at_once(
    upstream: ScriptedUpstream, transport: HttpClient, script: Script, reused: bool
) -> None:
    if reused:
        upstream.play(answer(b"ok"))
        await post(transport, upstream)
    upstream.play(script, answer(b"next"))
    call = asyncio.create_task(post(transport, upstream))
    request = await upstream.received(2 if reused else 1)
    await turn_loop()
    await assert_cancelling_closes(call, request.closed_by_peer)
    assert (await post(transport, upstream)).body == b"next"


async def test_cancelling_during_the_tls_handshake_closes_the_socket(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    call = asyncio.create_task(transport.post(upstream.url.replace("http:", "https:"), HEADERS, BODY))
    connection = await upstream.connected(1)
    await turn_loop()
    await assert_cancelling_closes(call, connection.closed_by_peer)


async def test_cancelling_while_the_request_is_written_closes_the_socket(transport: HttpClient) -> None:
    accepted = asyncio.Event()
    closed = asyncio.Event()
    reading = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reading.wait()
        with contextlib.suppress(ConnectionError):
            while await reader.read(1_000_000):
                pass
        closed.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        call = asyncio.create_task(transport.post(url, HEADERS, bytes(30_000_000)))
        await accepted.wait()
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        reading.set()
        await asyncio.wait_for(closed.wait(), 5)


async def assert_cancelling_closes(
    call: asyncio.Task[HttpResponse], closed_by_peer: Callable[[float], Awaitable[float]]
) -> None:
    assert not call.done()
    cancelled_at = asyncio.get_running_loop().time()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await closed_by_peer(1) - cancelled_at < 0.5


async def test_closing_the_transport_closes_what_is_open(upstream: ScriptedUpstream) -> None:
    upstream.play(answer(b"idle now"), event_stream("a", ending=Ending.STALL))
    async with transporting() as transport:
        await post(transport, upstream)
        async with transport.stream(upstream.url, HEADERS, BODY) as answered:
            await answered.read()
            await transport.close()
            with fails(errors.Unavailable, "UPSTREAM_STREAM_INTERRUPTED"):
                await answered.read()
    for connection in upstream.connections:
        await connection.closed_by_peer(1)
    with fails(errors.Unavailable, "UPSTREAM_UNREACHABLE"):
        await post(transport, upstream)


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_closing_the_transport_ends_calls_that_wait(upstream: ScriptedUpstream, reused: bool) -> None:
    async with transporting() as transport:
        if reused:
            await fill_pool(upstream, transport, 1)
        upstream.play(no_answer())
        call = asyncio.create_task(post(transport, upstream))
        await upstream.received(2 if reused else 1)
        await transport.close()
        with fails(errors.Unavailable, "UPSTREAM_UNREACHABLE"):
            await call


# The pool


async def test_answer_that_was_not_read_leaves_the_next_call_no_deaf_connection(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    """All of it is there, and so much that the socket is not read any more."""
    upstream.play(answer(b"x" * 40_000), json_answer({}))
    async with transport.stream(f"{upstream.url}/v1/chat", HEADERS, BODY):
        await turn_loop()
    async with asyncio.timeout(5):
        assert (await post(transport, upstream)).status == 200


async def test_answers_read_to_the_end_leave_their_connection_to_the_next_call(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    upstream.play(answer(b"one"), event_stream("two"), answer(b"error", status=500), answer(b"four"))
    await post(transport, upstream)
    await read_stream(transport, upstream.url)
    await post(transport, upstream)
    await post(transport, upstream)
    assert len(upstream.connections) == 1


async def test_calls_do_not_wait_for_each_other(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    gate = asyncio.Event()
    upstream.default = json_answer({}, before=[gate])
    calls = [asyncio.create_task(post(transport, upstream)) for _ in range(150)]
    await upstream.received(150)
    gate.set()
    await asyncio.gather(*calls)
    assert len(upstream.connections) == 150


async def test_server_that_closes_after_each_answer_costs_no_error(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    upstream.default = answer(b"ok", ending=Ending.CLOSE)
    for _ in range(30):
        assert (await post(transport, upstream)).body == b"ok"
    assert len(upstream.requests) == 30


@pytest.mark.parametrize("ending", [Ending.CUT, Ending.RESET])
@pytest.mark.parametrize("body", [BODY, bytes(KEPT_BYTES)], ids=["small", "in pieces"])
async def test_pooled_connection_that_closes_as_we_send_is_replaced_by_a_fresh_one(
    upstream: ScriptedUpstream, transport: HttpClient, ending: Ending, body: bytes
) -> None:
    await fill_pool(upstream, transport, 2)
    upstream.play(no_answer(ending), answer(b"again"))
    assert (await post(transport, upstream, body)).body == b"again"
    first, again = upstream.requests[2:]
    assert first.body == again.body == body
    assert again.connection.requests == [again], "the second pooled connection may be just as dead"


async def test_request_that_a_server_may_have_worked_on_is_not_sent_again(
    upstream: ScriptedUpstream, transport: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has died with it, and the connection was not stale."""
    monkeypatch.setattr(connection_module, "STALE_SECONDS", 0.05)
    await fill_pool(upstream, transport, 1)
    upstream.play(Script(before=[Pause(0.1)], ending=Ending.RESET), answer(b"again"))
    with fails(errors.Unavailable, "UPSTREAM_UNREACHABLE"):
        await post(transport, upstream)
    assert len(upstream.requests) == 2


async def test_large_body_is_let_go_of_when_it_is_written_and_goes_over_a_new_connection(
    upstream: ScriptedUpstream, transport: HttpClient
) -> None:
    """The pooled one may be dead, and then it would have to be sent again."""
    await fill_pool(upstream, transport, 1)
    going_on, written = asyncio.Event(), asyncio.Event()
    upstream.play(answer(b"ok", before=[going_on]))
    payload = Payload(bytes(KEPT_BYTES + 1), written.set)
    call = asyncio.create_task(transport.post(f"{upstream.url}/v1/chat", HEADERS, payload))
    async with asyncio.timeout(5):
        await written.wait()
    assert payload.data == b""
    going_on.set()
    assert (await call).body == b"ok"
    assert upstream.requests[-1].connection is upstream.connections[1]
    assert len(upstream.requests[-1].body) == KEPT_BYTES + 1


async def test_request_is_sent_a_second_time_only_once(upstream: ScriptedUpstream, transport: HttpClient) -> None:
    await fill_pool(upstream, transport, 1)
    upstream.play(no_answer(Ending.CUT), no_answer(Ending.CUT), answer(b"too late"))
    with fails(errors.Unavailable, "UPSTREAM_UNREACHABLE"):
        await post(transport, upstream)
    assert len(upstream.requests) == 3


@pytest.mark.parametrize("ending", [Ending.CUT, Ending.RESET])
@pytest.mark.parametrize("steps", [["H"], ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"]], ids=["a byte", "a head"])
async def test_request_is_not_sent_again_once_an_answer_has_begun(
    upstream: ScriptedUpstream, transport: HttpClient, steps: list[Step], ending: Ending
) -> None:
    await fill_pool(upstream, transport, 1)
    gate = asyncio.Event()
    upstream.play(raw(*steps, gate, ending=ending))
    call = asyncio.create_task(post(transport, upstream))
    await upstream.received(2)
    await turn_loop()
    gate.set()
    with pytest.raises(errors.Unavailable):
        await call
    assert len(upstream.requests) == 2


async def test_silence_on_a_pooled_connection_is_not_tried_again(upstream: ScriptedUpstream) -> None:
    """The provider may be at work on it."""
    async with transporting(HttpTimeouts(answer=0.1, first_byte=0.1)) as transport:
        await fill_pool(upstream, transport, 1)
        upstream.play(no_answer())
        with fails(errors.Unavailable, "UPSTREAM_TIMEOUT"):
            await post(transport, upstream)
        assert len(upstream.requests) == 2


@pytest.mark.parametrize("together", [True, False], ids=["together", "later"])
async def test_answer_that_nobody_asked_for_never_becomes_another_calls_answer(
    upstream: ScriptedUpstream, transport: HttpClient, together: bool
) -> None:
    asked, unasked = ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + letter for letter in "ab")
    gate = asyncio.Event()
    upstream.play(raw(asked + unasked) if together else raw(asked, gate, unasked), answer(b"c"))
    assert (await post(transport, upstream)).body == b"a"
    gate.set()
    await upstream.requests[0].finished.wait()
    await turn_loop()
    assert (await post(transport, upstream)).body == b"c"


async def test_connection_without_use_is_closed_after_a_while(
    upstream: ScriptedUpstream, transport: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.05)
    await fill_pool(upstream, transport, 2)
    for connection in upstream.connections:
        await connection.closed_by_peer(1)
    upstream.play(answer(b"next"))
    assert (await post(transport, upstream)).body == b"next"


async def test_connections_without_use_are_closed_each_at_its_time(
    upstream: ScriptedUpstream, transport: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.1)
    gate = asyncio.Event()
    upstream.play(answer(b"soon"), answer(b"later", before=[gate]))
    calls = [asyncio.create_task(post(transport, upstream)) for _ in range(2)]
    await upstream.received(2)
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.05)
    gate.set()
    await asyncio.gather(*calls)
    for connection in upstream.connections:
        await connection.closed_by_peer(1)


async def fill_pool(upstream: ScriptedUpstream, transport: HttpClient, count: int) -> None:
    gate = asyncio.Event()
    upstream.play(*[answer(b"ok", before=[gate]) for _ in range(count)])
    calls = [asyncio.create_task(post(transport, upstream)) for _ in range(count)]
    await upstream.received(count)
    gate.set()
    await asyncio.gather(*calls)


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    return authority.issue("IP:127.0.0.1")


async def test_trusted_certificate(authority: Authority, context: ssl.SSLContext) -> None:
    async with ScriptedUpstream(tls=context) as upstream, transporting(ca_file=authority.path) as ours:
        upstream.play(answer(b"one"), no_answer(Ending.CUT), answer(b"two"))
        assert (await post(ours, upstream)).body == b"one"
        assert (await post(ours, upstream)).body == b"two"


async def test_untrusted_certificate(context: ssl.SSLContext, transport: HttpClient) -> None:
    async with ScriptedUpstream(tls=context) as upstream:
        with fails(errors.PreconditionFailed, "UPSTREAM_TLS"):
            await post(transport, upstream)
        assert upstream.requests == []


async def test_certificate_of_another_host(authority: Authority) -> None:
    other = authority.issue("DNS:other.example")
    async with ScriptedUpstream(tls=other) as upstream, transporting(ca_file=authority.path) as ours:
        with fails(errors.PreconditionFailed, "UPSTREAM_TLS"):
            await post(ours, upstream)
        assert upstream.requests == []


async def test_server_without_tls(transport: HttpClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        with fails(errors.PreconditionFailed, "UPSTREAM_TLS"):
            await transport.post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", HEADERS, BODY)


async def test_leaving_closes_a_tls_connection_without_waiting_for_its_goodbye(
    authority: Authority, context: ssl.SSLContext
) -> None:
    """A provider that is generating answers no close_notify."""
    serving = asyncio.Event()
    handshake_then_silence = socket.create_server(("127.0.0.1", 0))
    handshake_then_silence.settimeout(5)
    loop = asyncio.get_running_loop()

    def accept() -> ssl.SSLSocket:
        connection, _ = handshake_then_silence.accept()
        connection.settimeout(5)
        secured = context.wrap_socket(connection, server_side=True)
        secured.recv(65_536)
        secured.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        loop.call_soon_threadsafe(serving.set)
        return secured

    async with transporting(ca_file=authority.path) as transport:
        accepting = loop.run_in_executor(None, accept)
        url = f"https://127.0.0.1:{handshake_then_silence.getsockname()[1]}"
        async with transport.stream(url, HEADERS, BODY) as answered:
            assert await answered.read() == b"a"
            secured = await accepting
        await turn_loop()
        # Below TLS, to see the socket itself: what has come is the request's rest or nothing, then the end.
        below = socket.socket(fileno=secured.detach())
        below.setblocking(True)
        below.settimeout(1)
        with contextlib.suppress(ConnectionResetError):
            while await loop.run_in_executor(None, below.recv, 65_536):
                pass
        below.close()
    handshake_then_silence.close()
