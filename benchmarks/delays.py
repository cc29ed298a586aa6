"""Time as a caller sees it: of a whole answer, and of a stream's first token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

from benchmarks.load import HttpClient, connected, percentile
from benchmarks.report import Delay
from benchmarks.scale import PACE_MS, UNARY, Scale
from benchmarks.work import Work

STREAMS = 20
FIRST_TOKEN = Work(tokens=25, pace_ms=PACE_MS)
WARM_UP_CALLS = 20

UPSTREAM = "the upstream alone"
Timed = Callable[[], Awaitable[float]]


async def measure_latency(scale: Scale, upstream: str, servers: Mapping[str, str]) -> list[Delay]:
    """Until the whole answer of Chat, one call at once: of the upstream alone, then of each server in front of it.

    They are asked in turns, so that what else the machine does falls on all.
    """
    body, request = UNARY.http_request(stream=False), UNARY.chat_request()
    async with AsyncExitStack() as stack:
        socket = await stack.enter_async_context(HttpClient(upstream))
        timed: dict[str, Timed] = {UPSTREAM: partial(socket.time_call, body)}
        for name, address in servers.items():
            client = await stack.enter_async_context(connected(address))
            await client.check(UNARY)
            timed[name] = partial(client.time_call, request)
        rounds = [
            {name: await call() for name, call in timed.items()} for _ in range(WARM_UP_CALLS + scale.latency_calls)
        ]
    return _delays({name: [readings[name] for readings in rounds[WARM_UP_CALLS:]] for name in timed})


async def measure_first_token(scale: Scale, upstream: str, servers: Mapping[str, str]) -> list[Delay]:
    """Until the first token of ChatStream, with 20 paced streams open at any time; the servers one after the other."""
    body, request = FIRST_TOKEN.http_request(stream=True), FIRST_TOKEN.chat_request()
    seconds = {}
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(HttpClient(upstream)) for _ in range(STREAMS)]
        alone = [partial(socket.time_first_token, body) for socket in sockets]
        seconds[UPSTREAM] = await _time_streams(alone, scale.first_tokens_each)
        for name, address in servers.items():
            client = await stack.enter_async_context(connected(address))
            calls = [partial(client.time_first_token, request)] * STREAMS
            seconds[name] = await _time_streams(calls, scale.first_tokens_each)
    return _delays(seconds)


async def _time_streams(calls: Sequence[Timed], times: int) -> list[float]:
    """Each call so many times, one after the other. Calls beside each other begin evenly over a stream's length."""
    step = FIRST_TOKEN.tokens * FIRST_TOKEN.pace_ms / 1000 / len(calls)

    async def repeat(call: Timed, delay: float) -> list[float]:
        await asyncio.sleep(delay)
        await call()
        return [await call() for _ in range(times)]

    readings = await asyncio.gather(*(repeat(call, index * step) for index, call in enumerate(calls)))
    return [seconds for each in readings for seconds in each]


def _delays(seconds: Mapping[str, list[float]]) -> list[Delay]:
    def milliseconds(name: str) -> tuple[float, float]:
        return percentile(seconds[name], 50) * 1000, percentile(seconds[name], 99) * 1000

    own = milliseconds(UPSTREAM)
    delays = [Delay(UPSTREAM, *own)]
    for name in seconds:
        if name != UPSTREAM:
            p50, p99 = milliseconds(name)
            delays.append(Delay(name, p50, p99, p50 - own[0], p99 - own[1]))
    return delays
