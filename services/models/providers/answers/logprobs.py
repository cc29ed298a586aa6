"""Logprobs of an answer's tokens: read from OpenAI's dialects, and held until the answer is whole.

https://platform.openai.com/docs/api-reference/chat/object and …/responses/object; Together and Fireworks have the lists
of completions before chat (https://docs.together.ai/docs/logprobs).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from proto import models_pb2
from services.models.providers.errors.faults import Fault
from services.shared.json_text import items_of, text_of

MAX_BYTES = 24 * 1024 * 1024
"""Bytes of one answer's logprobs, as in a message: some 50,000 tokens with twenty alternatives each."""


def read_logprobs(value: Any) -> models_pb2.Logprobs | None:
    """The logprobs in a choice's member `logprobs`; None if there are none."""
    if not isinstance(value, dict):
        return None
    logprobs = models_pb2.Logprobs()
    _add_tokens(logprobs.content, value.get("content"))
    _add_tokens(logprobs.refusal, value.get("refusal"))
    if "tokens" in value and not logprobs.content:
        _add_lists(logprobs.content, value)
    return logprobs if logprobs.content or logprobs.refusal else None


def read_tokens(tokens: Any) -> models_pb2.Logprobs | None:
    """The logprobs in a list of a text's tokens."""
    return read_logprobs({"content": tokens})


class HeldLogprobs:
    """Logprobs of one answer, held as serialized messages, which take the least memory and are joined by concatenation;
    and those that no chunk has yet."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes that are held."""
        self._held: dict[int, bytearray] = {}
        self._sent: dict[int, tuple[int, int]] = {}
        """For each block, the number of tokens of its text and of its refusal that chunks have."""
        self._unsent: models_pb2.Logprobs | None = None

    def add(self, key: int, logprobs: models_pb2.Logprobs) -> None:
        """Adds the logprobs of the newest piece of the block `key`."""
        self._hold(key, logprobs)
        self._send(key, logprobs)

    def complete(self, key: int, logprobs: models_pb2.Logprobs) -> None:
        """Replaces the logprobs of a block's pieces by those of the whole block; only additional ones are sent."""
        self.size -= len(self._held.pop(key, b""))
        self._hold(key, logprobs)
        content, refusal = self._sent.get(key, (0, 0))
        rest = models_pb2.Logprobs(content=logprobs.content[content:], refusal=logprobs.refusal[refusal:])
        if rest.content or rest.refusal:
            self._send(key, rest)

    def take_unsent(self) -> models_pb2.Logprobs | None:
        """The logprobs that came since the last call."""
        unsent, self._unsent = self._unsent, None
        return unsent

    def fill(self, logprobs: models_pb2.Logprobs) -> None:
        """Adds all held logprobs to `logprobs`, in the order of their blocks."""
        for key in sorted(self._held):
            logprobs.MergeFromString(bytes(self._held[key]))

    def _hold(self, key: int, logprobs: models_pb2.Logprobs) -> None:
        written = logprobs.SerializeToString()
        self.size += len(written)
        if self.size > MAX_BYTES:
            raise Fault("OUTPUT_LIMIT")
        self._held.setdefault(key, bytearray()).extend(written)

    def _send(self, key: int, logprobs: models_pb2.Logprobs) -> None:
        content, refusal = self._sent.get(key, (0, 0))
        self._sent[key] = (content + len(logprobs.content), refusal + len(logprobs.refusal))
        if self._unsent is None:
            self._unsent = models_pb2.Logprobs()
        self._unsent.MergeFrom(logprobs)


def _add_tokens(tokens: Any, entries: Any) -> None:
    for token in items_of(entries):
        if isinstance(token, dict):
            added = tokens.add()
            _fill(added, token)
            for likely in items_of(token.get("top_logprobs")):
                if isinstance(likely, dict):
                    _fill(added.top_logprobs.add(), likely)


def _add_lists(tokens: Any, lists: Mapping[str, Any]) -> None:
    """Adds tokens that come in lists side by side."""
    logprobs, likely = items_of(lists.get("token_logprobs")), items_of(lists.get("top_logprobs"))
    for token, logprob, others in itertools.zip_longest(items_of(lists["tokens"]), logprobs, likely):
        if not isinstance(token, str):
            continue
        added = tokens.add()
        _fill(added, {"token": token, "logprob": logprob})
        for other, its_logprob in _pairs(others):
            _fill(added.top_logprobs.add(), {"token": other, "logprob": its_logprob})


def _pairs(others: Any) -> Iterable[tuple[str, Any]]:
    return others.items() if isinstance(others, dict) else ()


def _fill(entry: models_pb2.TokenLogprob | models_pb2.TopLogprob, value: Mapping[str, Any]) -> None:
    entry.token = text_of(value.get("token"))
    logprob = value.get("logprob")
    if isinstance(logprob, int | float) and not isinstance(logprob, bool) and abs(logprob) < 2**53:
        entry.logprob = logprob
    if isinstance(value.get("bytes"), list):
        try:
            entry.token_bytes = bytes(value["bytes"])
        except (TypeError, ValueError):
            # Numbers outside of the range of a byte.
            return
