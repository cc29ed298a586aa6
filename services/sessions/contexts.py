"""Contexts: the window of a session's history that is sent to a model."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from proto.models_pb2 import WindowPolicy
from proto.sessions_pb2 import GetContextResponse
from services.sessions.conversion import to_entries
from services.sessions.store import History
from services.sessions.windows import MAX_CONTEXT_PARTS, Entry, Limits, Window
from services.shared.errors import LimitExceeded
from services.shared.time_slices import TimeSlices

FIRST_BATCH = 100
MAX_BATCH = 1000
"""Messages that are read at once: a number that doubles, because most windows are short and some histories long."""

MAX_CONTEXT_BYTES = 30 * 1024 * 1024
"""Limit that fits into the largest message between services."""
MAX_CONTEXT_MESSAGES = 10_000
"""Limit that is the same as for a chat's own messages."""


class Context(NamedTuple):
    """A window as the pieces of a serialized GetContextResponse, with the numbers for the log."""

    pieces: Sequence[bytes]
    messages: int
    dropped_messages: int


async def read_context(history: History, window: WindowPolicy) -> Context:
    """Reads the window. Raises LimitExceeded CONTEXT_TOO_LARGE."""
    entries = await fetch_window(history, Limits.read(window))
    next_sequence = history.session.next_sequence
    # Sequences have no gaps, so the next one gives the count.
    dropped = next_sequence - 1 - len(entries)
    summary = GetContextResponse(
        next_sequence=next_sequence,
        dropped_messages=dropped,
        estimated_tokens=sum(entry.tokens for entry in entries),
    )
    return Context(
        [*await to_entries(entry.stored for entry in entries), summary.SerializeToString()], len(entries), dropped
    )


async def fetch_window(history: History, limits: Limits) -> Sequence[Entry]:
    """The messages of the window, oldest first.

    Raises LimitExceeded CONTEXT_TOO_LARGE when they do not fit into one response.
    """
    budget = _ResponseBudget()
    # The instructions at the beginning; all messages, if there are no limits.
    head: list[Entry] = []
    async with contextlib.aclosing(_walk(history, descending=False)) as entries:
        async for entry in entries:
            if limits.bounded and not entry.is_instruction:
                break
            head.append(budget.take(entry))
    remaining = limits.minus(head)
    if remaining is None:
        return []
    if len(head) == history.session.next_sequence - 1:
        return head
    window = Window(remaining)
    async with contextlib.aclosing(_walk(history, descending=True)) as entries:
        async for entry in entries:
            if entry.sequence <= len(head):
                break
            if not window.add(entry):
                return head + window.entries
            budget.take(entry)
    window.close_turn()
    return head + window.entries


class _ResponseBudget:
    """The remaining capacity of one response."""

    def __init__(self) -> None:
        self._bytes = MAX_CONTEXT_BYTES
        self._messages = MAX_CONTEXT_MESSAGES
        self._parts = MAX_CONTEXT_PARTS

    def take(self, entry: Entry) -> Entry:
        self._bytes -= len(entry.stored.message)
        self._messages -= 1
        self._parts -= entry.parts
        if min(self._bytes, self._messages, self._parts) < 0:
            raise LimitExceeded(
                "the history is too large for one answer; ask for a smaller window", reason="CONTEXT_TOO_LARGE"
            )
        return entry


async def _walk(history: History, *, descending: bool) -> AsyncGenerator[Entry, None]:
    after = None
    more = True
    size = FIRST_BATCH
    slices = TimeSlices()
    while more:
        stored, more = await history.fetch(after, size, descending)
        size = min(2 * size, MAX_BATCH)
        for message in stored:
            yield Entry.of(message)
            after = message.sequence
            await slices.yield_if_over()
