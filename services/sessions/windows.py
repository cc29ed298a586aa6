"""Which part of a conversation a model is sent: whole turns from its end, as many as fit.

A turn begins where somebody speaks to the model (`user`, `system` or `developer`) after the model or a tool has
spoken. A window begins with a turn, and never with one that holds the result of a tool call made before it: providers
refuse a result without its call. The instructions at the head of a conversation are part of every window in which
they fit, because without them it would mean something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proto.models_pb2 import ChatMessage, ContentPart, WindowPolicy
from proto.sessions_pb2 import SessionMessage

INSTRUCTING_ROLES = frozenset({"system", "developer"})
SPEAKING_ROLES = frozenset({"user", "system", "developer"})

# Rules of thumb: about four bytes of text make a token, a message has a frame, and an image costs about a thousand.
BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_MEDIA = 1000


class Limits(NamedTuple):
    """What a window may hold; None: any amount."""

    messages: int | None
    tokens: int | None

    @classmethod
    def read(cls, policy: WindowPolicy) -> Limits:
        return cls(
            policy.max_messages if policy.HasField("max_messages") else None,
            policy.max_tokens if policy.HasField("max_tokens") else None,
        )

    @property
    def bounded(self) -> bool:
        return self.messages is not None or self.tokens is not None

    def without(self, messages: Sequence[SessionMessage]) -> Limits | None:
        """What is left beside `messages`, or None when they do not fit."""
        count, tokens = len(messages), count_tokens(messages)
        left = Limits(
            None if self.messages is None else self.messages - count,
            None if self.tokens is None else self.tokens - tokens,
        )
        return left if min(left.messages or 0, left.tokens or 0) >= 0 else None


class Window:
    """The longest run of whole turns, up to a conversation's end, within limits.

    It is offered the messages one by one, the newest first. One that does not fit ends it; when there is none left,
    `close_turn` does.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._turns: list[SessionMessage] = []
        self._begun: list[SessionMessage] = []
        self._count = 0
        self._tokens = 0
        self._orphans: set[str] = set()

    @property
    def messages(self) -> list[SessionMessage]:
        """The messages of whole turns, oldest first."""
        return self._turns[::-1]

    def add(self, entry: SessionMessage) -> bool:
        """Offers the next older message; returns whether it, and so perhaps another one, fits."""
        if self._begun and _begins_turn(self._begun[-1].message, entry.message) and not self._orphans:
            self.close_turn()
        self._count += 1
        self._tokens += estimate_tokens(entry.message)
        if self._is_full():
            return False
        self._begun.append(entry)
        self._orphans |= _answered_calls(entry.message)
        self._orphans -= _made_calls(entry.message)
        return True

    def close_turn(self) -> None:
        """Says that a turn begins with the message added last, as one always does at a conversation's beginning."""
        self._turns += self._begun
        self._begun = []

    def _is_full(self) -> bool:
        too_many = self._limits.messages is not None and self._count > self._limits.messages
        too_long = self._limits.tokens is not None and self._tokens > self._limits.tokens
        return too_many or too_long


def is_instruction(message: ChatMessage) -> bool:
    return message.role in INSTRUCTING_ROLES


def count_tokens(entries: Iterable[SessionMessage]) -> int:
    return sum(estimate_tokens(entry.message) for entry in entries)


def estimate_tokens(message: ChatMessage) -> int:
    """About how many tokens a message is, whatever the model."""
    if message.parts:
        text, media = _measure_parts(message.parts)
    else:
        text, media = len(message.content.encode()), 0
        text += sum(len(call.name) + len(call.arguments_json.encode()) for call in message.tool_calls)
    return TOKENS_PER_MESSAGE + -(-text // BYTES_PER_TOKEN) + media * TOKENS_PER_MEDIA


def _measure_parts(parts: Iterable[ContentPart]) -> tuple[int, int]:
    """The bytes of text, and the number of media."""
    text = media = 0
    for part in parts:
        kind = part.WhichOneof("kind")
        if kind == "media":
            media += 1
        elif kind == "tool_result":
            inner_text, inner_media = _measure_parts(part.tool_result.content)
            text, media = text + inner_text, media + inner_media
        elif kind == "tool_call":
            text += len(part.tool_call.name) + len(part.tool_call.arguments_json.encode())
        else:
            text += len(part.text.encode()) + len(part.refusal.encode()) + len(part.reasoning.text.encode())
    return text, media


def _begins_turn(message: ChatMessage, before: ChatMessage) -> bool:
    return message.role in SPEAKING_ROLES and before.role not in SPEAKING_ROLES


def _made_calls(message: ChatMessage) -> set[str]:
    calls = {call.id for call in message.tool_calls}
    return calls | {part.tool_call.id for part in message.parts if part.HasField("tool_call")}


def _answered_calls(message: ChatMessage) -> set[str]:
    answered = {part.tool_result.tool_call_id for part in message.parts if part.HasField("tool_result")}
    return answered | ({message.tool_call_id} if message.tool_call_id else set())
