"""A mock provider on OpenAI's wire, cheap enough to vanish beside what is measured: `python -m benchmarks.upstream`.

It answers POST requests on any path, without looking further than it must: bytes built beforehand, one write for each
token, no HTTP library.
"""

from __future__ import annotations

import asyncio
import functools
import json

from benchmarks.work import MODEL, TOKEN, Work, read_work

PROMPT_TOKENS = 24
BACKLOG = 4096
"""Connections that may wait; by default a crowd's would be lost, and made again after a second."""
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
    b"x-request-id: req_benchmark\r\n\r\n"
)


def _event(payload: str) -> bytes:
    data = f"data: {payload}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def _stream_event(choices: list[object], usage: object = None) -> bytes:
    return _event(
        json.dumps(
            {
                "id": "chatcmpl-benchmark",
                "object": "chat.completion.chunk",
                "created": 1_780_000_000,
                "model": MODEL,
                "service_tier": "default",
                "system_fingerprint": "fp_benchmark",
                "choices": choices,
                "usage": usage,
            },
            separators=(",", ":"),
        )
    )


def _delta(delta: object, finish_reason: str | None = None) -> list[object]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}


STREAM_START = STREAM_HEAD + _stream_event(_delta({"role": "assistant", "content": "", "refusal": None}))
STREAM_TOKEN = _stream_event(_delta({"content": TOKEN}))


@functools.cache
def _stream_end(tokens: int) -> bytes:
    return b"".join(
        [_stream_event(_delta({}, "stop")), _stream_event([], _usage(tokens)), _event("[DONE]"), b"0\r\n\r\n"]
    )


@functools.cache
def _whole_answer(work: Work) -> bytes:
    message: dict[str, object] = {"role": "assistant", "content": work.text, "refusal": None, "annotations": []}
    body = json.dumps(
        {
            "id": "chatcmpl-benchmark",
            "object": "chat.completion",
            "created": 1_780_000_000,
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": _usage(work.tokens),
            "service_tier": "default",
            "system_fingerprint": "fp_benchmark",
        }
    ).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_benchmark\r\nContent-Length: %d\r\n\r\n"
    )
    return (head % len(body)).encode() + body


class Connection(asyncio.Protocol):
    """One client's connection, one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._stream: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._stream:
            self._stream.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._received = b""
        if head.startswith(b"GET "):
            self._transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"object":"list","data":[]}')
        elif b'"stream":true' in body.replace(b" ", b""):
            self._answer_stream(read_work(body))
        else:
            self._transport.write(_whole_answer(read_work(body)))

    def _answer_stream(self, work: Work) -> None:
        self._transport.write(STREAM_START)
        if work.pace_ms:
            self._stream = asyncio.create_task(self._pace(work))
            return
        for _ in range(work.tokens):
            self._transport.write(STREAM_TOKEN)
        self._transport.write(_stream_end(work.tokens))

    async def _pace(self, work: Work) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for index in range(work.tokens):
            await asyncio.sleep(start + (index + 1) * work.pace_ms / 1000 - loop.time())
            self._transport.write(STREAM_TOKEN)
        self._transport.write(_stream_end(work.tokens))


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=BACKLOG)
    host, port = server.sockets[0].getsockname()
    print(f"upstream: listening on {host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
