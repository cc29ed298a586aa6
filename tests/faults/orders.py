"""Orders: how the provider is to answer a call. They are written into the call's prompt, and come back in its answer.

    order = Order("c17", tokens=30, pace_ms=20)
    await platform.models.chat(order.prompt(), …)      # [order c17 tokens=30 pace=20 fault=healthy times=0]
    answer_tokens("c17", 1, 30)                        # c17.1.0; c17.1.1; …: the answer to its first request

Every token names its call, the number of the request at the provider that it answers, and its own number, so that the
reader of an answer knows whether it is whole, and whether it is one answer or two.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEALTHY = "healthy"
FAULTS = (
    "slow",
    "rate_limited",
    "server_error",
    "overloaded",
    "reset",
    "unmarked",
    "silent",
    "pings",
    "html",
    "trickle",
)
"""The ways in which a provider answers badly. `refuse`, to take no connections, is a mode of all of it alone."""
REFUSE = "refuse"

_ORDER = re.compile(rb"\[order (c\d+) tokens=(\d+) pace=(\d+) fault=(\w+) times=(\d+)\]")
_TOKEN = re.compile(r"(c\d+)\.(\d+)\.(\d+);")


class Order(NamedTuple):
    """An order. The first `times` requests of the call are answered with the fault."""

    call: str
    tokens: int
    pace_ms: int = 0
    fault: str = HEALTHY
    times: int = 0

    def prompt(self) -> str:
        return f"[order {self.call} tokens={self.tokens} pace={self.pace_ms} fault={self.fault} times={self.times}]"


def read_order(body: bytes) -> Order | None:
    """The last order in the body of a request: those before it are of earlier turns."""
    found = _ORDER.findall(body)
    if not found:
        return None
    call, tokens, pace, fault, times = found[-1]
    return Order(call.decode(), int(tokens), int(pace), fault.decode(), int(times))


def answer_tokens(call: str, request: int, tokens: int) -> list[str]:
    """The tokens of the answer to a call's request of this number, which counts from 1."""
    return [f"{call}.{request}.{index};" for index in range(tokens)]


class Output(NamedTuple):
    """A text that a caller got, as far as it is the beginning of one answer."""

    call: str
    request: int
    tokens: int


def read_output(text: str) -> Output | None:
    """The answer that a text begins. None if it is empty, mixed from two answers, or has a gap."""
    first = _TOKEN.match(text)
    if not first:
        return None
    call, request = first[1], int(first[2])
    tokens = text.count(";")
    return Output(call, request, tokens) if text == "".join(answer_tokens(call, request, tokens)) else None
