"""Which part of a conversation a model is sent: whole turns from its end, as many as fit.

A turn begins where somebody speaks to the model (`user`, `system` or `developer`) after the model or a tool has
spoken. A window begins with a turn, and never with one that holds the result of a tool call made before it: providers
refuse a result without its call. The instructions at the head of a conversation are part of every window in which
they fit, because without them it would mean something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proto.models_pb2 import ChatMessage, WindowPolicy
from services.sessions.contents import StoredMessage
from services.shared.tokens import measure

INSTRUCTING_ROLES = frozenset({"system", "developer"})
SPEAKING_ROLES = frozenset({"user", "system", "developer"})

MAX_CONTEXT_PARTS = 100_000
"""Parts and tool calls of a context, with the contents of tool results: each takes far more memory than bytes."""

_NONE: frozenset[str] = frozenset()


class Entry(NamedTuple):
    """A message as a window sees it: who says it, how long it is, which tool calls it makes and which it answers."""

    stored: StoredMessage
    role: str
    tokens: int
    parts: int
    """How many parts and tool calls it has, those of tool results included."""
    made: frozenset[str]
    answered: frozenset[str]

    @classmethod
    def of(cls, stored: StoredMessage) -> Entry:
        """Raises DataLoss when the stored bytes are no message."""
        message = stored.parse()
        if len(message.parts) > MAX_CONTEXT_PARTS:
            # Stored before parts were counted: to look at each would take long, and it fits into no context.
            return cls(stored, message.role, len(stored.message), len(message.parts), _NONE, _NONE)
        measured = measure(message, len(stored.message))
        calls = _made_calls(message), _answered_calls(message)
        return cls(stored, message.role, measured.tokens, measured.parts, *calls)

    @property
    def sequence(self) -> int:
        return self.stored.sequence

    @property
    def is_instruction(self) -> bool:
        return self.role in INSTRUCTING_ROLES

    def begins_turn(self, before: Entry) -> bool:
        """Whether a turn begins with this entry behind the one `before`."""
        return self.role in SPEAKING_ROLES and before.role not in SPEAKING_ROLES


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

    def without(self, entries: Sequence[Entry]) -> Limits | None:
        """What is left beside `entries`, or None when they do not fit."""
        count, tokens = len(entries), sum(entry.tokens for entry in entries)
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
        self._turns: list[Entry] = []
        self._begun: list[Entry] = []
        self._count = 0
        self._tokens = 0
        self._orphans: set[str] = set()

    @property
    def entries(self) -> list[Entry]:
        """The messages of whole turns, oldest first."""
        return self._turns[::-1]

    def add(self, entry: Entry) -> bool:
        """Offers the next older message; returns whether it, and so perhaps another one, fits."""
        if self._begun and self._begun[-1].begins_turn(entry) and not self._orphans:
            self.close_turn()
        self._count += 1
        self._tokens += entry.tokens
        if self._is_full():
            return False
        self._begun.append(entry)
        self._orphans |= entry.answered
        self._orphans -= entry.made
        return True

    def close_turn(self) -> None:
        """Says that a turn begins with the message added last, as one always does at a conversation's beginning."""
        self._turns += self._begun
        self._begun = []

    def _is_full(self) -> bool:
        too_many = self._limits.messages is not None and self._count > self._limits.messages
        too_long = self._limits.tokens is not None and self._tokens > self._limits.tokens
        return too_many or too_long


def _made_calls(message: ChatMessage) -> frozenset[str]:
    if not message.parts and not message.tool_calls:
        return _NONE
    calls = frozenset(call.id for call in message.tool_calls)
    return calls | {part.tool_call.id for part in message.parts if part.HasField("tool_call")}


def _answered_calls(message: ChatMessage) -> frozenset[str]:
    if not message.parts and not message.tool_call_id:
        return _NONE
    answered = frozenset(part.tool_result.tool_call_id for part in message.parts if part.HasField("tool_result"))
    return answered | {message.tool_call_id} if message.tool_call_id else answered
