"""Two providers that answer by order, for a load with faults: `python -m tests.faults.provider PORT PORT PORT`.

The first listens for Chat Completions, the second for Messages, the third for whoever steers them:

    POST /mode   {"provider": "openai", "mode": "reset"}: what it does with all requests until the next word
    GET /counts  of connections and requests, for each provider
    GET /calls   of each call: its requests, and what became of them

They know of each call how many requests they were sent for it, how many of those were given output, and when the last
one of them ended, by their own clock and sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.faults.orders import HEALTHY, REFUSE, Order, answer_tokens, read_order
from tests.scripted_upstream import (
    Ending,
    Pause,
    Received,
    Script,
    ScriptedUpstream,
    Step,
    answer,
    event,
    event_stream,
    json_answer,
    no_answer,
    paced,
    raw,
)
from tests.wire.dialects import Sample, Speech, Usage
from tests.wire.speeches.chat_completions import OpenAISpeech
from tests.wire.speeches.messages import AnthropicSpeech

SLOW_SECONDS = 3.0
"""Unlike any timeout of the load: output and timeout at the same time would look like output that was not passed on."""
RETRY_AFTER_SECONDS = 1
PING_SECONDS = 0.5
PINGS = 60
TRICKLE_SECONDS = 0.02
ARRIVAL_SECONDS = 1.0
"""The time between the last output and a bad end. A reset throws away what has not been read, and output that is read
together with a bad end is given to nobody, so that the chat may be tried again."""


@dataclass
class CallCount:
    """The requests that a provider was sent for one call."""

    requests: int = 0
    delivered: int = 0
    """Requests that output was written for."""
    unanswered: int = 0
    """Requests that the provider dropped with its connections, without one byte for them. They may be sent again."""
    running: int = 0
    ended: float = 0.0
    """The end of the last request, in seconds since 1970: answered, or closed by the client."""


class Play:
    """A script, and how many of its steps are no output."""

    def __init__(self, script: Script, quiet_steps: int) -> None:
        self.script = script
        self.quiet_steps = quiet_steps


NO_OUTPUT = 10**9


class Provider:
    """A provider of one dialect."""

    def __init__(self, name: str, port: int, speech: Speech) -> None:
        self.name = name
        self.mode = HEALTHY
        self.calls: dict[str, CallCount] = {}
        self.counts: Counter[str] = Counter()
        self._port = port
        self._speech = speech
        self._upstream = self._new_upstream()
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        await self._upstream.__aenter__()

    async def close(self) -> None:
        await self._upstream.__aexit__(None, None, None)

    async def set_mode(self, mode: str) -> None:
        async with self._changing:
            before, self.mode = self.mode, mode
            if mode == REFUSE and before != REFUSE:
                await self.close()
            elif before == REFUSE and mode != REFUSE:
                self._upstream = self._new_upstream()
                await self.open()

    def describe(self) -> dict[str, Any]:
        open_connections = [connection for connection in self._upstream.connections if connection.closed_at is None]
        return {"mode": self.mode, "connections": len(open_connections), **self.counts}

    def _new_upstream(self) -> ScriptedUpstream:
        return ScriptedUpstream(default=self._answer, port=self._port, forgets=True)

    def _answer(self, request: Received) -> Script:
        if request.method == "GET":
            return json_answer({"object": "list", "data": []})
        order = read_order(request.body)
        assert order, "a request without an order"
        count = self.calls.setdefault(order.call, CallCount())
        count.requests += 1
        count.running += 1
        self.counts["requests"] += 1
        self.counts["running"] += 1
        fault = order.fault if count.requests <= order.times else self.mode
        stream = bool(request.json().get("stream"))
        play = _Answers(self._speech, order, count.requests).play(fault, stream=stream)
        watching = asyncio.create_task(self._watch(request, count, play.quiet_steps))
        _WATCHES.add(watching)
        watching.add_done_callback(_WATCHES.discard)
        return play.script

    async def _watch(self, request: Received, count: CallCount, quiet_steps: int) -> None:
        """Counts a request when it has ended."""
        loop = asyncio.get_running_loop()
        await request.finished.wait()
        left = request.closed_at is not None
        ended = request.closed_at if request.closed_at is not None else loop.time()
        count.ended = max(count.ended, time.time() - loop.time() + ended)
        count.running -= 1
        self.counts["running"] -= 1
        self.counts["left by the client" if left else "answered"] += 1
        if request.generated > quiet_steps:
            count.delivered += 1
        elif request.generated == 0 and not left:
            count.unanswered += 1


_WATCHES: set[asyncio.Task[None]] = set()


class _Answers:
    """The answers to one request, good and bad."""

    def __init__(self, speech: Speech, order: Order, request: int) -> None:
        self._speech = speech
        self._tokens = answer_tokens(order.call, request, order.tokens)
        self._pause = Pause(order.pace_ms / 1000)
        self._sample = Sample(text=self._tokens, usage=Usage(prompt=24, completion=order.tokens))

    def play(self, mode: str, *, stream: bool) -> Play:
        refusal = self._refusal(mode)
        if refusal:
            return Play(refusal, NO_OUTPUT)
        return self._streamed(mode) if stream else self._whole(mode)

    def _refusal(self, mode: str) -> Script | None:
        """The answers that are the same whether a stream was asked for or not."""
        if mode == "rate_limited":
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            return json_answer(self._speech.error("rate_limit_error", "slow down"), status=429, headers=headers)
        if mode == "server_error":
            return json_answer(self._speech.error("api_error", "something broke"), status=500)
        if mode == "html":
            return answer(b"<html><body>It works!</body></html>", headers={"Content-Type": "text/html"})
        if mode == "silent":
            return no_answer(Ending.STALL)
        return None

    def _whole(self, mode: str) -> Play:
        body = self._speech.body(self._sample)
        working: list[Step] = [Pause(self._pause.seconds * len(self._tokens))]
        match mode:
            case "overloaded":
                return Play(json_answer(self._speech.error("overloaded_error", "overloaded"), status=529), NO_OUTPUT)
            case "reset":
                return Play(json_answer(body, before=working, ending=Ending.RESET), NO_OUTPUT)
            case "unmarked":
                return Play(json_answer(body, before=working, ending=Ending.CUT), NO_OUTPUT)
            case "slow" | "pings":
                return Play(json_answer(body, before=[Pause(SLOW_SECONDS), *working]), 0)
            case "trickle":
                text = json.dumps(body)
                return self._trickled(f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n", text)
        return Play(json_answer(body, before=working), 0)

    def _streamed(self, mode: str) -> Play:
        opening = self._speech.opening()
        pieces = [self._speech.piece(token) for token in self._tokens]
        quiet = len(opening)
        output = paced(pieces, self._pause)
        ending = self._speech.ending(self._sample)
        half = paced(pieces[: len(pieces) // 2 or 1], self._pause)
        match mode:
            case "overloaded":
                told = self._speech.error("overloaded_error", "overloaded")
                return Play(event_stream(*opening, event(told, "error")), NO_OUTPUT)
            case "reset":
                return Play(event_stream(*opening, *half, Pause(ARRIVAL_SECONDS), ending=Ending.RESET), quiet)
            case "unmarked":
                return Play(event_stream(*opening, *half, Pause(ARRIVAL_SECONDS)), quiet)
            case "slow":
                return Play(event_stream(*opening, Pause(SLOW_SECONDS), *output, *ending), quiet)
            case "pings":
                pings = paced([self._speech.ping] * PINGS, Pause(PING_SECONDS))
                return Play(event_stream(*opening, *pings, *output, *ending), quiet + PINGS)
            case "trickle":
                return self._trickled("Content-Type: text/event-stream\r\n", "".join([*opening, *pieces, *ending]))
        return Play(event_stream(*opening, *output, *ending), quiet)

    def _trickled(self, headers: str, body: str) -> Play:
        """An answer whose head comes a few bytes at a time."""
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n"
        pieces = [head[start : start + 4] for start in range(0, len(head), 4)]
        steps = paced(pieces, Pause(TRICKLE_SECONDS))
        return Play(raw(*steps, body, ending=Ending.CLOSE), len(pieces))


class Control:
    """The server for those who steer the providers."""

    def __init__(self, providers: Sequence[Provider], port: int) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._changes: set[asyncio.Task[None]] = set()
        self.upstream = ScriptedUpstream(default=self._answer, port=port, forgets=True)

    def _answer(self, request: Received) -> Script:
        if request.path == "/mode":
            asked = request.json()
            change = asyncio.create_task(self._providers[asked["provider"]].set_mode(asked["mode"]))
            self._changes.add(change)
            change.add_done_callback(self._changes.discard)
            return json_answer({})
        if request.path == "/calls":
            return json_answer(merge_calls(provider.calls for provider in self._providers.values()))
        return json_answer({name: provider.describe() for name, provider in self._providers.items()})


def merge_calls(providers: Any) -> dict[str, Any]:
    """The counts of all providers by call: a fallback leads to another one."""
    merged: dict[str, CallCount] = {}
    for calls in providers:
        for call, count in calls.items():
            total = merged.setdefault(call, CallCount())
            total.requests += count.requests
            total.delivered += count.delivered
            total.unanswered += count.unanswered
            total.running += count.running
            total.ended = max(total.ended, count.ended)
    return {call: asdict(count) for call, count in merged.items()}


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.provider", description=__doc__)
    parser.add_argument("ports", nargs=3, type=int)
    openai_port, anthropic_port, control_port = parser.parse_args().ports
    providers = [
        Provider("openai", openai_port, OpenAISpeech()),
        Provider("anthropic", anthropic_port, AnthropicSpeech()),
    ]
    for provider in providers:
        await provider.open()
    async with Control(providers, control_port).upstream:
        print(f"providers: listening on 127.0.0.1:{control_port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
