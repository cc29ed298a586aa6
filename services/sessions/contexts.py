"""Reads, out of a session's history, the window that a model is sent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from proto.models_pb2 import WindowPolicy
from proto.sessions_pb2 import GetContextResponse, SessionMessage
from services.sessions.conversion import to_session_message
from services.sessions.store import History
from services.sessions.windows import Limits, Window, count_tokens, is_instruction
from services.shared.errors import LimitExceeded

BATCH = 100

MAX_CONTEXT_BYTES = 30 * 1024 * 1024
"""What the largest message between services leaves room for."""


async def read_context(history: History, window: WindowPolicy) -> GetContextResponse:
    """The window, and what is known of it. Raises LimitExceeded CONTEXT_TOO_LARGE."""
    messages = await fetch_window(history, Limits.read(window))
    next_sequence = history.session.next_sequence
    return GetContextResponse(
        messages=messages,
        next_sequence=next_sequence,
        # There are no gaps, so the next sequence tells the count.
        dropped_messages=next_sequence - 1 - len(messages),
        estimated_tokens=count_tokens(messages),
    )


async def fetch_window(history: History, limits: Limits) -> list[SessionMessage]:
    """The messages of the window, oldest first.

    Raises LimitExceeded CONTEXT_TOO_LARGE when they are more than one answer can carry.
    """
    if not limits.bounded:
        async with contextlib.aclosing(_walk(history, descending=False)) as entries:
            return [entry async for entry in entries]
    head = await _fetch_head(history)
    left = limits.without(head)
    if left is None:
        return []
    window = Window(left)
    async with contextlib.aclosing(_walk(history, descending=True)) as entries:
        async for entry in entries:
            if entry.sequence <= len(head):
                break
            if not window.add(entry):
                return head + window.messages
    window.close_turn()
    return head + window.messages


async def _fetch_head(history: History) -> list[SessionMessage]:
    head: list[SessionMessage] = []
    async with contextlib.aclosing(_walk(history, descending=False)) as entries:
        async for entry in entries:
            if not is_instruction(entry.message):
                break
            head.append(entry)
    return head


async def _walk(history: History, descending: bool) -> AsyncGenerator[SessionMessage, None]:
    after = None
    more = True
    room = MAX_CONTEXT_BYTES
    while more:
        stored, more = await history.fetch(after, BATCH, descending)
        for entry in stored:
            room -= len(entry.message)
            if room < 0:
                raise LimitExceeded(
                    "the history is too large for one answer; ask for a smaller window", reason="CONTEXT_TOO_LARGE"
                )
            yield to_session_message(entry)
            after = entry.sequence
