"""The calls that the fuzzer of messages makes: each is the same for the same seed and number."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.message import Message

from tests.fuzz.field_mutations import mutate_fields
from tests.fuzz.odd_values import OddValues
from tests.fuzz.seeds import Rpc, rpcs, seeds
from tests.fuzz.wire_mutations import mutate_wire

# More of a method that does more with what it is given.
WEIGHTS = {
    "ModelService/Chat": 4,
    "ModelService/ChatStream": 4,
    "ModelService/PreviewChat": 4,
    "ModelService/RegisterModel": 3,
    "ModelService/RegisterPrompt": 3,
    "SessionService/AppendMessages": 3,
}

TIMEOUT_SECONDS = 30.0
LONGEST_TIMEOUT_SECONDS = 90 * 366 * 24 * 3600.0
"""What lasts for centuries, the client itself takes for the past."""

# How large a message may become, and how often.
SIZES = ((65_536, 0.93), (1_048_576, 0.063), (4_194_304, 0.006), (31_457_280, 0.001))
WRITTEN_BYTES = 65_536
"""Up to this size the bytes of a message stand in what is written of its case."""


class MessageCase(NamedTuple):
    """One call."""

    number: int
    rpc: Rpc
    target: str
    """The process that is called."""
    payloads: list[bytes]
    timeout: float | None
    cancel_after: float | None
    changes: str

    @property
    def kind(self) -> str:
        return self.rpc.name

    @property
    def size(self) -> int:
        return sum(map(len, self.payloads))

    def describe(self, seed: int) -> str:
        """What is needed to see it again."""
        lines = [
            f"python -m tests.fuzz messages --seed {seed} --only {self.number}",
            f"{self.rpc.path} at {self.target}, {self.size:,} bytes, changes: {self.changes or 'none'}",
            f"timeout {self.timeout}, cancelled after {self.cancel_after}",
        ]
        if self.size <= WRITTEN_BYTES:
            lines += [f"payload, base64: {base64.b64encode(payload).decode()}" for payload in self.payloads]
        return "\n".join(lines)


class MessageCases:
    """Makes the cases of one seed."""

    def __init__(self, seed: int, upstream_url: str, page_tokens: Sequence[str]) -> None:
        self._seed = seed
        self._url = upstream_url
        self._tokens = page_tokens
        self._rpcs = rpcs()
        self._weights = [WEIGHTS.get(rpc.name, 1) for rpc in self._rpcs]
        self._seeds = {rpc.path: seeds(rpc, upstream_url) for rpc in self._rpcs}

    def case(self, number: int) -> MessageCase:
        rng = random.Random(f"{self._seed}:{number}")
        rpc = rng.choices(self._rpcs, self._weights)[0]
        longest = rng.choices([size for size, _ in SIZES], [share for _, share in SIZES])[0]
        count = rng.choice((1, 1, 2, 5)) if rpc.method.client_streaming else 1
        changes: list[str] = []
        payloads = [self._payload(rng, rpc, longest, changes) for _ in range(count)]
        target = rng.choice([*rpc.homes, "gateway"])
        timeout = _timeout(rng, rpc)
        cancel_after = rng.choice((0.0, 0.0005, 0.002, 0.01, 0.05)) if rng.random() < 0.05 else None
        return MessageCase(number, rpc, target, payloads, timeout, cancel_after, ", ".join(changes))

    def _payload(self, rng: random.Random, rpc: Rpc, longest: int, changes: list[str]) -> bytes:
        values = OddValues(self._url, self._tokens, longest)
        message: Message = type(seed := rng.choice(self._seeds[rpc.path]))()
        message.CopyFrom(seed)
        in_fields = rng.choice((0, 1, 1, 2, 3))
        mutate_fields(rng, message, values, in_fields)
        changes += [f"{in_fields} fields"] if in_fields else []
        payload = message.SerializeToString()
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            payload, change = mutate_wire(rng, payload, rpc.method.input_type, longest)
            changes.append(change)
        return payload


def _timeout(rng: random.Random, rpc: Rpc) -> float | None:
    if rpc.name == "Health/Watch":
        # It would last as long as it may.
        return rng.choice((0.001, 0.02, 0.1))
    kind = rng.random()
    if kind < 0.1:
        return None
    if kind < 0.15:
        return rng.choice((1e-9, 0.0005, 0.002, 0.005, 0.02))
    return LONGEST_TIMEOUT_SECONDS if kind < 0.17 else TIMEOUT_SECONDS
