"""Windows: the part of a conversation that is sent to a model, as many whole turns from its end as fit.

A turn begins with a message to the model (`user`, `system` or `developer`) after one of the model or of a tool. A
window begins with a turn, but not with one that contains the result of an earlier turn's tool call: providers refuse a
result without its call. The instructions at the beginning of a conversation are part of every window in which they
fit, because they determine its meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proto.models_pb2 import WindowPolicy
from services.sessions.stored_messages import StoredMessage
from services.shared.tokens import measure
from services.shared.tool_calls import answered_ids, calls_of

INSTRUCTING_ROLES = frozenset({"system", "developer"})
SPEAKING_ROLES = frozenset({"user", "system", "developer"})

MAX_CONTEXT_PARTS = 100_000
"""Limit for parts and tool calls of a context, with the contents of tool results: they take more memory than bytes."""

_NONE: frozenset[str] = frozenset()


class Entry(NamedTuple):
    """A message with all that a window depends on: its role, size, tool calls, and answered tool calls."""

    stored: StoredMessage
    role: str
    tokens: int
    parts: int
    """Parts and tool calls, with the contents of tool results."""
    calls: frozenset[str]
    answered: frozenset[str]

    @classmethod
    def of(cls, stored: StoredMessage) -> Entry:
        """Reads a stored message. Raises DataLoss when it cannot be parsed."""
        message = stored.parse()
        if len(message.parts) > MAX_CONTEXT_PARTS:
            # Stored before parts were limited: it takes long to read, and fits into no context.
            return cls(stored, message.role, len(stored.message), len(message.parts), _NONE, _NONE)
        measured = measure(message, len(stored.message))
        calls = answered = _NONE
        if message.parts or message.tool_calls or message.tool_call_id:
            calls, answered = frozenset(call.id for call in calls_of(message)), frozenset(answered_ids(message))
        return cls(stored, message.role, measured.tokens, measured.parts, calls, answered)

    @property
    def sequence(self) -> int:
        return self.stored.sequence

    @property
    def is_instruction(self) -> bool:
        return self.role in INSTRUCTING_ROLES

    def begins_turn(self, before: Entry) -> bool:
        """Whether a turn begins with this entry if it follows the entry `before`."""
        return self.role in SPEAKING_ROLES and before.role not in SPEAKING_ROLES


class Limits(NamedTuple):
    """Limits of a window; None: unlimited."""

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

    def minus(self, entries: Sequence[Entry]) -> Limits | None:
        """The limits for further entries after `entries`, or None if these exceed them."""
        count, tokens = len(entries), sum(entry.tokens for entry in entries)
        remaining = Limits(
            None if self.messages is None else self.messages - count,
            None if self.tokens is None else self.tokens - tokens,
        )
        return remaining if min(remaining.messages or 0, remaining.tokens or 0) >= 0 else None


class Window:
    """The longest sequence of whole turns, up to a conversation's end, within limits.

    Messages are added one by one, the newest first. A message that does not fit ends the window; after the last
    message, `close_turn` does.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._turns: list[Entry] = []
        self._open_turn: list[Entry] = []
        self._count = 0
        self._tokens = 0
        self._orphans: set[str] = set()

    @property
    def entries(self) -> list[Entry]:
        """The messages of whole turns, oldest first."""
        return self._turns[::-1]

    def add(self, entry: Entry) -> bool:
        """Adds the next older message. Returns False if it does not fit, which ends the window."""
        if self._open_turn and self._open_turn[-1].begins_turn(entry) and not self._orphans:
            self.close_turn()
        self._count += 1
        self._tokens += entry.tokens
        if self._is_full():
            return False
        self._open_turn.append(entry)
        self._orphans |= entry.answered
        self._orphans -= entry.calls
        return True

    def close_turn(self) -> None:
        """Closes the turn: it begins with the message that was added last, such as the conversation's first one."""
        self._turns += self._open_turn
        self._open_turn = []

    def _is_full(self) -> bool:
        too_many = self._limits.messages is not None and self._count > self._limits.messages
        too_long = self._limits.tokens is not None and self._tokens > self._limits.tokens
        return too_many or too_long
