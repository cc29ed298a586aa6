"""The least that the program could be made of, each as a process of its own: `python -m benchmarks.floors KIND`.

echo    a grpc.aio server that answers with bytes built beforehand
proxy   a grpc.aio server that passes bytes on to another one
http    an aiohttp client that reads an answer's JSON; it works off the jobs that it reads from its standard input
bare    a grpc.aio server that asks by such a client: a Model Service that knows one provider and checks nothing
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from benchmarks.load import run_at_once
from benchmarks.work import CHAT, CHAT_STREAM, MODEL, TOKEN, Work, read_work
from proto import models_pb2, sessions_pb2
from services.shared.event_loop import run_on_loop

SERVED = [
    service.full_name for file in (models_pb2, sessions_pb2) for service in file.DESCRIPTOR.services_by_name.values()
]
"""What it says that it serves, so that a gateway is content with it."""
DONE = b"data: [DONE]"
CHUNK = models_pb2.ChatChunk(token=TOKEN, index=1).SerializeToString()


@functools.cache
def _response(work: Work) -> models_pb2.ChatResponse:
    usage = models_pb2.TokenUsage(prompt_tokens=24, completion_tokens=work.tokens, total_tokens=24 + work.tokens)
    return models_pb2.ChatResponse(text=work.text, model=MODEL, provider="openai", usage=usage, finish_reason="stop")


@functools.cache
def _unary_answer(work: Work) -> bytes:
    return _response(work).SerializeToString()


@functools.cache
def _last_chunk(work: Work) -> bytes:
    response = _response(work)
    return models_pb2.ChatChunk(finish_reason="stop", usage=response.usage, response=response).SerializeToString()


async def echo_unary(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return _unary_answer(read_work(request))


async def echo_stream(request: bytes, context: grpc.aio.ServicerContext) -> None:
    work = read_work(request)
    loop = asyncio.get_running_loop()
    start = loop.time()
    for index in range(work.tokens):
        if work.pace_ms:
            await asyncio.sleep(start + (index + 1) * work.pace_ms / 1000 - loop.time())
        await context.write(CHUNK)
    await context.write(_last_chunk(work))


class Proxy:
    """Passes calls on, as bytes."""

    def __init__(self, backend: str) -> None:
        channel = grpc.aio.insecure_channel(backend)
        self._unary = channel.unary_unary(CHAT)
        self._stream = channel.unary_stream(CHAT_STREAM)

    async def unary(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        answer: bytes = await self._unary(request)
        return answer

    async def stream(self, request: bytes, context: grpc.aio.ServicerContext) -> None:
        call = self._stream(request)
        while (message := await call.read()) is not grpc.aio.EOF:
            await context.write(message)


class Bare:
    """Asks the upstream and answers, without a single check."""

    def __init__(self, upstream: str) -> None:
        self._url = f"http://{upstream}/v1/chat/completions"
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def unary(self, data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        async with self._post(data, stream=False) as response:
            answer = json.loads(await response.read())
        text = answer["choices"][0]["message"]["content"]
        response = models_pb2.ChatResponse(text=text, model=MODEL, provider="openai", usage=answer["usage"])
        return response.SerializeToString()

    async def stream(self, data: bytes, context: grpc.aio.ServicerContext) -> None:
        text, usage = "", None
        async with self._post(data, stream=True) as response:
            async for event in _read_events(response):
                if event == DONE:
                    continue
                answer = json.loads(event[6:])
                usage = answer["usage"] or usage
                for choice in answer["choices"]:
                    token = choice["delta"].get("content") or ""
                    text += token
                    await context.write(models_pb2.ChatChunk(token=token).SerializeToString())
        whole = models_pb2.ChatResponse(text=text, model=MODEL, provider="openai", usage=usage)
        await context.write(models_pb2.ChatChunk(response=whole, usage=usage, finish_reason="stop").SerializeToString())

    def _post(self, data: bytes, *, stream: bool) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        request = models_pb2.ChatRequest.FromString(data)
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        body: dict[str, object] = {"model": request.model, "messages": messages, "stream": stream}
        if stream:
            body["stream_options"] = {"include_usage": True}
        return self._session.post(self._url, json=body)


async def serve(unary: Callable[..., object], stream: Callable[..., object]) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    methods = {
        CHAT.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(unary),
        CHAT_STREAM.rpartition("/")[2]: grpc.unary_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(CHAT.split("/")[1], methods),))
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in ("", *SERVED):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"floor: listening on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
        answer = json.loads(await response.read())
        assert answer["choices"][0]["message"]["content"]


async def _read_events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    pending = b""
    async for data in response.content.iter_any():
        *events, pending = (pending + data).split(b"\n\n")
        for event in events:
            yield event


async def _post_stream(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
        text = []
        async for event in _read_events(response):
            if event != DONE:
                text += [choice["delta"].get("content") for choice in json.loads(event[6:])["choices"]]
        assert text


async def call_http(upstream: str) -> None:
    """For each line of input `{"work": [tokens, pace], "stream": …, "calls": …, "at_once": …}`: does it, says so."""
    url = f"http://{upstream}/v1/chat/completions"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        print("floor: listening on 127.0.0.1:0", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            job = json.loads(line)
            work, stream = Work(*job["work"]), job["stream"]
            post = _post_stream if stream else _post
            body = work.http_request(stream=stream)
            await run_at_once(functools.partial(post, session, url, body), work, job["calls"], job["at_once"])
            print("done", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["echo", "proxy", "http", "bare"])
    parser.add_argument("--backend", help="HOST:PORT of the process behind this one")
    arguments = parser.parse_args()
    if arguments.kind == "echo":
        run_on_loop(functools.partial(serve, echo_unary, echo_stream))
    elif arguments.kind == "proxy":
        run_on_loop(functools.partial(_serve, Proxy, arguments.backend))
    elif arguments.kind == "bare":
        run_on_loop(functools.partial(_serve, Bare, arguments.backend))
    else:
        run_on_loop(functools.partial(call_http, arguments.backend))


async def _serve(kind: type[Proxy] | type[Bare], backend: str) -> None:
    handler = kind(backend)
    await serve(handler.unary, handler.stream)


if __name__ == "__main__":
    main()
