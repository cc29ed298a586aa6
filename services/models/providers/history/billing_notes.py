"""Notes of Claude Code for Anthropic's billing, which it sends as a system message.

They change with every session, so that no other server finds a prompt in its cache again, and tell a model nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from proto import models_pb2
from services.models.providers.history.tool_turns import PlacedMessage
from services.models.providers.notices import Notices, notice

READER = "anthropic"
"""The owner of the opaque state of the one server that reads them."""

_START = "x-anthropic-billing-header:"
_WRITTEN = f'"{_START}'.encode()


def may_write_billing_note(body: bytes) -> bool:
    """Whether a body that nobody has read may have such a note, as Claude Code writes it."""
    return _WRITTEN in body


def has_billing_note(messages: Sequence[models_pb2.ChatMessage]) -> bool:
    """Whether one of the system messages before the conversation is such a note."""
    return any(map(is_billing_note, takewhile(_is_system, messages)))


def leave_out_billing_notes(messages: Sequence[PlacedMessage], notices: Notices) -> list[PlacedMessage]:
    """The messages without the notes."""
    kept: list[PlacedMessage] = []
    for path, message in messages:
        if _is_system(message) and is_billing_note(message):
            text = "a note for Anthropic's billing was left out; it is no part of the conversation"
            notices.append(notice("BILLING_NOTE_DROPPED", path, text))
        else:
            kept.append((path, message))
    return kept


def is_billing_note(message: models_pb2.ChatMessage) -> bool:
    """Whether a message is such a note and nothing else."""
    text = message.parts[0].text if len(message.parts) == 1 else message.content
    return text.startswith(_START) and "\n" not in text.strip()


def _is_system(message: models_pb2.ChatMessage) -> bool:
    return bool(message.role == "system")
