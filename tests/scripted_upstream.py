"""A real HTTP/1.1 server that plays one script for each request and records what it was sent.

    async with ScriptedUpstream() as upstream:
        upstream.play(json_answer({"error": {}}, status=429, headers={"Retry-After": "1"}))
        upstream.play(event_stream(event({"n": 1}), gate, event("[DONE]")))
        ...                                           # point the adapter at upstream.url
        await upstream.received(2)
        gate.set()
        assert upstream.requests[1].json()["stream"] is True
        await upstream.requests[1].closed_by_peer()

A script is a few steps before the head, the head, the steps of the body, and an ending. A step is

    bytes or str      sent as they are (in an event stream: as one HTTP chunk)
    asyncio.Event     a gate: the server waits for it, whatever happens to the connection meanwhile
    Pause(seconds)    time passes
    Generate(tokens)  a model at work that does not look at its socket; `Received.generated` counts its tokens

The server learns that its client is gone only when it writes or stalls, as real servers do; the record of when the
client closed (`closed_by_peer`) is taken from the socket, at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

DEFAULT_TIMEOUT = 20.0
MAX_HEAD_BYTES = 1024 * 1024
REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests"}


class Pause(NamedTuple):
    seconds: float


class Generate(NamedTuple):
    """Makes `tokens` tokens, each in `seconds_per_token`, without a look at the socket."""

    tokens: int
    seconds_per_token: float = 0.01


Step: TypeAlias = bytes | str | asyncio.Event | Pause | Generate


class Ending(Enum):
    CLEAN = auto()
    """The body is complete and the connection stays open."""
    CLOSE = auto()
    """The body is complete, and the socket is closed although keep-alive was promised."""
    CUT = auto()
    """FIN in mid-body."""
    RESET = auto()
    """RST in mid-body."""
    STALL = auto()
    """Silence in mid-body until the client closes."""


@dataclass(frozen=True)
class Script:
    """What the server does with one request. With neither head nor body, only the ending happens."""

    head: bytes = b""
    body: Sequence[Step] = ()
    ending: Ending = Ending.CLEAN
    before: Sequence[Step] = ()
    chunked: bool = False


Play: TypeAlias = "Script | Callable[[Received], Script]"


def event(data: object, name: str = "") -> str:
    """One server-sent event; anything but a string is written as JSON."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n"


def event_stream(
    *steps: Step,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    ending: Ending = Ending.CLEAN,
    before: Sequence[Step] = (),
) -> Script:
    """Server-sent events in chunked encoding. Every ending but CLEAN and CLOSE leaves out the terminal chunk."""
    head = _head(status, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **(headers or {})})
    return Script(head, steps, ending, before, chunked=True)


def json_answer(
    value: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    ending: Ending = Ending.CLEAN,
    before: Sequence[Step] = (),
) -> Script:
    """A whole JSON answer. Every ending but CLEAN and CLOSE leaves the second half of the body unsent."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    return answer(json.dumps(value).encode(), status=status, headers=headers, ending=ending, before=before)


def answer(
    body: bytes,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    ending: Ending = Ending.CLEAN,
    before: Sequence[Step] = (),
) -> Script:
    """Like `json_answer`, for any bytes."""
    head = _head(status, {"Content-Length": str(len(body)), **(headers or {})})
    complete = ending in (Ending.CLEAN, Ending.CLOSE)
    return Script(head, [body if complete else body[: len(body) // 2]], ending, before)


def raw(*steps: Step, ending: Ending = Ending.CLEAN) -> Script:
    """Exactly these bytes on the socket, status line and headers included."""
    return Script(body=steps, ending=ending)


def no_answer(ending: Ending = Ending.STALL) -> Script:
    """Not one byte of an answer: silence, or the connection closed or reset as soon as the request has arrived."""
    return Script(ending=ending)


def paced(steps: Iterable[Step], pause: Step) -> list[Step]:
    """The steps with a pause (or gate) before each but the first."""
    return [part for step in steps for part in (pause, step)][1:]


def in_pieces(script: Script, size: int) -> Script:
    """The same bytes, written `size` at a time, whatever they are: head, chunk sizes, half a character."""
    steps = [script.head, *script.body]
    assert all(isinstance(step, bytes | str) for step in steps), "only bytes can be cut into pieces"
    complete = script.ending in (Ending.CLEAN, Ending.CLOSE)
    framed = [_chunk(_bytes(step)) if script.chunked else _bytes(step) for step in script.body]
    data = b"".join([script.head, *framed, b"0\r\n\r\n" if script.chunked and complete else b""])
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return replace(script, head=b"", body=pieces, chunked=False)


class PeerClosed(Exception):
    """The client is gone; raised at the server's next write."""


class Connection:
    """One TCP connection that a client opened."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests: list[Received] = []
        self.closed_at: float | None = None
        """When the client closed, in the loop's time. Stays None when the server closed first."""
        self._reader = reader
        self._writer = writer
        self._closed = asyncio.Event()

    async def closed_by_peer(self, timeout: float = DEFAULT_TIMEOUT) -> float:
        """Waits until the client has closed its end and returns when that was. Raises TimeoutError."""
        await asyncio.wait_for(self._closed.wait(), timeout)
        assert self.closed_at is not None
        return self.closed_at

    async def read_request(self) -> Received | None:
        """The next request, or None when the connection came to its end."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            request_line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            assert "transfer-encoding" not in headers, "requests are read by their Content-Length"
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            self._end()
            return None
        method, path, _ = request_line.split(" ")
        request = Received(method, path, headers, body, self, asyncio.get_running_loop().time())
        self.requests.append(request)
        return request

    async def play(self, script: Script, request: Received) -> None:
        try:
            for step in script.before:
                await self._take(step, request, chunked=False)
            await self._send(script.head)
            for step in script.body:
                await self._take(step, request, chunked=script.chunked)
            await self._finish(script)
        except PeerClosed:
            self._writer.close()
        finally:
            request.finished.set()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        # Lingering for zero seconds is what turns a close into an RST.
        transport_socket = self._writer.get_extra_info("socket")
        if transport_socket.fileno() != -1:
            transport_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def aclose(self) -> None:
        """Closes for good; returns when the socket is closed."""
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()

    def _end(self) -> None:
        if not self._writer.is_closing() or self._reader.exception() is not None:
            self.closed_at = asyncio.get_running_loop().time()
            self._closed.set()

    async def _take(self, step: Step, request: Received, *, chunked: bool) -> None:
        match step:
            case asyncio.Event():
                await step.wait()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Generate(tokens, seconds_per_token):
                for _ in range(tokens):
                    await asyncio.sleep(seconds_per_token)
                    request.generated += 1
            case bytes() | str():
                data = _bytes(step)
                await self._send(_chunk(data) if chunked else data)
                request.generated += 1

    async def _send(self, data: bytes) -> None:
        if self._closed.is_set() or self._writer.is_closing():
            raise PeerClosed
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            raise PeerClosed from None
        # One turn of the loop for each write, so that a client on the same loop reads it by itself.
        await asyncio.sleep(0)

    async def _finish(self, script: Script) -> None:
        if script.chunked and script.ending in (Ending.CLEAN, Ending.CLOSE):
            await self._send(b"0\r\n\r\n")
        if script.ending in (Ending.CLOSE, Ending.CUT):
            self.close()
        elif script.ending is Ending.RESET:
            self.reset()
        elif script.ending is Ending.STALL:
            await self._closed.wait()


@dataclass
class Received:
    """One request as it came. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: Connection = field(repr=False)
    arrived_at: float
    generated: int = 0
    """How much of the script the server has worked off: tokens of `Generate`, and pieces of the body it wrote."""
    finished: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when the server is done with the script: it was played to its end, or the client was found to be gone."""

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def closed_at(self) -> float | None:
        return self.connection.closed_at

    async def closed_by_peer(self, timeout: float = DEFAULT_TIMEOUT) -> float:
        """Waits until the client has closed the request's connection; returns the loop time. Raises TimeoutError."""
        return await self.connection.closed_by_peer(timeout)


class ScriptedUpstream:
    """The server. `requests` and `connections` are in the order of arrival.

    `default` is played when no script is left; without it such a request is answered with status 500. With `forgets`,
    for a load of hours, a request is not recorded, and a connection only as long as it is open.
    """

    def __init__(
        self,
        *,
        default: Play | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        forgets: bool = False,
    ) -> None:
        self.default = default
        self.requests: list[Received] = []
        self.connections: list[Connection] = []
        self._tls = tls
        self._port = port
        self._forgets = forgets
        self._scripts: deque[Play] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None, "the upstream is not started"
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def play(self, *scripts: Play) -> None:
        """Queues scripts, one for each request to come. A function is given the request and returns its script."""
        self._scripts.extend(scripts)

    async def received(self, count: int, timeout: float = DEFAULT_TIMEOUT) -> Received:
        """Waits until `count` requests have arrived and returns the last of them. Raises TimeoutError."""
        await self._until(lambda: len(self.requests) >= count, timeout)
        return self.requests[count - 1]

    async def connected(self, count: int, timeout: float = DEFAULT_TIMEOUT) -> Connection:
        """Waits until `count` connections were opened and returns the last of them. Raises TimeoutError."""
        await self._until(lambda: len(self.connections) >= count, timeout)
        return self.connections[count - 1]

    async def __aenter__(self) -> ScriptedUpstream:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self._port, limit=MAX_HEAD_BYTES, backlog=1024, ssl=self._tls
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        failures = await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self.connections:
            await connection.aclose()
        await self._server.wait_closed()
        for failure in failures:
            if isinstance(failure, Exception):
                raise failure

    async def _until(self, condition: Callable[[], bool], timeout: float) -> None:
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(condition)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.connections.append(connection)
        self._start(self._serve(connection))

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        if self._forgets:
            task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, connection: Connection) -> None:
        """Reads on while a script plays: that is how the client's closing is noticed at once."""
        await self._notify()
        playing: asyncio.Task[None] | None = None
        while request := await connection.read_request():
            if playing:
                await playing
            if self._forgets:
                connection.requests.clear()
            else:
                self.requests.append(request)
            playing = self._start(connection.play(self._next_script(request), request))
            await self._notify()
        if playing:
            await playing
        connection.close()
        if self._forgets:
            self.connections.remove(connection)

    def _next_script(self, request: Received) -> Script:
        play = self._scripts.popleft() if self._scripts else self.default
        if play is None:
            return json_answer({"error": {"message": "no script is left"}}, status=500)
        return play if isinstance(play, Script) else play(request)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _bytes(data: Step) -> bytes:
    assert isinstance(data, bytes | str)
    return data.encode() if isinstance(data, str) else data
